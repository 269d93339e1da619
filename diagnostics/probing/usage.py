"""What processes have used of the machine, as the kernel counts it, and how busy the machine is."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from diagnostics.cores import available_cores

PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_READY = "R"


@dataclass(frozen=True)
class Usage:
    """What some processes have used since they were started.

    Attributes:
        cpu_s: seconds of CPU, those of children that have ended included.
        waited_s: seconds in which a thread was ready to run and had no core, summed over the
            threads; None where the system does not say.
        disk: counts faults and bytes that had to come from a disk; only its growth means something.
        ready: whether a thread is running, or would run if it had a core.
    """

    cpu_s: float = 0.0
    waited_s: float | None = 0.0
    disk: int = 0
    ready: bool = False


def usage(pids: Iterable[int]) -> Usage:
    """Returns what processes have used together; one that has ended adds nothing."""
    if not (PROC / "self" / "stat").exists():
        return _psutil_usage(pids)
    found = [one for one in map(_of_process, pids) if one is not None]
    waits = [one.waited_s for one in found if one.waited_s is not None]
    return Usage(
        cpu_s=sum(one.cpu_s for one in found),
        waited_s=sum(waits) if len(waits) == len(found) else None,
        disk=sum(one.disk for one in found),
        ready=any(one.ready for one in found),
    )


def load() -> float:
    """Returns the load of the last minute: how many processes ran or waited for a core."""
    return os.getloadavg()[0]


def busy() -> bool:
    """Whether more wants to run here than there are cores."""
    return load() > available_cores()


def describe_load() -> str:
    """Returns the load in words, e.g. `load 14.2 on 2 cores`."""
    cores = available_cores()
    return f"load {load():.1f} on {cores} core{'s' if cores > 1 else ''}"


def _of_process(pid: int) -> Usage | None:
    directory = PROC / str(pid)
    try:
        fields = stat_fields(directory)
        threads = list((directory / "task").iterdir())
    except OSError:
        return None  # it ended
    ticks = sum(int(fields[i]) for i in (11, 12, 13, 14))
    faults = int(fields[9]) + int(fields[10])
    waits = [_waited_s(thread) for thread in threads]
    return Usage(
        cpu_s=ticks / _TICKS_PER_S,
        waited_s=None if None in waits else sum(w for w in waits if w is not None),
        disk=faults + _bytes_read(directory),
        ready=any(_state(thread) == _READY for thread in threads),
    )


def stat_fields(directory: Path) -> list[str]:
    """Returns the fields of a process's or thread's `stat` from its state on.

    Raises:
        OSError: it ended.
    """
    text = (directory / "stat").read_text(encoding="utf-8", errors="replace")
    return text[text.rindex(")") + 1 :].split()


def starved_s(pid: int) -> float:
    """Returns how long a process's main thread was ready to run and had no core; 0 if unknown."""
    return _waited_s(PROC / str(pid)) or 0.0


def _waited_s(thread: Path) -> float | None:
    try:
        return int((thread / "schedstat").read_text(encoding="utf-8").split()[1]) / 1e9
    except FileNotFoundError:
        return 0.0 if not thread.exists() else None  # it ended, or this kernel does not count
    except (OSError, ValueError, IndexError):
        return 0.0  # it ended while it was read


def _state(thread: Path) -> str:
    try:
        return stat_fields(thread)[0]
    except OSError:
        return ""  # it ended


def _bytes_read(directory: Path) -> int:
    try:
        lines = (directory / "io").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0  # it ended, or the system keeps it to itself
    return next((int(line.split()[1]) for line in lines if line.startswith("read_bytes")), 0)


def _psutil_usage(pids: Iterable[int]) -> Usage:
    """Seconds of CPU where there is no /proc; nothing is known of waiting there."""
    try:
        import psutil
    except ImportError:
        return Usage(waited_s=None)
    cpu_s = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue  # it ended, or is another user's
        cpu_s += times.user + times.system
    return Usage(cpu_s=cpu_s, waited_s=None)
