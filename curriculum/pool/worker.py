"""The working side of the pool: a process that does units as they come over a socket."""

from __future__ import annotations

import os
import queue
import threading
import traceback
from typing import Any

from curriculum.errors import EnvironmentFault
from curriculum.pool.channel import WorkerEnd, dumps, loads
from curriculum.pool.reference import resolve

CONTEXT, UNIT = b"C", b"U"
READY, DONE, FAILED = b"r", b"d", b"f"


class Bench:
    """A process's context and the units done with it, in a worker and in the parent alike."""

    def __init__(self, build: str, args: tuple[Any, ...]) -> None:
        self._build = build
        self._args = args
        self._context: Any = None
        self._built = False

    def answer(self, function: str, unit: Any) -> tuple[bytes, bytes]:
        """Returns the message, kind and content, that tells the unit's result or error."""
        try:
            if not self._built and self._build:
                self._context = resolve(self._build)(*self._args)
            self._built = True
            return DONE, dumps(resolve(function)(self._context, unit))
        except (Exception, SystemExit) as e:  # noqa: BLE001 - the parent records it and decides
            fault = dumps(e) if isinstance(e, EnvironmentFault) else b""
            return FAILED, dumps((f"{type(e).__name__}: {e}", traceback.format_exc(), fault))

    def close(self) -> None:
        """Closes the context if it can be closed."""
        close = getattr(self._context, "close", None)
        if close is not None:
            close()


def serve(fd: int) -> None:
    """Does units as they come over a socket until it closes: the body of a worker process.

    Args:
        fd: the worker's end of the socket.
    """
    parent = WorkerEnd(fd)
    inbox: queue.SimpleQueue[tuple[bytes, bytes]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(parent, inbox), daemon=True).start()
    parent.post(READY)
    bench = Bench("", ())
    while True:
        kind, content = inbox.get()
        if kind == CONTEXT:
            bench.close()
            bench = Bench(*loads(content))
        else:
            parent.post(*bench.answer(*loads(content)))


def _listen(parent: WorkerEnd, inbox: queue.SimpleQueue[tuple[bytes, bytes]]) -> None:
    """Takes messages until the parent is gone, which ends this process, busy or not."""
    try:
        while True:
            inbox.put(parent.read())
    finally:
        os._exit(0)
