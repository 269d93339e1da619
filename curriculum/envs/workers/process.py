"""The parent's end of one worker that plays environments."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

from curriculum.envs.interface import EnvSpec
from curriculum.envs.workers.worker import BUILD, BUSY, CLOSE, RAISED, READY, TAKEN
from curriculum.pool.channel import ParentEnd, dumps, loads
from curriculum.pool.deadline import Deadline, wait
from curriculum.pool.interpreter import FROM_OUTSIDE, end_all

_TICK = struct.pack("ll", 0, 200_000)
"""A fifth of a second, as the system writes it: how long a worker is waited for in one go."""

_CLOSE_S = 1.0


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
        self._build = dumps(build)
        self._closing: Deadline | None = None
        try:
            self._end = self._started(memory_fd)
        except OSError as e:
            how = f"could not be started: {type(e).__name__}: {e}"
            raise Lost("env_worker_died", how) from e

    def _started(self, memory_fd: int) -> ParentEnd:
        lifeline, self._lifeline = os.pipe()
        try:
            end = ParentEnd("curriculum.envs.workers.worker", 1, [lifeline, memory_fd])
        except OSError:
            os.close(self._lifeline)
            raise
        finally:
            os.close(lifeline)
        # Unlike Python's own timeouts these cost no system call each time.
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            end.socket.setsockopt(socket.SOL_SOCKET, option, _TICK)
        return end

    def begin(self, wait_s: float) -> None:
        """Has the worker build its environments, in so many seconds."""
        self.give(BUILD, wait_s, self._build)

    def ready(self) -> EnvSpec:
        """Returns what the environments look like.

        Raises:
            Lost: they were not built.
        """
        spec = self.answer(READY)
        self._end.grown_bytes()  # it is counted from here on
        return spec

    def give(self, kind: bytes, wait_s: float, content: bytes = b"") -> None:
        """Sends a command that is to be answered in so many seconds.

        Raises:
            Lost: the worker does not take it.
        """
        self._end.allow(wait_s)
        self._end.put(kind, content)
        self._wait_until(self._end.flush)

    def answer(self, expected: bytes) -> Any:
        """Returns the content of the answer of this kind.

        Raises:
            Lost: the worker died, raised, or ran past its deadline.
        """
        while True:
            while (message := self._end.take()) is None:
                self._wait_until(self._end.fill)
            kind, content = message
            if kind == expected:
                return loads(content) if content else None
            if kind == RAISED:
                raise Lost("env_worker_raised", *loads(content))
            # A step that is done again is taken again; a replay may be longer than any deadline.
            if kind == BUSY:
                self._end.allow(self._end.allowed_s)
            elif kind != TAKEN:
                raise Lost("env_worker_raised", f"answered {kind!r} in place of {expected!r}")

    def _wait_until(self, done: Callable[[], bool]) -> None:
        """Does something to the channel, which may take some of its timeouts."""
        try:
            while not done():
                self._look()
        except EOFError as e:
            raise self._died() from e

    def _look(self) -> None:
        """Raises Lost if there is nothing to wait for."""
        if self._end.interpreter.process.poll() is not None:
            raise self._died()
        if self._end.left() <= 0.0:
            how = f"ran past its deadline of {self._end.allowed_s:g} s"
            raise Lost("env_worker_hung", how)

    def _died(self) -> Lost:
        self.end()
        interpreter = self._end.interpreter
        blameless = -interpreter.process.returncode in FROM_OUTSIDE
        return Lost("env_worker_died", interpreter.describe_end(), blameless=blameless)

    def grown_bytes(self) -> int:
        """Returns by how much the worker has grown since it was ready."""
        return self._end.grown_bytes()

    def trim_log(self) -> None:
        """Empties a log that has grown long."""
        self._end.interpreter.trim_log()

    def end(self) -> str:
        """Ends the process and what it started; returns its last words. May be called again."""
        if not self._end.released:
            end_all([self._end.interpreter])
            os.close(self._lifeline)
        return self._end.release()

    def ask_to_close(self) -> None:
        """Tells the worker to close its environments and end, if it listens."""
        if not self._end.released:
            self._end.socket.setblocking(False)
            self._end.put(CLOSE)
            with contextlib.suppress(EOFError):
                self._end.flush()
            self._closing = Deadline(self._end.interpreter.process.pid, _CLOSE_S)

    def wait(self) -> None:
        """Waits for a process that was asked to close to end by itself, but not for long."""
        if self._closing is not None and not self._end.released:
            wait(self._end.interpreter.process, self._closing)


def close_all(processes: Sequence[EnvProcess]) -> None:
    """Closes workers and waits for them: first politely and together, then by force."""
    for process in processes:
        process.ask_to_close()
    for process in processes:
        process.wait()
    for process in processes:
        process.end()
