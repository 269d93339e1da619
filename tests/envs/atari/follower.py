"""Plays Breakout by the emulator's memory: shows what following the ball is worth.

It sees what no agent sees, where the ball and the paddle are, and acts as an agent may: one action
for four frames, FIRE pressed for it. So its score is what the game, as it is built here, allows to
whoever tracks the ball and nothing more.

An action moves the paddle by 23 pixels, the first half of them in its own step and the others in
the next, and the paddle is 16 wide: nearest is not good enough, so the last steps are planned.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

from curriculum.insight.ground_truth import Game

NOOP, FIRE, RIGHT, LEFT = range(4)
DIRECTIONS = {NOOP: 0, FIRE: 0, RIGHT: 1, LEFT: -1}
SKIP, LAG = 4, 2
PIXELS_PER_FRAME = 5.75
PADDLE_TOP = 187.0
WALLS = 8.0, 152.0
REACH = 15.5, 151.5
"""Columns of the ball, and of the paddle's middle."""

PLANNED = 4
PLANS = np.array(sorted(product((0, 1, -1), repeat=PLANNED), key=lambda p: np.abs(p).sum()))
ACTIONS = {0: NOOP, 1: RIGHT, -1: LEFT}
AIM = 2.0
"""Pixels off the paddle's middle with which the ball is met, at most: else games repeat."""


class Played(NamedTuple):
    """One game: its score, steps, lost lives, and whether it came to its end."""

    score: float
    steps: int
    lives_lost: int
    over: bool


class Follower:
    """Moves the paddle to where the ball will come down.

    Args:
        rng: draws with which part of the paddle it is met.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._last: tuple[float, float] | None = None
        self._off, self._moving = 0.0, 0

    def act(self, ram: np.ndarray) -> int:
        """Returns the action for the memory as it is now."""
        x, y, paddle = float(ram[99]) - 48.5, float(ram[101]) + 10.5, float(ram[72]) - 39.5
        before, self._last = self._last, (x, y) if ram[101] else None
        if self._last is None:
            return FIRE
        down = 0.0 if before is None else y - before[1]
        if before is None or down <= 0.0 or y > PADDLE_TOP:
            self._off = float(self._rng.uniform(-AIM, AIM))
            return self._towards(x, paddle)
        frames = SKIP * (PADDLE_TOP - y) / down
        goal = landing(x, y, x - before[0], down) + self._off
        if frames > LAG + SKIP * PLANNED:
            return self._towards(goal, paddle)
        return self._go(self._planned(goal, paddle, frames))

    def acted(self, action: int) -> None:
        """Is told the action really taken."""
        self._moving = DIRECTIONS[action]

    def _towards(self, goal: float, paddle: float) -> int:
        """Comes near and then waits."""
        coming = paddle + self._moving * LAG * PIXELS_PER_FRAME
        far = abs(goal - coming) > LAG * SKIP * PIXELS_PER_FRAME / 2
        return self._go(int(np.sign(goal - coming)) if far else 0)

    def _planned(self, goal: float, paddle: float, frames: float) -> int:
        """Returns the first direction of the plan that meets the ball best, with fewest moves."""
        late = np.clip(frames - LAG - SKIP * np.arange(PLANNED), 0.0, SKIP)
        moved = self._moving * min(LAG, frames) + PLANS @ late
        off = np.abs(np.clip(paddle + PIXELS_PER_FRAME * moved, *REACH) - np.clip(goal, *REACH))
        return int(PLANS[np.argmin(np.round(off))][0])

    def _go(self, direction: int) -> int:
        return ACTIONS[direction]


def landing(x: float, y: float, along: float, down: float) -> float:
    """Returns the column at which a falling ball reaches the paddle, walls counted in."""
    left, right = WALLS
    width = right - left
    reached = (x + along * (PADDLE_TOP - y) / down - left) % (2 * width)
    return left + min(reached, 2 * width - reached)


def play(seed: int, *, sticky: float = 0.0, noop_max: int = 30, max_steps: int = 27_000) -> Played:
    """Plays one game by following the ball."""
    rng = np.random.default_rng(seed)
    game = Game("breakout", seed, frame_skip=SKIP, sticky=sticky, noop_max=noop_max, rng=rng)
    game.reset()
    follower, score, steps, lost = Follower(rng), 0.0, 0, 0
    while not game.over and steps < max_steps:
        lives = game.lives
        follower.acted(game.step(follower.act(game.ram)))
        score, steps, lost = score + game.reward, steps + 1, lost + (game.lives < lives)
    return Played(score, steps, lost, game.over)
