"""How far CarRacing's car has come on its lap, read from the environment without changing it."""

from __future__ import annotations

from math import hypot
from typing import Any

import numpy as np

from curriculum.envs.lap import MARGIN, Road


class LapFollower:
    """Follows the lap of an episode (`curriculum.envs.lap`).

    Args:
        racing: the environment, unwrapped.
    """

    def __init__(self, racing: Any) -> None:
        self._racing = racing
        self._front = 0

    def begin(self) -> None:
        """Follows another episode, which has just begun."""
        self._front = 0

    def facts(self) -> tuple[float, ...]:
        """Returns how things stand, in the order of `curriculum.envs.lap.LAP_FACTS`."""
        racing = self._racing
        road, car = racing.road, racing.car
        self._move_front([tile.idx for wheel in car.wheels for tile in wheel.tiles], len(road))
        behind = road[: max(self._front - MARGIN + 1, 0)]
        left = sum(not tile.road_visited for tile in behind)
        complete = racing.tile_visited_count == len(road) or racing.new_lap
        off = sum(not wheel.tiles for wheel in car.wheels)
        x, y = car.hull.position
        speed = hypot(*car.hull.linearVelocity)
        stands = (len(road), racing.tile_visited_count, left, self._front, complete, off)
        return (*stands, x, y, speed)

    def road(self) -> Road:
        """Returns the track as it is now."""
        tiles = self._racing.road
        corners = [tile.fixtures[0].shape.vertices for tile in tiles]
        return Road(np.array(corners, np.float64), np.array([t.road_visited for t in tiles]))

    def _move_front(self, touched: list[int], tiles: int) -> None:
        """Moves the front to the foremost tile that is touched.

        The track is a ring: what is less than half of it ahead is ahead, the rest is behind, so a
        car that backs over the start has not come round.
        """
        ahead = [(tile - self._front) % tiles for tile in touched]
        self._front += max((step for step in ahead if step <= tiles // 2), default=0)
