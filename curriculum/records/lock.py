"""The lock that keeps a directory to one process; the system gives it back when that ends."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from curriculum.errors import RunLocked
from curriculum.records.facts import WrongFact, entry
from curriculum.records.files import open_plain, refused


class DirectoryLock:
    """Takes a directory for this process, by the file `lock` in it.

    Args:
        path: of the directory, which is there.
        given: the same as the user named it, for sentences.
    """

    def __init__(self, path: Path, given: Path) -> None:
        self._path, self._given = path, given
        self._handle: int | None = None
        self._owner = 0

    @property
    def held(self) -> bool:
        """Whether this process has it; a forked child does not."""
        return self._handle is not None and self._owner == os.getpid()

    def take(self) -> None:
        """Takes the directory; harmless if this process has it already.

        Raises:
            RunLocked: another process has it.
            RunIOError: the disk refused, or something else is in the place of the lock.
        """
        if self.held:
            return
        try:
            handle = open_plain(self._path / "lock", os.O_RDWR | os.O_CREAT)
        except OSError as e:
            raise refused(e, "create the lock", self._path) from e
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _sign(handle)
        except OSError as e:
            holder = _holder(handle)
            os.close(handle)
            if e.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise RunLocked(
                    f"{self._given} is in use by {holder}: wait for it, stop it, or choose another "
                    f"--run-dir"
                ) from e
            raise refused(e, "lock the run", self._path) from e
        self._handle, self._owner = handle, os.getpid()

    def release(self) -> None:
        """Gives the directory back; harmless if it is not held."""
        if self._handle is None:
            return
        if self._owner == os.getpid():
            os.ftruncate(self._handle, 0)
            # Closing is not enough: a forked child would keep the directory with its copy.
            fcntl.flock(self._handle, fcntl.LOCK_UN)
        os.close(self._handle)
        self._handle = None


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes:
        pid, host: its process.
        started: when it took it, in unix seconds.
    """

    pid: int
    host: str
    started: int


def holder_of(path: Path) -> Holder | None:
    """Returns who signed the lock of a directory last; None where nobody has."""
    try:
        handle = open_plain(path / "lock", os.O_RDONLY)
    except OSError:
        return None
    try:
        return _signed(handle)
    finally:
        os.close(handle)


def _sign(handle: int) -> None:
    """Writes who holds the lock, for whoever is refused."""
    holder = Holder(os.getpid(), socket.gethostname(), int(time.time()))
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(asdict(holder)).encode(), 0)


def _signed(handle: int) -> Holder | None:
    try:
        return entry(Holder, json.loads(os.pread(handle, 4096, 0)))
    except (ValueError, WrongFact, OSError, RecursionError):
        return None


def _holder(handle: int) -> str:
    holder = _signed(handle)
    try:
        if holder is not None:
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.started))
            return f"process {holder.pid} on {holder.host} since {since}"
    except (ValueError, OverflowError, OSError):
        pass  # there is no such time
    return "another process"
