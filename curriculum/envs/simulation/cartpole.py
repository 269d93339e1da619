"""A pole on a cart in numpy: small enough that a dream of it can be learned in seconds.

The equations are those of Barto, Sutton & Anderson 1983 without friction, integrated by Euler's
method as Gymnasium's CartPole-v1 does it: equal states and actions give equal states.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from curriculum.envs.batch import Mask, Rows
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.envs.simulation.drawing import canvas, draw_boxes, paint
from curriculum.envs.simulation.game import Numbers, Streams
from models.interfaces import Frames
from models.shapes import Float32, UInt8

GRAVITY, FORCE, TIME_STEP = 9.8, 10.0, 0.02
"""m/s^2, N and s."""
CART_MASS, POLE_MASS, HALF_LENGTH = 1.0, 0.1, 0.5
"""kg, kg and m."""
MASS, MOMENT = CART_MASS + POLE_MASS, POLE_MASS * HALF_LENGTH
FARTHEST, STEEPEST = 2.4, 12 * 2 * np.pi / 360
"""m from the middle and rad from upright where an episode ends."""
SPREAD = 0.05
"""How far from 0 the four numbers begin."""

SIZE, GROUND = 64, 48.0
SCALE = SIZE / (2 * FARTHEST)
"""Pixels per metre."""
POLE = 2.0 * (2.0 * HALF_LENGTH) * SCALE
"""Pixels that the pole is long: drawn twice as long as it is, for its angle to be seen."""
CART_WIDTH, CART_HEIGHT, THICKNESS = 10.0, 5.0, 2.0
PIECES = 14
"""Squares that a pole is drawn of."""

X, VELOCITY, ANGLE, TURNING = range(4)
_COLOURS = ((255, 255, 255), (60, 60, 60), (202, 152, 101), (0, 0, 0))


class CartPole:
    """N carts with a pole to balance (`Game`), reward 1 for each step, the last one included.

    Action 0 pushes to the left, 1 to the right. As a state, `[4]` float32: the cart's place in m
    and its velocity in m/s, the pole's angle in rad and its angular velocity in rad/s.

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
        self._grayscale = grayscale
        self.numbers = np.zeros((TURNING + 1, num_envs))
        self.spec = EnvSpec(
            env_id="simulation/cartpole",
            observation=observation,
            shape=(SIZE, SIZE, 1 if grayscale else 3) if self._pixels else (4,),
            action=ActionSpec("discrete", 2),
            frames_per_step=frames_per_step,
            max_episode_steps=max_episode_steps,
        )

    def begin(self, rows: Rows) -> None:
        self.numbers[:, rows] = SPREAD * (2.0 * self._streams.draw(rows, TURNING + 1) - 1.0)

    def frame(self, actions: np.ndarray, running: Mask) -> tuple[Numbers, Mask]:
        del running
        _, velocity, angle, turning = self.numbers
        sine, cosine = np.sin(angle), np.cos(angle)
        pushed = np.where(actions == 1, FORCE, -FORCE)
        pushed = (pushed + MOMENT * np.square(turning) * sine) / MASS
        inertia = HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * np.square(cosine) / MASS)
        turned = (GRAVITY * sine - cosine * pushed) / inertia
        moved = pushed - MOMENT * turned * cosine / MASS
        self.numbers += TIME_STEP * np.stack([velocity, moved, turning, turned])
        n = self.numbers
        ended = (np.abs(n[X]) > FARTHEST) | (np.abs(n[ANGLE]) > STEEPEST)
        return np.ones(n.shape[1]), ended

    def observe(self, rows: Rows) -> np.ndarray:
        return self._draw(rows) if self._pixels else self.numbers[:, rows].T.astype(np.float32)

    def _draw(self, rows: Rows) -> np.ndarray:
        return _drawn(self.numbers[X, rows], self.numbers[ANGLE, rows], self._grayscale)


def draw_cartpole(states: Float32[np.ndarray, "N 4"]) -> UInt8[np.ndarray, "N 64 64 3"]:
    """Returns pictures of states, which may be dreamed ones that no cart was ever in."""
    x, _, angle, _ = np.nan_to_num(states.astype(np.float64)).T
    return _drawn(x, angle, grayscale=False)


@cache
def _painted(grayscale: bool) -> tuple[Frames, Frames, Frames]:
    """Returns what is behind the cart, and the colours of pole and cart."""
    sky, line, wood, black = paint(_COLOURS, grayscale)
    field = np.tile(sky, (SIZE, SIZE, 1))
    field[int(GROUND) + 1] = line
    return field, wood, black


def _drawn(x: NDArray[np.float64], angle: NDArray[np.float64], grayscale: bool) -> Frames:
    field, wood, black = _painted(grayscale)
    frames = canvas(field, len(x))
    middle = SIZE / 2 + SCALE * np.clip(x, -2 * FARTHEST, 2 * FARTHEST)
    top = np.full(len(x), GROUND - CART_HEIGHT)
    draw_boxes(frames, middle - CART_WIDTH / 2, top, CART_WIDTH, CART_HEIGHT, black)
    for along in np.linspace(0.0, POLE, PIECES):
        left = middle + along * np.sin(angle) - THICKNESS / 2
        draw_boxes(frames, left, top - along * np.cos(angle), THICKNESS, THICKNESS, wood)
    return frames
