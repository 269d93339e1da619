"""Durable files: what is written here is either wholly there after a crash or not there at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
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

READ_LIMIT = 2**30
"""No file of facts comes near; a larger one would only fill the memory."""

_FILES, _DISK, _MEMORY = (
    "open files are short: raise their limit (`ulimit -n`) or end other programs",
    "room on the disk is short: free some",
    "memory is short: end other programs, or lower curriculum.workers or env.num_envs",
)
SHORTAGES = {
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ENOSPC: _DISK,
    errno.EDQUOT: _DISK,
    errno.ENOMEM: _MEMORY,
    errno.EAGAIN: "processes or memory are short: end other programs, or raise `ulimit -u`",
}
"""What may be there again in a moment, by what the system says; nothing is broken then."""


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
        with os.fdopen(open_plain(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
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
    elif error.errno == errno.ELOOP:
        reason = "a link stands in its place"
        way_out = "a run writes through no link; put back what belongs there, then resume"
    elif isinstance(error, NotPlain):
        way_out = "move that away, then resume"
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
    """Replaces a plain file atomically and durably, creating its directory.

    Raises:
        RunIOError: the disk refused, or a link or anything else is in the file's place; what is
            there is untouched.
    """
    files = files or Disk()
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        files.make_directory(path.parent)
        _require_plain(path)
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


def output_path(path: Path) -> Path:
    """Returns where a file that a user named is to be written: links are followed.

    It is asked for before the work for the file is done.

    Raises:
        RunIOError: it is a device, a pipe or a directory, or its links lead in a circle.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return Path(os.path.realpath(path))
    except OSError as e:
        raise RunIOError(f"cannot write {path}: {e.strerror}: name another file") from e
    if not stat.S_ISREG(mode):
        raise RunIOError(f"cannot write {path}: it is {kind_of(mode)}: name a plain file")
    return Path(os.path.realpath(path))


class NotPlain(OSError):
    """Something else than a plain file is in a file's place; its text says what."""


def open_plain(path: Path, flags: int) -> int:
    """Opens a file without following a link, and without waiting where a pipe is in its place.

    Args:
        path: of the file.
        flags: of `os.open`.

    Returns:
        A file descriptor, which the caller closes.

    Raises:
        OSError: as `os.open`; ELOOP if it is a link.
        NotPlain: it is no plain file.
    """
    return _opened(path, flags | os.O_NOFOLLOW)


def read_plain(path: Path, limit: int = READ_LIMIT) -> bytes:
    """Reads a plain file of at most `limit` bytes; a pipe or a device would never end.

    Raises:
        OSError: as `open`.
        NotPlain: it is no plain file, or is larger.
    """
    with os.fdopen(_opened(path, os.O_RDONLY), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise NotPlain(errno.EFBIG, f"it has {size} bytes, expected at most {limit}")
        return file.read(limit)


def read_json(path: Path) -> Any:
    """Returns the content of a JSON file, or None if there is no such file.

    Raises:
        RunIOError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(read_plain(path))
    except FileNotFoundError:
        return None
    except (ValueError, OSError, RecursionError) as e:
        why = e.strerror if isinstance(e, OSError) else e
        raise RunIOError(damaged(path, str(why))) from e


def damaged(path: Path, why: str) -> str:
    """Returns the sentence about a file of a run that holds something else than it has to."""
    return (
        f"cannot read {path}: {why}: expected a JSON file that this program wrote; remove it to "
        f"have its stage done again, or put it back as it was"
    )


def shortage(error: BaseException) -> str | None:
    """Returns what a machine was short of for a moment, if that is what an error came from.

    Args:
        error: what was raised; what it was raised from counts too.
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, OSError) and cause.errno in SHORTAGES:
            return SHORTAGES[cause.errno]
        if isinstance(cause, MemoryError):
            return SHORTAGES[errno.ENOMEM]
        if isinstance(cause, RuntimeError) and "can't start new thread" in str(cause):
            return SHORTAGES[errno.EAGAIN]
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return None


def _require_plain(path: Path) -> None:
    """Raises NotPlain if something else than a plain file has a file's name."""
    with suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode):
            raise NotPlain(errno.EINVAL, f"{kind_of(mode)} is in its place")


def _opened(path: Path, flags: int) -> int:
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise NotPlain(errno.EINVAL, f"{kind_of(mode)} is in its place")
    return handle


def kind_of(mode: int) -> str:
    """Returns what a file is, from its `st_mode`."""
    known = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFLNK: "a link",
    }
    return known.get(stat.S_IFMT(mode), "no plain file")


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
