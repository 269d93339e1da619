"""Drawing many small frames at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.interfaces import Frames

RGB = tuple[int, int, int]
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as emulators turn colours into grey


def paint(colours: Sequence[RGB], grayscale: bool) -> Frames:
    """Returns colours `[K, 3]` uint8, or their luma `[K, 1]`."""
    rgb = np.asarray(colours, dtype=np.float64)
    return np.rint(rgb @ np.array(_LUMA)[:, None] if grayscale else rgb).astype(np.uint8)


def canvas(background: Frames, count: int) -> Frames:
    """Returns `count` copies of a background `[H, W, C]`: `[count, H, W, C]` uint8."""
    frames = np.empty((count, *background.shape), np.uint8)
    frames[:] = background
    return frames


def draw_boxes(
    frames: Frames,
    left: NDArray[np.float64],
    top: NDArray[np.float64],
    width: float,
    height: float,
    colour: Frames,
) -> None:
    """Draws one box of equal size into each frame, its edges blended by the area they cover.

    The blending keeps positions finer than a pixel visible, as shrinking a large screen does.

    Args:
        frames: `[N, H, W, C]` uint8, changed in place.
        left: `[N]`, left edge in pixels; what lies outside the frame is not drawn.
        top: `[N]`, top edge in pixels.
        width: of the boxes, in pixels.
        height: of the boxes, in pixels.
        colour: `[C]` uint8.
    """
    columns, across = _coverage(left, width, frames.shape[2])
    rows, down = _coverage(top, height, frames.shape[1])
    share = (down[:, :, None] * across[:, None, :])[..., None]
    where = (np.arange(len(frames))[:, None, None], rows[:, :, None], columns[:, None, :])
    under = frames[where]
    frames[where] = np.rint(under + share * (colour - under.astype(np.float64))).astype(np.uint8)


def _coverage(
    start: NDArray[np.float64], length: float, size: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Returns the pixels `[N, k]` that a span may touch, and the part of each that it covers."""
    count = min(int(np.ceil(length)) + 1, size)
    first = np.clip(np.floor(start), 0, size - count).astype(np.intp)
    pixels = first[:, None] + np.arange(count)
    near, far = start[:, None], start[:, None] + length
    covered = np.minimum(pixels + 1, far) - np.maximum(pixels, near)
    return pixels, np.clip(covered, 0.0, 1.0)
