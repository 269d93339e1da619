"""The parent's end of one worker process."""

from __future__ import annotations

import socket
from collections import deque
from typing import Any

from curriculum.pool.deadline import Deadline
from curriculum.pool.interpreter import Interpreter
from curriculum.pool.worker import LENGTH, loads


class WorkerProcess:
    """The parent's end of one worker process; nothing here ever blocks on the worker."""

    def __init__(self, threads: int) -> None:
        self.unit: int | None = None
        self.ready = False
        self.has_recipe = False
        self.last_words = ""
        self.outbox: deque[memoryview] = deque()
        self._first_bytes = 0
        self._inbox = bytearray()
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        try:
            self.interpreter = Interpreter("curriculum.pool.worker", [theirs.fileno()], threads)
        except OSError:
            self.socket.close()
            raise
        finally:
            theirs.close()
        self.allow(0.0)

    def give(self, number: int, message: bytes, recipe: bytes, wait_s: float) -> None:
        """Queues a unit, and what builds its context if the worker does not have that."""
        self.interpreter.trim_log()
        self.unit = number
        self.allow(wait_s)
        for content in [message] if self.has_recipe else [recipe, message]:
            self.outbox.append(memoryview(LENGTH.pack(len(content))))
            self.outbox.append(memoryview(content))
        self.has_recipe = True

    def allow(self, wait_s: float) -> None:
        """Gives it so many seconds from now for what it does."""
        self.deadline = Deadline(self.interpreter.process.pid, wait_s)

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

    def grown_bytes(self) -> int:
        """Returns by how much the worker has grown since this was first asked."""
        now = self.interpreter.resident_bytes()
        self._first_bytes = self._first_bytes or now
        return now - self._first_bytes

    def release(self) -> None:
        """Closes the socket and the log, of which the last words stay in `last_words`."""
        self.last_words = self.interpreter.close_log()
        self.socket.close()
