"""How long a process may take: judged by its own work, for a busy machine makes all things slow.

Of the wall time that a process takes, some is the machine's: while other programs had the cores, or
while a disk looked for what was asked. Only the rest is the process's own, and only that is held
against the limit. So a hang costs the limit, as it would on an idle machine, and an import that
needs 2 s of computing succeeds even where 2 s of computing take a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from diagnostics.probing.usage import Usage, busy

STRETCH = 8
"""No process gets more than this many times its limit of wall time, however busy the machine is."""

LOOK_S = 0.5
"""Time between two looks at a process whose limit is over."""


class Patience:
    """The limit of one process, or of one step of it.

    A process that sleeps is over after `limit_s` of wall time, one that computes without an end
    after `limit_s` of CPU time, and any after `STRETCH * limit_s` of wall time.

    Args:
        limit_s: seconds of its own.
        clock: seconds that only grow.
        crowded: whether more wants to run than there are cores; asked only where the system does
            not say how long a process waited for one.

    Attributes:
        extended: whether it was given longer because the machine is busy.
        waited_s: seconds that it was kept waiting for a core when last looked at.
        cpu_s: seconds of CPU it had used when last looked at.
        looked_at_s: seconds from the beginning to the last look.
    """

    def __init__(
        self,
        limit_s: float,
        clock: Callable[[], float] = time.monotonic,
        crowded: Callable[[], bool] = busy,
    ) -> None:
        self.limit_s = limit_s
        self._clock = clock
        self._crowded = crowded
        self.begin(Usage())

    @property
    def hard_s(self) -> float:
        """Seconds of wall time after which it is over in any case."""
        return STRETCH * self.limit_s

    @property
    def elapsed_s(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._began

    def begin(self, used: Usage) -> None:
        """Begins a step: what was used before it does not count."""
        self._base, self._last = used, used
        self._began = self._clock()
        # The first look only shows what grows until the second one.
        self._next_look = self._began + self.limit_s - LOOK_S
        self.extended = False
        self.waited_s = self.cpu_s = self.looked_at_s = 0.0

    def due(self) -> bool:
        """Whether it is time to look what the process has used."""
        return self._clock() >= self._next_look

    def over(self, used: Usage) -> bool:
        """Decides, from what a process has used up to now, whether it has had its time."""
        before, self._last = self._last, used
        self.looked_at_s = elapsed = self.elapsed_s
        self._next_look = self._clock() + LOOK_S
        self.cpu_s = max(0.0, used.cpu_s - self._base.cpu_s)
        self.waited_s = self._waited(before, used, elapsed)
        if elapsed < self.limit_s:
            return False
        if elapsed >= self.hard_s or self.cpu_s >= self.limit_s:
            return True
        works = elapsed - self.waited_s < self.limit_s or _held_up(before, used)
        self.extended = self.extended or works
        return not works

    def _waited(self, before: Usage, used: Usage, elapsed: float) -> float:
        if used.waited_s is not None:
            return min(elapsed, max(0.0, used.waited_s - (self._base.waited_s or 0.0)))
        # All that is known is whether it computes at all, and whether others want to as well.
        starved = used.cpu_s > before.cpu_s and self._crowded()
        return max(0.0, elapsed - self.cpu_s) if starved else 0.0


def _held_up(before: Usage, used: Usage) -> bool:
    """Whether a process waits for the machine right now, in a way that is counted only later."""
    reads = used.disk > before.disk
    queues = used.ready and used.cpu_s == before.cpu_s
    return reads or queues
