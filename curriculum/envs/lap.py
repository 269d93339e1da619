"""What an environment tells of a car's lap beside its score: names that nobody else may use.

A car that is slow and one that skips tiles have the same score, and nothing in it says which.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TILES = "tiles"
"""Of the whole track."""

VISITED = "visited"
"""Tiles that the car has touched in this episode."""

LEFT_BEHIND = "left_behind"
"""Tiles that it has not, `MARGIN` or more behind the foremost one it has come to."""

FRONT = "front"
"""The foremost tile it has come to, counted from the start; `TILES` where it has come round."""

COMPLETE = "complete"
"""1 where the lap is complete, else 0."""

WHEELS_OFF = "wheels_off"
"""How many of its wheels touch no tile."""

X, Y = "x", "y"
"""Where it is, in the units of its track."""

SPEED = "speed"
"""How fast it is, in these units per second."""

LAP_FACTS = (TILES, VISITED, LEFT_BEHIND, FRONT, COMPLETE, WHEELS_OFF, X, Y, SPEED)

MARGIN = 5
"""Tiles: a car whose wheels slide may touch one a little after those ahead of it."""

LAP_REWARD = 1000.0
"""What all tiles of a track are worth together."""


@dataclass(frozen=True)
class Road:
    """A track as a ring of tiles.

    Attributes:
        tiles: `[N, 4, 2]`, the corners of each.
        visited: `[N]` bool, which of them the car has touched.
    """

    tiles: NDArray[np.float64]
    visited: NDArray[np.bool_]
