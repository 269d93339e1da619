"""The channel between a process and a worker that it started: messages, deadlines, last words.

A message is its kind, one byte, and a content that is mostly pickled; its length goes before it.
The parent's end never waits: who holds it decides how long, and for whom else beside. The worker's
end waits for its parent, and ends the process when that has gone.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import struct
from collections import deque
from collections.abc import Sequence
from multiprocessing.reduction import ForkingPickler
from typing import Any

from curriculum.pool.deadline import Deadline
from curriculum.pool.interpreter import Interpreter

_HEAD = struct.Struct("!cQ")
_CHUNK_BYTES = 1 << 20


def dumps(value: Any) -> bytes:
    """Returns a content for a process at the other end."""
    return bytes(ForkingPickler.dumps(value, 5))


def loads(data: bytes) -> Any:
    """Reads what the process at the other end of a private socket wrote."""
    return ForkingPickler.loads(data)  # pyright: ignore[reportAttributeAccessIssue]


class ParentEnd:
    """A worker as its parent holds it; nothing here waits longer than its socket's own timeout.

    Args:
        module: whose `serve` the worker runs, with its end of the socket and `fds`.
        threads: limit for OpenMP and BLAS threads.
        fds: further file descriptors that it inherits.

    Attributes:
        socket: for selectors and timeouts.
        interpreter: at the other end.
        allowed_s: what the worker was given for what it does.

    Raises:
        OSError: the system starts no more processes, or opens no more files.
    """

    def __init__(self, module: str, threads: int, fds: Sequence[int] = ()) -> None:
        self._outbox: deque[memoryview] = deque()
        self._inbox = bytearray()
        self._first_bytes = 0
        self._last_words: str | None = None
        self.socket, theirs = socket.socketpair()
        try:
            self.interpreter = Interpreter(module, [theirs.fileno(), *fds], threads)
        except OSError:
            self.socket.close()
            raise
        finally:
            theirs.close()
        self.allow(0.0)

    def allow(self, wait_s: float) -> None:
        """Gives the worker so many seconds for what it does."""
        self.allowed_s = wait_s
        self._deadline: Deadline | None = None

    def left(self) -> float:
        """Returns the seconds it has at least, counted from the first question after `allow`."""
        if self._deadline is None:
            # Not when work is given: thousands of steps are in a second, and few last until here.
            self._deadline = Deadline(self.interpreter.process.pid, self.allowed_s)
        return self._deadline.left()

    def put(self, kind: bytes, content: bytes = b"") -> None:
        """Queues a message."""
        self._outbox.append(memoryview(_HEAD.pack(kind, len(content))))
        if content:
            self._outbox.append(memoryview(content))

    def flush(self) -> bool:
        """Sends what the socket takes; says whether that was all.

        Raises:
            EOFError: the worker has gone.
        """
        while self._outbox:
            try:
                sent = self.socket.send(self._outbox[0])
            except BlockingIOError:
                return False
            except ConnectionError as e:
                raise EOFError from e
            rest = self._outbox.popleft()[sent:]
            if rest:
                self._outbox.appendleft(rest)
        return True

    def fill(self) -> bool:
        """Reads what has come; says whether anything has.

        Raises:
            EOFError: the worker has gone.
        """
        try:
            data = self.socket.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return False
        except ConnectionError as e:
            raise EOFError from e
        if not data:
            raise EOFError
        self._inbox += data
        return True

    def take(self) -> tuple[bytes, bytes] | None:
        """Returns kind and content of the next message that is complete; None if none is."""
        if len(self._inbox) < _HEAD.size:
            return None
        kind, length = _HEAD.unpack_from(self._inbox)
        end = _HEAD.size + length
        if len(self._inbox) < end:
            return None
        content = bytes(self._inbox[_HEAD.size : end])
        del self._inbox[:end]
        return kind, content

    def grown_bytes(self) -> int:
        """Returns by how much the worker has grown since this was first asked."""
        now = self.interpreter.resident_bytes()
        self._first_bytes = self._first_bytes or now
        return now - self._first_bytes

    def release(self) -> str:
        """Closes socket and log; returns the last words. May be called again."""
        if self._last_words is None:
            self.socket.close()
            self._last_words = self.interpreter.close_log()
        return self._last_words

    @property
    def released(self) -> bool:
        """Whether `release` was called."""
        return self._last_words is not None


class WorkerEnd:
    """A worker's own end; made first thing in a worker.

    Ctrl-C is left to the parent, and the log will show where the worker was at its end.

    Args:
        fd: of the socket.
    """

    def __init__(self, fd: int) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        faulthandler.enable()
        faulthandler.register(signal.SIGTERM, chain=True)
        os.set_inheritable(fd, False)
        self._socket = socket.socket(fileno=fd)

    def read(self) -> tuple[bytes, bytes]:
        """Waits for a message and returns its kind and content."""
        kind, length = _HEAD.unpack(self._received(_HEAD.size))
        return kind, self._received(length) if length else b""

    def post(self, kind: bytes, content: bytes = b"") -> None:
        """Sends a message."""
        try:
            self._socket.sendall(_HEAD.pack(kind, len(content)))
            if content:
                self._socket.sendall(content)
        except ConnectionError:
            os._exit(0)

    def _received(self, length: int) -> bytes:
        data = b""
        while len(data) < length:
            # A signal may cut even a wait for all short.
            try:
                more = self._socket.recv(length - len(data), socket.MSG_WAITALL)
            except ConnectionError:
                # A parent that was killed with something of ours unread resets the connection.
                more = b""
            if not more:
                os._exit(0)
            data = data + more if data else more
        return data
