"""CarRacing's picture, bit for bit what the environment draws, in a fraction of the time.

The environment turns each of some 700 polygons by itself, corner by corner, though most are far
outside the picture. Here all are turned at once in the same double arithmetic, and only those
that reach into the wanted rows are drawn, by the very calls of the environment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pygame
from gymnasium.envs.box2d import car_racing as native
from numpy.typing import NDArray
from pygame import gfxdraw

from curriculum.envs.car_racing.window import HEIGHT, WIDTH, Window
from models.interfaces import Frames

_REACH = 3
"""Pixels that a polygon may colour beyond its corners: they are cut, and its edge is soft."""
_FARTHEST = math.hypot(WIDTH / 2, HEIGHT * 3 / 4) + _REACH
"""Pixels from the car to the farthest corner of the window."""


class Drawing:
    """Draws what CarRacing observes in the episode that has just begun.

    Args:
        racing: the environment, unwrapped.
        top_rows: rows of the 96 that are drawn; 0 is all.
    """

    def __init__(self, racing: Any, top_rows: int = 0) -> None:
        self._racing = racing
        self._window = Window(top_rows or native.STATE_H)
        self.begin_episode()

    def begin_episode(self) -> None:
        """Looks at the world of another episode that has just begun."""
        grass, road = _grass(), self._racing.road_poly
        tiles = np.array([corners for corners, _ in road], np.float64).transpose(2, 1, 0)
        # In this order in memory all patches are projected at the speed of a flat array.
        self._patches = np.concatenate([grass, tiles], axis=2).copy(order="C")
        # A tile that the car has touched changes its colour in place.
        colours = [self._racing.grass_color] * grass.shape[2]
        self._colours = [*colours, *(colour for _, colour in road)]
        [self._background] = _whole([self._racing.bg_color])

    def frame(self, score: float) -> Frames:
        """Draws the world around the car.

        Args:
            score: the number beside the instruments.

        Returns:
            `[top_rows, 96, 3]` uint8, read-only.
        """
        camera = _camera(self._racing)
        self._draw_field(camera)
        self._draw_patches(camera)
        moved = (camera.x, camera.y)
        self._racing.car.draw(self._window.surface, camera.zoom, moved, camera.angle, False)
        return self._window.picture(self._racing, score)

    def differences(self) -> str:
        """Returns in words what the environment draws otherwise at present, empty if nothing."""
        camera = _camera(self._racing)
        corners = self._patches.reshape(2, -1)
        turned = [pygame.math.Vector2(corner).rotate_rad(camera.angle) for corner in corners.T]
        expected = [(x * camera.zoom + camera.x, y * camera.zoom + camera.y) for x, y in turned]
        if not np.array_equal(camera.project(corners).T, expected):
            return "corners lie elsewhere"
        # The view begins high above and has come down to the car after a second.
        wrong = [seconds for seconds in (self._racing.t, 1.0) if not self._equal_at(seconds)]
        return f"pixels differ after {wrong} seconds" if wrong else ""

    def _equal_at(self, seconds: float) -> bool:
        """Whether both draw the same were it so many seconds after the start."""
        now, self._racing.t = self._racing.t, seconds
        try:
            found, expected = self.frame(self._racing.reward), self._racing._render("state_pixels")
        finally:
            self._racing.t = now
        return np.array_equal(found, expected[: len(found)])

    def _draw_field(self, camera: _Camera) -> None:
        """Draws the ground, and the black void around it where that can be seen."""
        margin = native.PLAYFIELD - _FARTHEST / camera.zoom
        x, y = self._racing.car.hull.position
        if max(abs(x), abs(y)) < margin:
            self._window.clear(self._background)
            return
        self._window.clear([0, 0, 0])
        [ground] = _polygons(camera.project(_field()))
        self._draw(ground, self._background)

    def _draw_patches(self, camera: _Camera) -> None:
        """Draws the patches of grass, and upon them the road."""
        pixels = camera.project(self._patches)
        (left, low), (right, high) = pixels.min(axis=1), pixels.max(axis=1)
        reaching = (right > -_REACH) & (left < WIDTH + _REACH)
        reaching &= (high > self._window.lowest - _REACH) & (low < HEIGHT + _REACH)
        seen = np.flatnonzero(reaching)
        colours = _whole([self._colours[patch] for patch in seen.tolist()])
        for polygon, colour in zip(_polygons(pixels[..., seen]), colours, strict=True):
            self._draw(polygon, colour)

    def _draw(self, polygon: Any, colour: list[int]) -> None:
        gfxdraw.aapolygon(self._window.surface, polygon, colour)
        gfxdraw.filled_polygon(self._window.surface, polygon, colour)


@dataclass(frozen=True)
class _Camera:
    """Turns points of the world by an angle, scales and moves them: to pixels, y upwards."""

    angle: float
    zoom: float
    x: float
    y: float

    def project(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the pixels of points, both `[2, ...]`.

        Operation by operation as `pygame.math.Vector2.rotate_rad` and the environment compute
        them, because cutting a pixel to a whole number can show any rounding.
        """
        cos, sin = pygame.math.Vector2(1, 0).rotate_rad(self.angle)
        x, y = points
        pixels = np.empty_like(points)
        pixels[0] = (cos * x - sin * y) * self.zoom + self.x
        pixels[1] = (sin * x + cos * y) * self.zoom + self.y
        return pixels


def _camera(racing: Any) -> _Camera:
    """Returns how the environment sees its world: from above, the car upright and low."""
    angle, seconds = -racing.car.hull.angle, racing.t
    overview, near = 0.1 * native.SCALE, native.ZOOM * native.SCALE
    zoom = overview * max(1 - seconds, 0) + near * min(seconds, 1)
    x, y = racing.car.hull.position
    moved = pygame.math.Vector2(-x * zoom, -y * zoom).rotate_rad(angle)
    return _Camera(angle, zoom, WIDTH / 2 + moved[0], HEIGHT / 4 + moved[1])


@lru_cache(maxsize=1)
def _grass() -> NDArray[np.float64]:
    """Returns the corners of all patches of grass, `[2, 4, 400]`: x and y, corners, patches."""
    side = native.GRASS_DIM
    lows = [side * step for step in range(-20, 20, 2)]
    squares = [_square(x, y, side) for x in lows for y in lows]
    return np.array(squares, np.float64).transpose(2, 1, 0)


def _square(x: float, y: float, side: float) -> list[tuple[float, float]]:
    return [(x + side, y), (x, y), (x, y + side), (x + side, y + side)]


def _field() -> NDArray[np.float64]:
    """Returns the corners of the ground, `[2, 4, 1]`."""
    bound = native.PLAYFIELD
    corners = [(bound, bound), (bound, -bound), (-bound, -bound), (-bound, bound)]
    return np.array([corners]).transpose(2, 1, 0)


def _polygons(pixels: NDArray[np.float64]) -> Iterator[Any]:
    """Yields the corners of K polygons `[2, 4, K]`, cut to whole pixels as pygame does."""
    x, y = pixels.astype(np.int32).tolist()
    return zip(*(zip(*corner, strict=True) for corner in zip(x, y, strict=True)), strict=True)


def _whole(colours: list[Any]) -> list[list[int]]:
    """Returns colours as whole numbers, cut as pygame does."""
    return np.array(colours).astype(np.int64).tolist()
