"""CarRacing: the track without the instruments, drawn only where somebody looks."""

from __future__ import annotations

from typing import Any

import gymnasium

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
    # An attribute of the instance hides the method of its class until it is deleted.
    car_racing._render = _draw_nothing
    try:
        _, total, terminated, truncated = hold(env, action, frames)
    finally:
        del car_racing._render
    car_racing.state = car_racing._render("state_pixels")
    return car_racing.state, total, terminated, truncated


def _draw_nothing(mode: str) -> None:
    """Stands in for `CarRacing._render`."""
