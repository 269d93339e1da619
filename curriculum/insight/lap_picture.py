"""The driven line on the track, misses marked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from curriculum.envs.lap import Road
from curriculum.insight.drawing import BACKGROUND, GAP, INK, Picture
from models.shapes import Bool, Shaped

SIDE = 640
"""Pixels of a panel's width, and of its height below its title."""

TITLE, MARGIN, FINER = 40, 24, 2
GRASS, ROAD, MISSED, AHEAD = (42, 66, 44), (120, 120, 124), (235, 60, 60), (62, 62, 66)
LINE, OFF, START, END = (120, 200, 255), (255, 170, 40), (90, 235, 120), (250, 250, 250)

LEGEND = (
    ("missed", MISSED),
    ("not reached", AHEAD),
    ("driven", LINE),
    ("off the road", OFF),
    ("start", START),
    ("end", END),
)


def lap_panel(
    title: str,
    road: Road,
    front: int,
    line: Shaped[np.ndarray, "T 2"],
    off: Bool[np.ndarray, " T"],
) -> Picture:
    """Draws one lap from above.

    Args:
        title: stands above it, two lines at most.
        road: the track, and which of its tiles were visited.
        front: the foremost tile that the car has come to; one behind it was missed.
        line: where the car was after each step, in the units of the track.
        off: whether it had no wheel on the road.

    Returns:
        `[TITLE + SIDE, SIDE, 3]` uint8.
    """
    place = _Scale(np.concatenate([road.tiles.reshape(-1, 2), line]))
    # Drawn larger and then made smaller: lines become smooth.
    image = Image.new("RGB", (SIDE * FINER, SIDE * FINER), GRASS)
    draw = ImageDraw.Draw(image)
    missed = ~road.visited & (np.arange(len(road.visited)) <= front)
    for number, corners in enumerate(place(road.tiles)):
        colour = MISSED if missed[number] else ROAD if road.visited[number] else AHEAD
        draw.polygon(_points(corners), fill=colour)
    _mark_misses(draw, place(road.tiles.mean(axis=1)[missed]))
    _draw_line(draw, place(line), off)
    _dot(draw, place(road.tiles[:1].mean(axis=1))[0], 7, START)
    _dot(draw, place(line[-1:])[0], 7, END)
    panel = Image.new("RGB", (SIDE, TITLE + SIDE), BACKGROUND)
    panel.paste(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), (0, TITLE))
    written = ImageDraw.Draw(panel)
    written.text((8, 6), title, fill=INK)
    _write_legend(written)
    return np.asarray(panel)


def side_by_side(panels: Sequence[Picture]) -> Picture:
    """Sets panels of one height beside each other."""
    gap = np.full((panels[0].shape[0], GAP, 3), BACKGROUND, np.uint8)
    parts = [part for panel in panels for part in (panel, gap)]
    return np.concatenate(parts[:-1], axis=1)


class _Scale:
    """Fits points into a panel, north up, lengths alike in both directions."""

    def __init__(self, points: np.ndarray) -> None:
        low, high = points.min(axis=0), points.max(axis=0)
        self._middle = (low + high) / 2
        self._zoom = FINER * (SIDE - 2 * MARGIN) / max(float((high - low).max()), 1e-9)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        turned = (points - self._middle) * self._zoom * (1.0, -1.0)
        return turned + SIDE * FINER / 2


def _draw_line(draw: ImageDraw.ImageDraw, line: np.ndarray, off: np.ndarray) -> None:
    for ends, gone in zip(pairwise(line), off[1:].tolist(), strict=True):
        draw.line(_points(np.stack(ends)), fill=OFF if gone else LINE, width=3 * FINER)


def _mark_misses(draw: ImageDraw.ImageDraw, places: np.ndarray) -> None:
    """Draws a ring around each miss: a single tile is hardly to be seen."""
    for x, y in places.tolist():
        reach = 9 * FINER
        box = (x - reach, y - reach, x + reach, y + reach)
        draw.ellipse(box, outline=MISSED, width=FINER)


def _dot(draw: ImageDraw.ImageDraw, at: np.ndarray, radius: int, colour: tuple) -> None:
    x, y = at.tolist()
    reach = radius * FINER
    draw.ellipse((x - reach, y - reach, x + reach, y + reach), outline=colour, width=2 * FINER)


def _write_legend(draw: ImageDraw.ImageDraw) -> None:
    x, y = 8, TITLE + SIDE - 18
    for name, colour in LEGEND:
        draw.rectangle((x, y + 2, x + 8, y + 10), fill=colour)
        draw.text((x + 13, y), name, fill=INK)
        x += 30 + 7 * len(name)


def _points(corners: np.ndarray) -> list[tuple[float, float]]:
    return [(x, y) for x, y in corners.tolist()]
