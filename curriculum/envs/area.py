"""Pixel-area resizing and luminance in exact integer arithmetic, so equal on every machine."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.interfaces import Frames
from models.numeric.threads import single_threaded

_LUMA = np.array([299, 587, 114], np.int64)
_EXACT_IN_FLOAT32 = 2**24


def resize_area(frame: Frames, height: int, width: int) -> Frames:
    """Resizes a frame so that each new pixel is the mean of the area it covers.

    Every product is an integer that the float type holds exactly, therefore the result depends
    on no summation order, thread count or instruction set.

    Args:
        frame: `[H, W, C]` uint8, H and W below 65,000.
        height: rows of the result.
        width: columns of the result.

    Returns:
        `[height, width, C]` uint8, rounded half up.
    """
    rows, columns, channels = frame.shape
    if (rows, columns) == (height, width):
        return np.array(frame)
    # Two threads save nothing here, and on a busy machine wait for each other a thousand times as
    # long as the product takes.
    with single_threaded:
        planes = _mean_planes(frame, height, width)
    small = planes.reshape(channels, height, width)
    return np.ascontiguousarray(small.transpose(1, 2, 0))


def _mean_planes(frame: Frames, height: int, width: int) -> Frames:
    """Returns the means of the areas, rounded half up, `[C * height, width]`."""
    rows, columns, channels = frame.shape
    cells = rows * columns
    by_rows = _overlaps(rows, height) @ frame.reshape(rows, -1).astype(np.float32)
    # Colour by colour, so that each product is one of plain matrices.
    strips = by_rows.reshape(height, columns, channels).transpose(2, 0, 1)
    if cells * 255 < _EXACT_IN_FLOAT32:
        planes = np.ascontiguousarray(strips).reshape(-1, columns) @ _overlaps(columns, width).T
        planes += cells // 2
        # A quotient that is no whole number is farther from the next one than it is rounded.
        planes /= cells
    else:
        wide = strips.astype(np.float64).reshape(-1, columns)
        sums = (wide @ _overlaps(columns, width).T.astype(np.float64)).astype(np.int64)
        planes = (sums + cells // 2) // cells
    return planes.astype(np.uint8)


def luminance(frame: Frames) -> Frames:
    """Returns the grey `[..., 1]` of colours `[..., 3]` (ITU-R BT.601, section 2.5.1)."""
    return ((frame @ _LUMA + 500) // 1000).astype(np.uint8)[..., None]


@lru_cache(maxsize=64)
def _overlaps(source: int, target: int) -> NDArray[np.float32]:
    """Returns `[target, source]`, how much of each source pixel lies in each target pixel.

    Lengths are counted in 1/target of a source pixel, so that all are integers and each row's
    sum is `source`.
    """
    starts, cells = np.arange(source) * target, np.arange(target)[:, None] * source
    shared = np.minimum(starts + target, cells + source) - np.maximum(starts, cells)
    return np.maximum(shared, 0).astype(np.float32)
