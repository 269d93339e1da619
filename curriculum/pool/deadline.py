"""Deadlines of processes, in which the time spent waiting for a processor does not count."""

from __future__ import annotations

import contextlib
import subprocess
import time

from diagnostics.probing.usage import starved_s

PATIENCE = 20
"""A deadline is over after so many times its seconds, however busy the machine is."""

_TICK_S = 0.2


class Deadline:
    """A limit for what a process does, which a busy machine puts off.

    A process that works gets only a share of the time where others want the same processors.
    Linux counts how long each thread was ready to run and had to wait; that is taken off. So a
    process that sleeps, is stopped or loops misses its deadline, and one that merely has to wait
    its turn does not. Where the system does not count (elsewhere than on Linux) all time counts.

    Args:
        pid: the process; its main thread is looked at.
        seconds: what it is given.
    """

    def __init__(self, pid: int, seconds: float) -> None:
        self.seconds = seconds
        self._pid = pid
        self._begun = time.monotonic()
        self._starved = starved_s(pid)

    def left(self) -> float:
        """Returns the seconds that it has at least; 0 when the deadline is missed."""
        passed = time.monotonic() - self._begun
        if passed < self.seconds:
            return self.seconds - passed
        if passed >= PATIENCE * self.seconds:
            return 0.0
        waited = max(0.0, starved_s(self._pid) - self._starved)
        return max(0.0, self.seconds - passed + waited)


def wait(process: subprocess.Popen[bytes], deadline: Deadline) -> None:
    """Waits for a process to end, until its deadline."""
    while process.poll() is None and (left := deadline.left()) > 0:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(min(left, _TICK_S))
