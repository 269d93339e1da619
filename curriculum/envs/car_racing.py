"""CarRacing: the track without the instruments, drawn only where somebody looks."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from curriculum.envs.gym import hold

NAME = "CarRacing-v3"
TRACK_ROWS = 84
"""Rows of the 96 above the black bar of instruments."""


def hold_drawing_last(
    env: gymnasium.Env, action: Any, frames: int
) -> tuple[Any, float, bool, bool]:
    """Holds an action and draws only the last frame, bit for bit as if all had been drawn.

    Drawing is nearly all the time of a frame, and it reads the car and the track without changing
    them, so a frame that nobody sees need not be drawn.

    Args:
        env: CarRacing.
        action: `[3]` float32 (steering, gas, brake), or one of five.
        frames: frames to hold it, at least 1.

    Returns:
        The last frame `[96, 96, 3]` uint8, summed reward, terminated, truncated.
    """
    car_racing: Any = env.unwrapped
    unseen = _Unseen(car_racing)
    # An attribute of the instance hides the method of its class until it is deleted.
    car_racing._render = unseen
    try:
        _, total, terminated, truncated = hold(env, action, frames - 1)
    finally:
        del car_racing._render
    if terminated or truncated:
        return unseen.draw(), total, terminated, truncated
    observation, reward, terminated, truncated = hold(env, action, 1)
    return observation, total + reward, terminated, truncated


class _Unseen:
    """Stands in for `CarRacing._render`, and can draw later what it was called to draw.

    Args:
        car_racing: the unwrapped environment.
    """

    def __init__(self, car_racing: Any) -> None:
        self._car_racing = car_racing
        self._score = 0.0

    def __call__(self, mode: str) -> None:
        # Of what a picture shows, only the score changes between drawing and the end of a step.
        self._score = self._car_racing.reward

    def draw(self) -> np.ndarray:
        """Returns the frame `[96, 96, 3]` of the last call."""
        score, self._car_racing.reward = self._car_racing.reward, self._score
        frame = self._car_racing._render("state_pixels")
        self._car_racing.reward = score
        return frame
