"""How many processor cores this process may use: the one place that counts them.

A machine of 64 cores may give a container two of them. `os.cpu_count` would start 64 workers there,
which then wait for each other, so nothing else in the house asks the system for its cores.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

PROC = Path("/proc/self")


def available_cores() -> int:
    """Returns the cores this process may use, at least 1: its affinity and its cgroup's limit."""
    return max(1, math.ceil(min(visible_cores(), cgroup_cores(PROC))))


def visible_cores() -> int:
    """Returns the cores this process may be placed on, whatever share of them it is granted.

    That is what OpenMP and BLAS count: neither knows the limit of a cgroup.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS has no affinity


@cache
def cgroup_cores(proc: Path) -> float:
    """Returns how many cores' worth of time the control groups grant, infinity without a limit.

    Args:
        proc: directory with `cgroup` and `mountinfo` of a process. Both versions of control groups
            are read, and of all groups above the process's own the narrowest counts.
    """
    try:
        groups = (proc / "cgroup").read_text(encoding="utf-8")
        mounts = (proc / "mountinfo").read_text(encoding="utf-8")
    except OSError:
        return math.inf  # no Linux, hence no control groups
    found = (_granted(directory) for directory in _directories(groups, mounts))
    return min(found, default=math.inf)


def _directories(groups: str, mounts: str) -> Iterator[Path]:
    """Yields the directories of the groups that limit a process's time, its own first."""
    paths = {}
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            paths["cgroup" if controllers else "cgroup2"] = PurePosixPath(path)
    for line in mounts.splitlines():
        mount, _, kind = line.partition(" - ")
        fields, (version, _, options) = mount.split(), kind.split(" ", 2)
        cpu = version == "cgroup2" or (version == "cgroup" and "cpu" in options.split(","))
        if cpu and version in paths:
            top, below = Path(fields[4]), _below(paths[version], PurePosixPath(fields[3]))
            yield from (top / part for part in (below, *below.parents))


def _below(group: PurePosixPath, mounted: PurePosixPath) -> PurePosixPath:
    """Returns where a group lies under a mount; a container sees only its own, as the top."""
    if group.is_relative_to(mounted):
        return group.relative_to(mounted)
    return PurePosixPath(".")


def _granted(directory: Path) -> float:
    """Returns the cores that one group grants, infinity where it has no limit or does not say."""
    try:
        if (directory / "cpu.max").exists():
            quota, period = (directory / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota = (directory / "cpu.cfs_quota_us").read_text(encoding="utf-8")
            period = (directory / "cpu.cfs_period_us").read_text(encoding="utf-8")
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf  # the top group has no such file, and an unlimited one says `max`
