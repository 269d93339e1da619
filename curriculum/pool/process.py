"""The parent's end of one worker process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from typing import Any

from curriculum.pool.worker import LENGTH, loads

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]);"
    "from curriculum.pool.worker import serve; serve(int(sys.argv[1]))"
)
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_LOG_BYTES = 1 << 20
_TAIL_BYTES = 2000


class WorkerProcess:
    """The parent's end of one worker process; nothing here ever blocks on the worker."""

    def __init__(self, threads: int) -> None:
        self.unit: int | None = None
        self.deadline = 0.0
        self.ready = False
        self.has_recipe = False
        self.last_words = ""
        self.outbox: deque[memoryview] = deque()
        self._inbox = bytearray()
        # Appending keeps the position right when the file is emptied under the writer.
        self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the worker
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        try:
            self.process = self._start(theirs.fileno(), threads)
        except OSError:
            self.release()
            raise
        finally:
            theirs.close()

    def _start(self, fd: int, threads: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", _BOOT, str(fd), json.dumps(sys.path)],
            pass_fds=[fd],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=_environment(threads),
            start_new_session=True,
        )

    def give(self, number: int, message: bytes, recipe: bytes, wait_s: float) -> None:
        """Queues a unit, and what builds its context if the worker does not have that."""
        if os.fstat(self._log.fileno()).st_size > _LOG_BYTES:
            os.ftruncate(self._log.fileno(), 0)
        self.unit = number
        self.deadline = time.monotonic() + wait_s
        for content in [message] if self.has_recipe else [recipe, message]:
            self.outbox.append(memoryview(LENGTH.pack(len(content))))
            self.outbox.append(memoryview(content))
        self.has_recipe = True

    def flush(self) -> None:
        """Sends what the socket takes now."""
        while self.outbox:
            try:
                sent = self.socket.send(self.outbox[0])
            except BlockingIOError:
                # The socket is full; the selector says when it is not.
                return
            rest = self.outbox.popleft()[sent:]
            if rest:
                self.outbox.appendleft(rest)

    def receive(self) -> list[tuple[Any, ...]]:
        """Returns the messages that are complete; raises EOFError when the worker has gone."""
        data = self.socket.recv(1 << 20)
        if not data:
            raise EOFError
        self._inbox += data
        messages = []
        while len(self._inbox) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(self._inbox)[0]
            if len(self._inbox) < end:
                break
            messages.append(loads(bytes(self._inbox[LENGTH.size : end])))
            del self._inbox[:end]
        return messages

    def signal(self, number: signal.Signals) -> None:
        """Signals the worker and what it started; one that is gone needs none."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def release(self) -> None:
        """Closes the socket and the log, of which the last words stay in `last_words`."""
        size = os.fstat(self._log.fileno()).st_size
        tail = os.pread(self._log.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        self.last_words = tail.decode(errors="replace")
        self._log.close()
        self.socket.close()


def _environment(threads: int) -> dict[str, str]:
    """Returns a worker's environment: few threads, as workers share the cores, and no screen."""
    screenless = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
    return {**screenless, **os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads))}
