"""The parent's end of one worker that plays environments."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

from curriculum.envs.interface import EnvSpec
from curriculum.envs.workers.worker import BUILD, BUSY, CLOSE, HEAD, RAISED, READY, TAKEN
from curriculum.pool.deadline import Deadline, wait
from curriculum.pool.interpreter import FROM_OUTSIDE, Interpreter, end_all
from curriculum.pool.worker import dumps, loads

_TICK = struct.pack("ll", 0, 200_000)
"""A fifth of a second, as the system writes it: how long a worker is waited for in one go."""

_CLOSE_S = 1.0
_CHUNK_BYTES = 1 << 16


class Lost(Exception):
    """A worker cannot be used any more.

    Args:
        event: `env_worker_died`, `env_worker_hung` or `env_worker_raised`.
        how: what happened, half a sentence.
        trace: the traceback of what it raised.
        error: what it raised, pickled; empty where that cannot be sent.
        blameless: it was ended from outside, which says nothing about its environments.
    """

    def __init__(
        self, event: str, how: str, trace: str = "", error: bytes = b"", *, blameless: bool = False
    ) -> None:
        super().__init__(how)
        self.event = event
        self.how = how
        self.trace = trace
        self.error = error
        self.blameless = blameless


class EnvProcess:
    """One worker process; nothing here waits for it longer than a deadline.

    Args:
        build: what the worker builds: the function's name, its arguments but the last, which
            environments of the batch, and how many the batch has.
        memory_fd: the memory in which they are seen.

    Raises:
        Lost: the process could not be started.
    """

    def __init__(self, build: tuple[str, tuple[Any, ...], slice, int], memory_fd: int) -> None:
        self._inbox = bytearray()
        self._wait_s = 0.0
        self._deadline: Deadline | None = None
        self._first_bytes = 0
        self._last_words: str | None = None
        self._build = dumps(build)
        try:
            self._start(memory_fd)
        except OSError as e:
            how = f"could not be started: {type(e).__name__}: {e}"
            raise Lost("env_worker_died", how) from e

    def _start(self, memory_fd: int) -> None:
        with contextlib.ExitStack() as cleanup, contextlib.ExitStack() as given_away:
            self._socket, theirs = socket.socketpair()
            cleanup.callback(self._socket.close)
            given_away.callback(theirs.close)
            lifeline, self._lifeline = os.pipe()
            cleanup.callback(os.close, self._lifeline)
            given_away.callback(os.close, lifeline)
            # Unlike Python's own timeouts these cost no system call each time.
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                self._socket.setsockopt(socket.SOL_SOCKET, option, _TICK)
            fds = [theirs.fileno(), lifeline, memory_fd]
            self._interpreter = Interpreter("curriculum.envs.workers.worker", fds, 1)
            self._cleanup = cleanup.pop_all()

    def begin(self, wait_s: float) -> None:
        """Has the worker build its environments, in so many seconds."""
        self.give(BUILD, wait_s, self._build)

    def ready(self) -> EnvSpec:
        """Returns what the environments look like.

        Raises:
            Lost: they were not built.
        """
        spec = self.answer(READY)
        self._first_bytes = self._interpreter.resident_bytes()
        return spec

    def give(self, kind: bytes, wait_s: float, content: bytes = b"") -> None:
        """Sends a command that is to be answered in so many seconds.

        Raises:
            Lost: the worker does not take it.
        """
        self._wait_s, self._deadline = wait_s, None
        rest = HEAD.pack(kind, len(content)) + content
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                self._look()
            except ConnectionError as e:
                raise self._died() from e

    def answer(self, expected: bytes) -> Any:
        """Returns the content of the answer of this kind.

        Raises:
            Lost: the worker died, raised, or ran past its deadline.
        """
        while True:
            kind, content = self._message()
            if kind == expected:
                return content
            if kind == RAISED:
                raise Lost("env_worker_raised", *content)
            # A step that is done again is taken again; a replay may be longer than any deadline.
            if kind == BUSY:
                self._deadline = None
            elif kind != TAKEN:
                raise Lost("env_worker_raised", f"answered {kind!r} in place of {expected!r}")

    def _message(self) -> tuple[bytes, Any]:
        while True:
            if len(self._inbox) >= HEAD.size:
                kind, length = HEAD.unpack_from(self._inbox)
                end = HEAD.size + length
                if len(self._inbox) >= end:
                    content = loads(bytes(self._inbox[HEAD.size : end])) if length else None
                    del self._inbox[:end]
                    return kind, content
            self._fill()

    def _fill(self) -> None:
        try:
            data = self._socket.recv(_CHUNK_BYTES)
        except BlockingIOError:
            self._look()
            return
        except ConnectionError as e:
            raise self._died() from e
        if not data:
            raise self._died()
        self._inbox += data

    def _look(self) -> None:
        """Raises Lost if there is nothing to wait for."""
        if self._interpreter.process.poll() is not None:
            raise self._died()
        if self._deadline is None:
            # Not when a step is given: thousands are in a second, and few last until here.
            self._deadline = Deadline(self._interpreter.process.pid, self._wait_s)
        if self._deadline.left() <= 0.0:
            raise Lost("env_worker_hung", f"ran past its deadline of {self._wait_s:g} s")

    def _died(self) -> Lost:
        self.end()
        blameless = -self._interpreter.process.returncode in FROM_OUTSIDE
        return Lost("env_worker_died", self._interpreter.describe_end(), blameless=blameless)

    def grown_bytes(self) -> int:
        """Returns by how much the worker has grown since it was ready."""
        return self._interpreter.resident_bytes() - self._first_bytes

    def trim_log(self) -> None:
        """Empties a log that has grown long."""
        self._interpreter.trim_log()

    def end(self) -> str:
        """Ends the process and what it started; returns its last words. May be called again."""
        if self._last_words is None:
            end_all([self._interpreter])
            self._cleanup.close()
            self._last_words = self._interpreter.close_log()
        return self._last_words

    def ask_to_close(self) -> None:
        """Tells the worker to close its environments and end, if it listens."""
        if self._last_words is None:
            with contextlib.suppress(OSError):
                self._socket.setblocking(False)
                self._socket.send(HEAD.pack(CLOSE, 0))
            self._deadline = Deadline(self._interpreter.process.pid, _CLOSE_S)

    def wait(self) -> None:
        """Waits for a process that was asked to close to end by itself, but not for long."""
        if self._last_words is None and self._deadline is not None:
            wait(self._interpreter.process, self._deadline)


def close_all(processes: Sequence[EnvProcess]) -> None:
    """Closes workers and waits for them: first politely and together, then by force."""
    for process in processes:
        process.ask_to_close()
    for process in processes:
        process.wait()
    for process in processes:
        process.end()
