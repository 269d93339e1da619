"""An engine as its door sees it: how it starts, how it is ended, and that nothing of it is left."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import IO

from curriculum.door.messages import DoorEnd
from curriculum.door.watch import descendants
from curriculum.progress import Orders

_WORDS_BYTES = 8000
_SUBREAPER = 36
_SWEEPS, _PAUSE_S = 100, 0.02
_LAST_WORDS_S = 0.3

WORDS_SIGNAL = signal.SIGQUIT
"""Has an engine write down where it is."""


class EngineProcess:
    """The process that does the work of a command, in a process group of its own.

    The terminal's signals come to the door alone, which passes them on once.

    Args:
        argv: of the command.
        orders: what it is to do otherwise.

    Raises:
        OSError: the system starts no more processes, or opens no more files.
    """

    def __init__(self, argv: Sequence[str], orders: Orders) -> None:
        ours, theirs = socket.socketpair()
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as the engine
        with theirs:
            fds = (theirs.fileno(), self._words.fileno())
            command = [*_interpreter(), "-m", "curriculum.door.engine", *map(str, fds), *argv]
            self.process = subprocess.Popen(command, pass_fds=fds, process_group=0)
        self.last_words = ""
        """The stack that it left behind, once it is cleared away."""
        self.end = DoorEnd(ours, secrets.token_hex(16))
        self.end.order(orders)

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int) -> None:
        """Signals the engine alone; one that is gone needs none."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self, *, for_words: bool = False) -> None:
        """Kills the engine and all that descends from it.

        Args:
            for_words: have it write down where it is before.
        """
        if for_words:
            self.signal(WORDS_SIGNAL)
            time.sleep(_LAST_WORDS_S)
        relatives = [self.pid, *descendants(self.pid)]
        for pid in relatives:
            _kill(pid)
        self.process.wait()

    def clear(self) -> None:
        """Ends what the engine left behind, wherever it hides, and closes what was shared."""
        self.process.wait()
        self.end.close()
        sweep()
        size = os.fstat(self._words.fileno()).st_size
        start = max(0, size - _WORDS_BYTES)
        self.last_words = os.pread(self._words.fileno(), _WORDS_BYTES, start).decode(
            "utf-8", "replace"
        )
        self._words.close()


def adopt_orphans() -> None:
    """Has the system give us whatever loses its parent below us, so that it can be ended."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def sweep() -> None:
    """Kills every descendant of this process and takes it away."""
    for _ in range(_SWEEPS):
        left = list(descendants(os.getpid()))
        for pid in left:
            _kill(pid)
        for pid in left:
            # A grandchild is ours only once its parent has gone.
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if not left:
            return
        time.sleep(_PAUSE_S)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _interpreter() -> list[str]:
    """Returns this interpreter with the options it was started with."""
    typed = sys.orig_argv
    end = typed.index("-m") if "-m" in typed and "curriculum" in typed else 1
    return [sys.executable, *typed[1:end]]
