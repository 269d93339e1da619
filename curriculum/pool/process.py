"""One worker process as the pool sees it."""

from __future__ import annotations

from curriculum.pool.channel import ParentEnd
from curriculum.pool.worker import CONTEXT, UNIT


class WorkerProcess:
    """A worker and the unit that it does; nothing here ever waits for the worker.

    Args:
        threads: limit for OpenMP and BLAS threads.

    Attributes:
        end: the channel to it.
        unit: the number of what it does; None while it is idle.
        ready: whether it has said so.
        has_recipe: whether it has been told what builds its context.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, threads: int) -> None:
        self.unit: int | None = None
        self.ready = False
        self.has_recipe = False
        self.end = ParentEnd("curriculum.pool.worker", threads)
        self.end.socket.setblocking(False)

    def give(self, number: int, message: bytes, recipe: bytes, wait_s: float) -> None:
        """Queues a unit, and what builds its context if the worker does not have that."""
        self.end.interpreter.trim_log()
        self.unit = number
        self.end.allow(wait_s)
        if not self.has_recipe:
            self.end.put(CONTEXT, recipe)
        self.end.put(UNIT, message)
        self.has_recipe = True
