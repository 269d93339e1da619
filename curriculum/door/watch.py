"""Is a process at work, or does it stand still? Judged by what it uses of the processors.

A process that merely waits for its turn on a busy machine works: Linux counts for each thread how
long it was ready to run and had to wait. One that reads from a slow disk works too. Where the
system counts nothing (elsewhere than on Linux), everything counts as work.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from diagnostics.probing.usage import starved_s

STILL_SHARE = 0.05
"""A process that uses less of one core than this, for as long as it may, stands still."""

SAMPLE_S = 1.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Reading:
    """What a family of processes has used by now.

    Attributes:
        cpu_s: seconds on a processor, by process.
        waited_s: seconds in which the main thread of the first was ready and had to wait.
        held: it is stopped, or sits in the kernel: no fault of its own.
    """

    cpu_s: dict[int, float]
    waited_s: float
    held: bool

    def used_since(self, before: Reading) -> float:
        """Returns the seconds used or waited since another reading."""
        grown = (now - before.cpu_s.get(pid, 0.0) for pid, now in self.cpu_s.items())
        return sum(max(0.0, more) for more in grown) + max(0.0, self.waited_s - before.waited_s)


def read(pid: int) -> Reading | None:
    """Reads what a process and its descendants have used; None where the system does not say."""
    found = _stat(pid)
    if found is None:
        return None
    state, own_s = found
    family = {pid: own_s}
    for relative in descendants(pid):
        entry = _stat(relative)
        if entry is not None:
            family[relative] = entry[1]
    return Reading(family, starved_s(pid), state in "DTt")


def descendants(pid: int) -> Iterator[int]:
    """Yields the processes that descend from one, children before their children."""
    for task in _listed(Path(f"/proc/{pid}/task")):
        try:
            children = (task / "children").read_text(encoding="ascii").split()
        except OSError:
            continue  # the thread has ended
        for child in map(int, children):
            yield child
            yield from descendants(child)


class Stillness:
    """Notices when a process has stood still for too long.

    Args:
        pid: of the process.
        clock: seconds that only grow.
        reader: reads what it has used.
    """

    def __init__(
        self,
        pid: int,
        clock: Callable[[], float] = time.monotonic,
        reader: Callable[[int], Reading | None] = read,
    ) -> None:
        self._pid, self._clock, self._reader = pid, clock, reader
        self._looked = self._sign = self._since = clock()
        self._last = reader(pid)
        self._first = self._last

    def alive(self) -> None:
        """Takes a sign of life."""
        self._sign = self._clock()

    def begin(self) -> None:
        """Starts to count anew, because another piece of work begins."""
        self._looked = self._sign = self._since = self._clock()
        self._last = self._first = self._reader(self._pid)

    @property
    def used_s(self) -> float:
        """Seconds on processors since `begin`."""
        if self._last is None or self._first is None:
            return 0.0
        return sum(self._last.cpu_s.values()) - sum(self._first.cpu_s.values())

    @property
    def lasted_s(self) -> float:
        """Seconds since `begin`."""
        return self._clock() - self._since

    def still_s(self) -> float:
        """Returns for how many seconds there has been no sign of life, looking if it is time to."""
        now = self._clock()
        if now - self._looked >= SAMPLE_S:
            reading, before = self._reader(self._pid), self._last
            if reading is None or before is None or self._works(reading, before, now):
                self._sign = now
            self._last, self._looked = reading, now
        return now - self._sign

    def _works(self, reading: Reading, before: Reading, now: float) -> bool:
        used = reading.used_since(before)
        return reading.held or used >= STILL_SHARE * (now - self._looked)


def _stat(pid: int) -> tuple[str, float] | None:
    """Returns a process's state and the seconds it has used."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 1 :].split()
    return fields[0], (int(fields[11]) + int(fields[12])) / _TICKS


def _listed(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []  # the process has ended, or there is no /proc
