"""Append-only columns: raw rows of one dtype and shape in `<name>.bin`, described by `<name>.json`.

A column is committed by its length in bytes: whatever a crash left beyond it is cut off on resume.
No file stays open between calls.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from curriculum.errors import RunIOError
from curriculum.records.facts import WrongFact, entry
from curriculum.records.files import open_plain, read_json, refused, write_json

MAX_ROW_BYTES = 2**31
"""No observation comes near."""


@dataclass(frozen=True)
class _Description:
    """What `<name>.json` holds: the dtype, or a list of names and dtypes, and a row's shape."""

    dtype: str | list[tuple[str, str]]
    row_shape: tuple[int, ...]


class ColumnWriter:
    """Appends rows to one column.

    Args:
        path: of the `.bin` file; a column that is there is continued.
        dtype: of one entry; stored little-endian.
        row_shape: of one row, `()` for a single number.

    Raises:
        RunIOError: the column that is there has another dtype or shape.
    """

    def __init__(self, path: Path, dtype: DTypeLike, row_shape: Sequence[int]) -> None:
        self.path = path
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self.row_shape = tuple(int(n) for n in row_shape)
        self._row_bytes = self.dtype.itemsize * math.prod(self.row_shape)
        if self._row_bytes == 0:
            raise ValueError(
                f"rows of {path.name} have shape {self.row_shape}, expected no zero in it"
            )
        self._describe()
        self.rows = self._size() // self._row_bytes

    def append(self, rows: np.ndarray) -> None:
        """Appends `[n, *row_shape]`.

        Raises:
            ValueError: wrong shape or dtype; nothing was written.
            RunIOError: the disk refused; the column counts as many rows as before.
        """
        rows = np.asarray(rows)
        if rows.shape[1:] != self.row_shape or rows.ndim != len(self.row_shape) + 1:
            raise ValueError(
                f"rows of {self.path.name} have shape {rows.shape}, expected (n, *{self.row_shape})"
            )
        if not np.can_cast(rows.dtype, self.dtype, "same_kind"):
            raise ValueError(f"rows of {self.path.name} are {rows.dtype}, expected {self.dtype}")
        data = np.ascontiguousarray(rows, self.dtype).data.cast("B") if rows.size else b""
        try:
            with os.fdopen(open_plain(self.path, os.O_RDWR), "r+b") as file:
                # Not the file's end: a write that failed half-way may have left something there.
                file.seek(self.length())
                file.write(data)
        except OSError as e:
            raise refused(
                e, f"append {len(rows)} rows to {self.path.name}", self.path, len(data)
            ) from e
        self.rows += len(rows)

    def length(self) -> int:
        """Returns the length to commit, in bytes."""
        return self.rows * self._row_bytes

    def sync(self) -> None:
        """Waits until all rows are on the disk; do this before a commit names their length.

        Raises:
            RunIOError: the disk refused.
        """
        try:
            with os.fdopen(open_plain(self.path, os.O_RDWR), "r+b") as file:
                file.truncate(self.length())
                os.fsync(file.fileno())
        except OSError as e:
            raise refused(e, f"sync {self.path.name}", self.path, self.length()) from e

    def cut(self, length: int) -> None:
        """Cuts the column back to a committed length in bytes.

        Raises:
            RunIOError: committed rows are missing, or the length is within a row.
        """
        size = self._size()
        if length > size or length % self._row_bytes:
            raise RunIOError(
                f"{self.path} has {size} bytes, but {length} were committed: rows are lost; remove "
                f"{self.path.parent.parent} to have its stage done again"
            )
        self.rows = length // self._row_bytes
        self.sync()

    def _size(self) -> int:
        return self.path.stat().st_size

    def _describe(self) -> None:
        description = self.path.with_suffix(".json")
        wanted = {"dtype": _dtype_to_json(self.dtype), "row_shape": list(self.row_shape)}
        found = read_json(description)
        if found is None:
            write_json(description, wanted)
        elif found != wanted:
            raise RunIOError(
                f"{self.path} holds rows {found}, but {wanted} are to be appended: the environment "
                f"or the configuration has changed; use another run directory"
            )
        try:
            os.close(open_plain(self.path, os.O_WRONLY | os.O_CREAT))
        except OSError as e:
            raise refused(e, f"create {self.path.name}", self.path) from e


def open_column(path: Path) -> np.ndarray:
    """Maps a column read-only, `[rows, *row_shape]`.

    Raises:
        RunIOError: there is no such column, or its files disagree.
    """
    described = path.with_suffix(".json")
    description = read_json(described)
    if (description is None and not described.exists()) or not path.exists():
        raise RunIOError(f"there is no column {path}: run the stage that writes it")
    try:
        told = entry(_Description, description)
        dtype = np.dtype(_dtype_from_json(told.dtype))
        row_bytes = dtype.itemsize * math.prod(told.row_shape)
        if (
            dtype.hasobject
            or not 0 < row_bytes < MAX_ROW_BYTES
            or min(told.row_shape, default=1) < 1
        ):
            raise WrongFact(f"rows of {told.row_shape} times {told.dtype} cannot be")
        with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
            rows, rest = divmod(os.fstat(file.fileno()).st_size, row_bytes)
    except (WrongFact, TypeError, ValueError) as e:
        raise RunIOError(
            f"{described} does not describe a column: {e}; put it back, or remove "
            f"{path.parent.parent} to have its stage done again"
        ) from e
    except OSError as e:
        raise refused(e, f"read {path.name}", path) from e
    shape = told.row_shape
    if rest:
        raise RunIOError(f"{path} ends within a row: its stage did not finish; resume the run")
    if rows == 0:
        return np.zeros((0, *shape), dtype)
    return np.memmap(path, dtype, mode="r", shape=(rows, *shape))


def lengths(columns: Sequence[ColumnWriter]) -> dict[str, int]:
    """Returns the lengths to commit, by file name."""
    return {column.path.name: column.length() for column in columns}


def cut(columns: Sequence[ColumnWriter], committed: Mapping[str, int]) -> None:
    """Cuts columns back to committed lengths; a column without one is emptied."""
    for column in columns:
        column.cut(committed.get(column.path.name, 0))


def _dtype_to_json(dtype: np.dtype) -> object:
    if dtype.names is None:
        return dtype.str
    return [[name, dtype[name].str] for name in dtype.names]


def _dtype_from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [(name, kind) for name, kind in value]
    return value
