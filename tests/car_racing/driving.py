"""A scripted driver for CarRacing, which looks at the track and not at pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def nearest(racing: Any) -> int:
    """Returns the place on the track that lies nearest to the car, seen from above."""
    x, y = racing.car.hull.position
    return int(np.argmin([math.hypot(px - x, py - y) for _, _, px, py in racing.track]))


def steered(racing: Any, speed: float = 30.0, ahead: int = 5, aside: float = 0.0) -> np.ndarray:
    """Returns what drives along the track at some speed, `[3]` float32.

    Args:
        racing: the environment, unwrapped.
        speed: in units of the track a second.
        ahead: tiles to the place that is driven to.
        aside: how far to the right of the middle of the road that is.
    """
    _, beta, x, y = racing.track[(nearest(racing) + ahead) % len(racing.track)]
    x, y = x + aside * math.cos(beta), y + aside * math.sin(beta)
    hull = racing.car.hull
    # The car points along its own y axis.
    wanted = math.atan2(-(x - hull.position[0]), y - hull.position[1])
    error = (wanted - hull.angle + math.pi) % (2 * math.pi) - math.pi
    now = math.hypot(*hull.linearVelocity)
    gas, brake = (0.3, 0.0) if now < speed else (0.0, 0.3 if now > speed + 5 else 0.0)
    return np.array([np.clip(-2.0 * error, -1, 1), gas, brake], np.float32)
