"""Frames made smaller by averaging square cells, and back."""

from __future__ import annotations

import numpy as np

from models.shapes import Float32, Shaped, UInt8


def cell_size(frame_shape: tuple[int, int, int], most_values: int) -> int:
    """Returns the smallest side of a cell, in pixels, that leaves at most so many values a frame.

    Args:
        frame_shape: H, W, C.
        most_values: at most so many, or C if that is more.
    """
    height, width, channels = frame_shape
    side = 1
    while (height // side) * (width // side) * channels > most_values and side < min(height, width):
        side += 1
    return side


class Pooling:
    """Averages over cells of `side` x `side` pixels, and leaves out edges that fill no cell.

    Args:
        frame_shape: H, W, C.
        side: of a cell, in pixels.
    """

    def __init__(self, frame_shape: tuple[int, int, int], side: int) -> None:
        self._frame_shape = frame_shape
        self._side = side
        height, width, channels = frame_shape
        self.shape = (height // side, width // side, channels)
        self.size = int(np.prod(self.shape))

    def down(self, frames: Shaped[np.ndarray, "N H W C"]) -> Shaped[np.ndarray, "N F"]:
        """Returns the cells' means, `[N, H, W, C]` float to `[N, size]` of the same dtype."""
        rows, columns, channels = self.shape
        side = self._side
        if side == 1:
            return frames.reshape(len(frames), -1)
        used = frames[:, : rows * side, : columns * side]
        cells = used.reshape(len(frames), rows, side, columns * side, channels).sum(axis=2)
        cells = cells.reshape(len(frames), rows, columns, side, channels).sum(axis=3)
        cells *= np.float32(1.0 / side**2)
        return cells.reshape(len(frames), -1)

    def up(self, values: Float32[np.ndarray, "N F"]) -> Float32[np.ndarray, "N H W C"]:
        """Returns `[N, size]` as frames `[N, H, W, C]` with flat cells; edges are repeated."""
        height, width, _ = self._frame_shape
        rows = np.minimum(np.arange(height) // self._side, self.shape[0] - 1)
        columns = np.minimum(np.arange(width) // self._side, self.shape[1] - 1)
        return values.reshape(-1, *self.shape)[:, rows[:, None], columns]


def from_bytes(frames: UInt8[np.ndarray, "*S"]) -> Float32[np.ndarray, "*S"]:
    """Returns frames as float32 from 0 to 1."""
    return frames.astype(np.float32) * np.float32(1.0 / 255.0)


def to_bytes(frames: Shaped[np.ndarray, "*S"]) -> UInt8[np.ndarray, "*S"]:
    """Inverts `from_bytes`; what is outside 0 to 1 is clipped."""
    return np.rint(np.clip(frames, 0.0, 1.0) * 255.0).astype(np.uint8)
