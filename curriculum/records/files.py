"""Durable files: what is written here is either wholly there after a crash or not there at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from curriculum.errors import RunIOError

MIB = 2**20
RESERVE_BYTES = 4 * MIB
"""Room that a commit leaves on the disk, so that the ledger and the report can still be written."""


class Files(Protocol):
    """The five things a commit asks of a disk; tests hand in ones that fail at the n-th call."""

    def make_directory(self, path: Path) -> None:
        """Creates a directory and its parents; one that is there is fine."""
        ...

    def write(self, path: Path, data: bytes) -> None:
        """Writes a file and waits until its bytes are on the disk."""
        ...

    def replace(self, source: Path, target: Path) -> None:
        """Renames in one atomic step."""
        ...

    def sync_directory(self, path: Path) -> None:
        """Waits until the names in a directory are on the disk."""
        ...

    def remove_tree(self, path: Path) -> None:
        """Removes a directory and all that is in it."""
        ...


class Disk:
    """The real thing."""

    def make_directory(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    def write(self, path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def replace(self, source: Path, target: Path) -> None:
        source.replace(target)

    def sync_directory(self, path: Path) -> None:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def remove_tree(self, path: Path) -> None:
        shutil.rmtree(path)


def refused(error: OSError, what: str, path: Path, needed_bytes: int = 0) -> RunIOError:
    """Turns an OSError into the sentence a user can act on.

    Args:
        error: what the system said.
        what: the attempt, e.g. `write commit 000012`.
        path: where.
        needed_bytes: how much room it needed, if that is known.
    """
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        way_out = f"it needs {_mib(needed_bytes)} there, {_free(path)}; free space, then resume"
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        way_out = "it needs a directory that this user may write to; change that, then resume"
    elif error.errno in (errno.ENOENT, errno.ENOTDIR):
        way_out = "it was moved or removed while it was in use; put it back and resume, or run anew"
    elif error.errno in (errno.EMFILE, errno.ENFILE):
        way_out = "raise the limit of open files (`ulimit -n`), then resume"
    elif error.errno == errno.EFBIG:
        way_out = "raise the limit of file sizes (`ulimit -f`), then resume"
    else:
        way_out = "look at the disk, then resume: the last commit is untouched"
    return RunIOError(f"cannot {what} in {path}: {reason}: {way_out}")


def require_room(path: Path, needed_bytes: int) -> None:
    """Refuses a write that the disk has no room for, before any of it is written.

    Args:
        path: where it is to be written; need not be there yet.
        needed_bytes: its size, and what has to stay free.

    Raises:
        OSError: ENOSPC, if there is less.
    """
    existing = _existing(path)
    if existing is None:
        return
    if shutil.disk_usage(existing).free < needed_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_bytes(path: Path, data: bytes, files: Files | None = None) -> None:
    """Replaces a file atomically and durably, creating its directory.

    Raises:
        RunIOError: the disk refused; the old file is untouched.
    """
    files = files or Disk()
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        files.make_directory(path.parent)
        files.write(temporary, data)
        files.replace(temporary, path)
        files.sync_directory(path.parent)
    except OSError as e:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise refused(e, f"write {path.name}", path.parent, len(data)) from e


def write_json(path: Path, value: Any) -> None:
    """Replaces a JSON file atomically and durably; see `to_json` for what a value may hold.

    Floats that are not finite are written as Python's `json` reads them back.

    Raises:
        RunIOError: the disk refused; the old file is untouched.
    """
    text = json.dumps(to_json(value), indent=2, ensure_ascii=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    """Returns the content of a JSON file, or None if there is no such file.

    Raises:
        RunIOError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, OSError, RecursionError) as e:
        raise RunIOError(
            f"cannot read {path}: {e}: expected a JSON file that this program wrote; "
            f"remove it to have its stage done again"
        ) from e


def to_json(value: Any) -> Any:
    """Turns numpy values, paths, tuples, sets and dataclasses into what `json` can write.

    Raises:
        TypeError: something has no JSON counterpart.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return _plain(value)
    if isinstance(value, np.generic | np.ndarray):
        return to_json(value.tolist())
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, Set):
        return sorted(to_json(item) for item in value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [to_json(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return to_json(asdict(value))
    raise TypeError(f"cannot write {value!r} as JSON: expected numbers, text, lists or mappings")


def _plain(value: Any) -> Any:
    """Strips subclasses (numpy's float64 is a float, enums are texts or ints) down to the base."""
    if isinstance(value, str):
        return str.__str__(value)
    for kind in (bool, int, float):
        if isinstance(value, kind):
            return kind(value)
    return value


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / MIB:.1f} MiB" if size_bytes else "more room"


def _free(path: Path) -> str:
    existing = _existing(path)
    if existing is None:
        return "free space unknown"
    return f"{shutil.disk_usage(existing).free / MIB:.1f} MiB are free"


def _existing(path: Path) -> Path | None:
    return next((p for p in (path, *path.parents) if p.exists()), None)
