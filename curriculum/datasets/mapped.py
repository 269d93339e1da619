"""A column that is appended to and read from all the while, as far as it has come.

Rows are written to the file and read from its mapping, so they leave memory whenever something
else wants it, and a full disk is an error of the write. The mapping is made longer than the file
and becomes valid as the file grows (as LMDB's does): mapped anew after each append, every page
would have to be found again.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from curriculum.datasets.columns import ColumnWriter
from curriculum.records.files import open_plain, refused

_FEWEST_ROWS = 1024
_GROWTH = 2


class MappedColumn:
    """One append-only column, and all of its rows as an array.

    Args:
        path, dtype, row_shape: see `ColumnWriter`.

    Raises:
        RunIOError: the column that is there has another dtype or shape.
    """

    def __init__(self, path: Path, dtype: DTypeLike, row_shape: Sequence[int] = ()) -> None:
        self.writer = ColumnWriter(path, dtype, row_shape)
        self._array = np.zeros((0, *self.writer.row_shape), self.writer.dtype)

    def rows(self) -> np.ndarray:
        """Returns all rows, read-only; the array is not to be kept beyond the next `cut`.

        Raises:
            RunIOError: the disk refused.
        """
        count = self.writer.rows
        if count > len(self._array):
            self._map(max(_FEWEST_ROWS, _GROWTH * count))
        return self._array[:count]

    def cut(self, length: int) -> None:
        """Cuts the column back to a committed length in bytes; see `ColumnWriter.cut`."""
        self._array = self._array[:0]
        self.writer.cut(length)

    def _map(self, count: int) -> None:
        writer = self.writer
        # What `length` counts in bytes, for so many rows.
        size = writer.length() // writer.rows * count
        try:
            with os.fdopen(open_plain(writer.path, os.O_RDWR), "r+b") as file:
                file.truncate(size)
                try:
                    mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
                finally:
                    file.truncate(writer.length())
        except OSError as e:
            raise refused(e, f"map {writer.path.name}", writer.path, size) from e
        self._array = np.frombuffer(mapped, writer.dtype).reshape(count, *writer.row_shape)
