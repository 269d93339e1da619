"""Pong in numpy: two paddles, a ball, and an opponent that can be beaten because it is slower.

Lengths are pixels of the 64x64 frame, speeds pixels per frame; the ball is where its top left
corner is. The agent plays on the right, as in the Atari game.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from curriculum.envs.batch import Mask, Rows
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.envs.simulation.drawing import canvas, draw_boxes, paint
from curriculum.envs.simulation.game import Numbers, Streams

SIZE = 64
TOP, BOTTOM = 8.0, 60.0
BALL = 2.0
PADDLE_WIDTH, PADDLE_HEIGHT = 2.0, 10.0
AGENT_LEFT, OPPONENT_LEFT = 58.0, 4.0
AGENT_SPEED, OPPONENT_SPEED = 1.5, 0.5
SERVE_SPEED, TOP_SPEED, SPEED_UP = 1.6, 2.6, 0.15
STEEPEST = 0.9
SERVE_DELAY = 4
AIM_ERROR = 5.0
GOAL = 21

X, Y, VX, VY, AGENT, OPPONENT, AIM, SPEED, WAIT, WON, LOST = range(11)
_DIRECTION = np.array([0.0, 0.0, -1.0, 1.0, -1.0, 1.0])  # of the six actions; right is up
_COLOURS = ((40, 20, 5), (236, 236, 236), (92, 186, 92), (213, 130, 74))


class Pong:
    """N games of Pong to 21 points (`Game`), reward +1 for a point won and -1 for one lost.

    The six actions are those of the Atari game: no-op, fire, right, left, right and fire, left and
    fire; right moves up and fire does nothing. The ball's angle off a paddle depends on where it
    hits, and it gets faster with each hit. The opponent follows the ball while it approaches, with
    limited speed and an aim that is off by up to `AIM_ERROR`.

    As a state, `[6]` float32: ball x and y from -1 (left, top) to 1, its velocity in units of the
    top speed, and the centres of the agent's and the opponent's paddle from -1 to 1.

    Args:
        streams: random streams of the N games.
        num_envs: N.
        observation: `pixels` is `[64, 64, C]` uint8, `state` the vector above.
        grayscale: one channel instead of three.
        frames_per_step: frames an action is held.
        max_episode_steps: the time limit in steps.
    """

    def __init__(
        self,
        streams: Streams,
        num_envs: int,
        observation: Literal["pixels", "state"],
        grayscale: bool,
        frames_per_step: int,
        max_episode_steps: int,
    ) -> None:
        self._streams = streams
        self._pixels = observation == "pixels"
        self._colours = paint(_COLOURS, grayscale)
        self._background = self._field()
        self.numbers = np.zeros((LOST + 1, num_envs))
        self.spec = EnvSpec(
            env_id="simulation/pong",
            observation=observation,
            shape=self._background.shape if self._pixels else (6,),
            action=ActionSpec("discrete", 6),
            frames_per_step=frames_per_step,
            max_episode_steps=max_episode_steps,
        )

    def begin(self, rows: Rows) -> None:
        self.numbers[:, rows] = 0.0
        middle = (TOP + BOTTOM - PADDLE_HEIGHT) / 2
        self.numbers[AGENT, rows] = middle
        self.numbers[OPPONENT, rows] = middle
        towards = np.where(self._streams.draw(rows, 1)[0] < 0.5, -1.0, 1.0)
        self._serve(rows, towards)

    def frame(self, actions: np.ndarray, running: Mask) -> tuple[Numbers, Mask]:
        n = self.numbers
        self._move_paddles(actions)
        waiting = n[WAIT] > 0
        n[WAIT] -= waiting
        before = n[X].copy()
        n[X] += np.where(waiting, 0.0, n[VX])
        n[Y] += np.where(waiting, 0.0, n[VY])
        self._bounce_off_walls()
        self._return(before, running)
        won, lost = n[X] + BALL < 0, n[X] > SIZE
        n[WON] += won
        n[LOST] += lost
        served = np.flatnonzero((won | lost) & running)
        if served.size:
            self._serve(served, np.where(won[served], -1.0, 1.0))
        ended = (n[WON] >= GOAL) | (n[LOST] >= GOAL)
        return won.astype(np.float64) - lost, ended

    def observe(self, rows: Rows) -> np.ndarray:
        return self._draw(rows) if self._pixels else self._state(rows)

    def _serve(self, rows: Rows, towards: np.ndarray) -> None:
        """Puts the ball in the middle, to start towards one side at a random angle."""
        n = self.numbers
        height, angle, aim = self._streams.draw(rows, 3)
        n[X, rows] = (SIZE - BALL) / 2
        n[Y, rows] = TOP + (0.25 + 0.5 * height) * (BOTTOM - TOP - BALL)
        n[SPEED, rows] = SERVE_SPEED
        n[VX, rows] = SERVE_SPEED * towards
        n[VY, rows] = SERVE_SPEED * STEEPEST * (2 * angle - 1)
        n[AIM, rows] = AIM_ERROR * (2 * aim - 1)
        n[WAIT, rows] = SERVE_DELAY

    def _move_paddles(self, actions: np.ndarray) -> None:
        n = self.numbers
        n[AGENT] += AGENT_SPEED * _DIRECTION[actions]
        middle = (TOP + BOTTOM - PADDLE_HEIGHT) / 2
        follow = n[Y] + n[AIM] + (BALL - PADDLE_HEIGHT) / 2
        wanted = np.where(n[VX] < 0, follow, middle) - n[OPPONENT]
        n[OPPONENT] += np.clip(wanted, -OPPONENT_SPEED, OPPONENT_SPEED)
        paddles = n[AGENT : OPPONENT + 1]
        np.clip(paddles, TOP, BOTTOM - PADDLE_HEIGHT, out=paddles)

    def _bounce_off_walls(self) -> None:
        n = self.numbers
        floor = BOTTOM - BALL
        over, under = n[Y] < TOP, n[Y] > floor
        n[Y] = np.where(over, 2 * TOP - n[Y], np.where(under, 2 * floor - n[Y], n[Y]))
        n[VY] = np.where(over | under, -n[VY], n[VY])

    def _return(self, before: np.ndarray, running: Mask) -> None:
        """Sends the ball back where it crosses the front of a paddle that is there."""
        n = self.numbers
        agent_front, opponent_front = AGENT_LEFT - BALL, OPPONENT_LEFT + PADDLE_WIDTH
        at_agent = (before < agent_front) & (n[X] >= agent_front)
        at_opponent = (before > opponent_front) & (n[X] <= opponent_front)
        rows = np.flatnonzero((at_agent | at_opponent) & running)
        if not rows.size:
            return
        by_agent = at_agent[rows]
        paddle = np.where(by_agent, n[AGENT, rows], n[OPPONENT, rows])
        off = n[Y, rows] + BALL / 2 - paddle - PADDLE_HEIGHT / 2
        reach = (PADDLE_HEIGHT + BALL) / 2
        hit = np.abs(off) < reach
        rows, by_agent, off = rows[hit], by_agent[hit], off[hit]
        n[SPEED, rows] = np.minimum(n[SPEED, rows] + SPEED_UP, TOP_SPEED)
        n[X, rows] = np.where(by_agent, agent_front, opponent_front)
        n[VX, rows] = np.where(by_agent, -n[SPEED, rows], n[SPEED, rows])
        n[VY, rows] = n[SPEED, rows] * STEEPEST * off / reach
        n[AIM, rows] = AIM_ERROR * (2 * self._streams.draw(rows, 1)[0] - 1)

    def _field(self) -> np.ndarray:
        ground, wall = self._colours[:2]
        field = np.tile(ground, (SIZE, SIZE, 1))
        field[int(TOP) - 2 : int(TOP)] = wall
        field[int(BOTTOM) : int(BOTTOM) + 2] = wall
        return field

    def _draw(self, rows: Rows) -> np.ndarray:
        _, white, green, orange = self._colours
        x, y, _, _, agent, opponent = self.numbers[: OPPONENT + 1, rows]
        frames = canvas(self._background, rows.size)
        for left, top, colour in ((AGENT_LEFT, agent, green), (OPPONENT_LEFT, opponent, orange)):
            at = np.full(rows.size, left)
            draw_boxes(frames, at, top, PADDLE_WIDTH, PADDLE_HEIGHT, colour)
        draw_boxes(frames, x, y, BALL, BALL, white)
        return frames

    def _state(self, rows: Rows) -> np.ndarray:
        x, y, vx, vy, agent, opponent = self.numbers[: OPPONENT + 1, rows]
        middle, half = (TOP + BOTTOM) / 2, (BOTTOM - TOP) / 2
        columns = (
            (x + BALL / 2) / (SIZE / 2) - 1,
            (y + BALL / 2 - middle) / half,
            vx / TOP_SPEED,
            vy / TOP_SPEED,
            (agent + PADDLE_HEIGHT / 2 - middle) / half,
            (opponent + PADDLE_HEIGHT / 2 - middle) / half,
        )
        return np.stack(columns, axis=1).astype(np.float32)
