"""Breakout in numpy: bricks, five lives, and a paddle whose every spot sends the ball elsewhere.

Lengths are pixels of the 64x64 frame, speeds pixels per frame; the ball is where its top left
corner is.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from curriculum.envs.batch import Mask, Rows
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.envs.simulation.drawing import canvas, draw_boxes, paint
from curriculum.envs.simulation.game import Numbers, Streams

SIZE = 64
CEILING = 8.0
BRICKS_TOP, BRICK_WIDTH, BRICK_HEIGHT = 16, 4, 2
COLUMNS = SIZE // BRICK_WIDTH
VALUES = np.array([7.0, 7.0, 4.0, 4.0, 1.0, 1.0])
BALL = 2.0
PADDLE_TOP, PADDLE_WIDTH, PADDLE_HEIGHT = 58.0, 16.0, 2.0
PADDLE_SPEED = 1.5
SLOW, FAST, FASTER = 1.2, 1.5, 1.8
STEEPEST = 0.6
LAUNCH_DELAY = 24
LIVES, WALLS = 5, 2
FIRE = 1

X, Y, VX, VY, PADDLE, SPEED, WAIT, HITS, LEFT, WALL = range(10)
_DIRECTION = np.array([0.0, 0.0, 1.0, -1.0])
_COLOURS = ((0, 0, 0), (142, 142, 142), (200, 72, 72))
_ROW_COLOURS = (
    (200, 72, 72), (198, 108, 58), (180, 122, 48), (162, 162, 42), (72, 160, 72), (66, 72, 200)
)  # fmt: skip


class Breakout:
    """N games of Breakout (`Game`), reward the value of a brick: 7, 7, 4, 4, 1, 1 from the top.

    The four actions are those of the Atari game: no-op, fire, right, left. Fire launches the ball,
    which otherwise starts by itself after `LAUNCH_DELAY` frames. The ball gets faster with the 4th
    and the 12th hit of the paddle in a life, and for good in that life once it reaches the upper
    rows. The game ends with the fifth ball lost, or with the second wall cleared.

    As a state, `[6]` float32: ball x and y from -1 (left, top) to 1, its velocity in units of the
    top speed, the paddle's centre from -1 to 1, and the share of bricks that stand.

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
        self._wall_picture = self._wall(paint(_ROW_COLOURS, grayscale))
        self._background = self._field()
        self.numbers = np.zeros((WALL + 1, num_envs))
        self.bricks = np.ones((num_envs, len(VALUES), COLUMNS), np.bool_)
        self.spec = EnvSpec(
            env_id="simulation/breakout",
            observation=observation,
            shape=self._background.shape if self._pixels else (6,),
            action=ActionSpec("discrete", 4),
            frames_per_step=frames_per_step,
            max_episode_steps=max_episode_steps,
        )

    def begin(self, rows: Rows) -> None:
        self.numbers[:, rows] = 0.0
        self.bricks[rows] = True
        self.numbers[PADDLE, rows] = (SIZE - PADDLE_WIDTH) / 2
        self.numbers[LEFT, rows] = LIVES
        self._serve(rows)

    def frame(self, actions: np.ndarray, running: Mask) -> tuple[Numbers, Mask]:
        n = self.numbers
        n[PADDLE] += PADDLE_SPEED * _DIRECTION[actions]
        np.clip(n[PADDLE], 0.0, SIZE - PADDLE_WIDTH, out=n[PADDLE])
        n[WAIT] = np.where(actions == FIRE, 0.0, np.maximum(n[WAIT] - 1, 0.0))
        flying = n[WAIT] <= 0
        before_x, before_y = n[X].copy(), n[Y].copy()
        n[X] += np.where(flying, n[VX], 0.0)
        n[Y] += np.where(flying, n[VY], 0.0)
        self._bounce_off_walls()
        self._bounce_off_paddle(before_y)
        rewards = self._break(before_x, before_y, running)
        lost = np.flatnonzero((n[Y] > SIZE) & running)
        if lost.size:
            n[LEFT, lost] -= 1
            self._serve(lost)
        return rewards, (n[LEFT] <= 0) | (n[WALL] >= WALLS)

    def observe(self, rows: Rows) -> np.ndarray:
        return self._draw(rows) if self._pixels else self._state(rows)

    def _serve(self, rows: Rows) -> None:
        """Puts a ball below the bricks, to fall at a random angle."""
        n = self.numbers
        place, angle = self._streams.draw(rows, 2)
        n[X, rows] = (0.15 + 0.7 * place) * (SIZE - BALL)
        n[Y, rows] = BRICKS_TOP + BRICK_HEIGHT * len(VALUES) + 4.0
        n[SPEED, rows] = SLOW
        n[VX, rows] = SLOW * STEEPEST * (2 * angle - 1)
        n[VY, rows] = SLOW
        n[HITS, rows] = 0
        n[WAIT, rows] = LAUNCH_DELAY

    def _bounce_off_walls(self) -> None:
        n = self.numbers
        far = SIZE - BALL
        left, right, top = n[X] < 0, n[X] > far, n[Y] < CEILING
        n[X] = np.where(left, -n[X], np.where(right, 2 * far - n[X], n[X]))
        n[VX] = np.where(left | right, -n[VX], n[VX])
        n[Y] = np.where(top, 2 * CEILING - n[Y], n[Y])
        n[VY] = np.where(top, -n[VY], n[VY])

    def _bounce_off_paddle(self, before_y: np.ndarray) -> None:
        n = self.numbers
        surface = PADDLE_TOP - BALL
        rows = np.flatnonzero((before_y < surface) & (n[Y] >= surface))
        off = n[X, rows] + BALL / 2 - n[PADDLE, rows] - PADDLE_WIDTH / 2
        reach = (PADDLE_WIDTH + BALL) / 2
        hit = np.abs(off) < reach
        rows, off = rows[hit], off[hit]
        n[HITS, rows] += 1
        pace = np.where(n[HITS, rows] >= 12, FASTER, np.where(n[HITS, rows] >= 4, FAST, SLOW))
        n[SPEED, rows] = np.maximum(n[SPEED, rows], pace)
        n[Y, rows] = surface
        n[VY, rows] = -n[SPEED, rows]
        n[VX, rows] = n[SPEED, rows] * STEEPEST * off / reach

    def _break(self, before_x: np.ndarray, before_y: np.ndarray, running: Mask) -> Numbers:
        """Breaks the brick that the ball's middle entered, sends the ball back and returns rewards.

        A ball that came from the side turns sideways, any other up or down.
        """
        n = self.numbers
        rewards = np.zeros(n.shape[1])
        line = np.floor((n[Y] + BALL / 2 - BRICKS_TOP) / BRICK_HEIGHT).astype(np.intp)
        rows = np.flatnonzero((line >= 0) & (line < len(VALUES)) & running)
        line = line[rows]
        column = ((n[X, rows] + BALL / 2) / BRICK_WIDTH).astype(np.intp)
        there = self.bricks[rows, line, column]
        rows, line, column = rows[there], line[there], column[there]
        if not rows.size:
            return rewards
        self.bricks[rows, line, column] = False
        rewards[rows] = VALUES[line]
        came = np.floor((before_y[rows] + BALL / 2 - BRICKS_TOP) / BRICK_HEIGHT)
        sideways = came == line
        n[VX, rows] *= np.where(sideways, -1.0, 1.0)
        n[VY, rows] *= np.where(sideways, 1.0, -1.0)
        n[X, rows], n[Y, rows] = before_x[rows], before_y[rows]
        self._quicken(rows[line < 2])
        cleared = rows[~self.bricks[rows].any(axis=(1, 2))]
        n[WALL, cleared] += 1
        self.bricks[cleared] = True
        return rewards

    def _quicken(self, rows: Rows) -> None:
        """Gives balls that reached the upper rows their top speed, keeping their direction."""
        n = self.numbers
        faster = FASTER / n[SPEED, rows]
        n[VX, rows] *= faster
        n[VY, rows] *= faster
        n[SPEED, rows] = FASTER

    def _field(self) -> np.ndarray:
        black, grey, _ = self._colours
        field = np.tile(black, (SIZE, SIZE, 1))
        field[int(CEILING) - 2 : int(CEILING)] = grey
        return field

    @staticmethod
    def _wall(colours: np.ndarray) -> np.ndarray:
        """Returns the picture of a whole wall, `[h, 64, C]`."""
        picture = np.repeat(colours, BRICK_HEIGHT, axis=0)[:, None]
        return np.repeat(picture, SIZE, axis=1)

    def _draw(self, rows: Rows) -> np.ndarray:
        red = self._colours[2]
        x, y, _, _, paddle = self.numbers[: PADDLE + 1, rows]
        frames = canvas(self._background, rows.size)
        standing = np.repeat(np.repeat(self.bricks[rows], BRICK_HEIGHT, 1), BRICK_WIDTH, 2)
        bottom = BRICKS_TOP + len(self._wall_picture)
        frames[:, BRICKS_TOP:bottom] = self._wall_picture * standing[..., None]
        at = np.full(rows.size, PADDLE_TOP)
        draw_boxes(frames, paddle, at, PADDLE_WIDTH, PADDLE_HEIGHT, red)
        draw_boxes(frames, x, y, BALL, BALL, red)
        return frames

    def _state(self, rows: Rows) -> np.ndarray:
        n = self.numbers[:, rows]
        columns = (
            (n[X] + BALL / 2) / (SIZE / 2) - 1,
            (n[Y] + BALL / 2) / (SIZE / 2) - 1,
            n[VX] / FASTER,
            n[VY] / FASTER,
            (n[PADDLE] + PADDLE_WIDTH / 2) / (SIZE / 2) - 1,
            self.bricks[rows].mean(axis=(1, 2)),
        )
        return np.stack(columns, axis=1).astype(np.float32)
