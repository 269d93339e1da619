"""How much memory and disk there is, before a run starts and while it goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curriculum.errors import RunIOError, StageFailure

MIB, GIB = 2**20, 2**30

LEAST_FREE_BYTES = 256 * MIB
LEAST_FREE_SHARE = 0.03
"""Below the larger of these bytes and this share of all memory, a stage gives up before the system
ends some process of its choice."""

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
_UNLIMITED = 1 << 60


@dataclass(frozen=True)
class HostMemory:
    """Bytes that this process and its workers can still get, of all that they may have."""

    available: int
    total: int
    limited_by: str

    @property
    def floor(self) -> int:
        """Bytes below which a stage gives up; a tenth where all there is is very little."""
        wanted = max(LEAST_FREE_BYTES, round(LEAST_FREE_SHARE * self.total))
        return min(wanted, self.total // 10)

    def describe(self) -> str:
        """Returns both numbers in words."""
        return f"{in_words(self.available)} of {in_words(self.total)} ({self.limited_by})"


def host_memory(cgroups: Path = _CGROUPS, own_cgroup: Path = _OWN_CGROUP) -> HostMemory:
    """Returns the tightest of the machine's memory and the limits of this process's cgroups.

    Args:
        cgroups: where the kernel shows its cgroups, of either version.
        own_cgroup: the file that names this process's.
    """
    import psutil

    machine = psutil.virtual_memory()
    found = [HostMemory(machine.available, machine.total, "the machine's memory")]
    for directory in _cgroup_directories(cgroups, own_cgroup):
        limited = _limit_of(directory)
        if limited is not None and limited.total < machine.total:
            found.append(limited)
    return min(found, key=lambda memory: memory.available)


class MemoryWatch:
    """Says when memory becomes too short to go on, at the second look in a row that finds it so.

    Args:
        on_event: is told `memory_low` and its facts.
        look: returns how much there is.
    """

    def __init__(
        self,
        on_event: Callable[..., object] | None = None,
        look: Callable[[], HostMemory] = host_memory,
    ) -> None:
        self._on_event = on_event
        self._look = look
        self._was_low = False

    def __call__(self) -> StageFailure | None:
        """Looks once; returns a StageFailure to raise after a commit, or None."""
        memory = self._look()
        is_low = memory.available < memory.floor
        given_up = is_low and self._was_low
        self._was_low = is_low and not given_up
        if not given_up:
            return None
        if self._on_event is not None:
            self._on_event("memory_low", floor=memory.floor, **asdict(memory))
        return StageFailure(
            f"memory is short: {memory.describe()} are left, at least {in_words(memory.floor)} are "
            f"needed; end other programs, or lower curriculum.workers or env.num_envs",
            {"memory": _evidence(memory)},
        )


def out_of_memory(what: str, error: MemoryError) -> StageFailure:
    """Returns the StageFailure for a MemoryError, with the numbers at this moment."""
    memory = host_memory()
    text = f" ({error})" if str(error) else ""
    return StageFailure(
        f"{what}{text}: {memory.describe()} are left; lower the batch size, curriculum.workers or "
        f"env.num_envs, or end other programs",
        {"memory": _evidence(memory)},
    )


def require_disk(directory: Path, needed: int, advice: str) -> None:
    """Refuses a run whose files would not fit.

    Args:
        directory: of the run, which need not exist yet; what is in it counts as written already.
        needed: bytes of the whole run.
        advice: what to do about it.

    Raises:
        RunIOError: less is free.
    """
    there = next(p for p in (directory, *directory.absolute().parents) if p.exists())
    try:
        free = shutil.disk_usage(there).free
    except OSError as e:
        raise RunIOError(f"cannot tell how much space is free in {there}: {e}") from e
    left = needed - _written(directory)
    if left > free:
        raise RunIOError(
            f"the run would write up to {in_words(left)} to {directory}, but {in_words(free)} are "
            f"free in {there}: {advice}"
        )


def in_words(size_bytes: float) -> str:
    """Returns a size as a person reads it."""
    if size_bytes >= GIB:
        return f"{size_bytes / GIB:,.1f} GiB"
    return f"{size_bytes / MIB:,.0f} MiB"


def _evidence(memory: HostMemory) -> dict[str, Any]:
    return {**asdict(memory), "floor": memory.floor}


def _written(directory: Path) -> int:
    if not directory.is_dir():
        return 0
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _cgroup_directories(cgroups: Path, own_cgroup: Path) -> Iterator[Path]:
    """Yields this process's memory cgroup and those around it, innermost first."""
    try:
        lines = own_cgroup.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = cgroups / "memory" if controllers else cgroups
        inner = root / path.lstrip("/")
        yield inner
        yield from (p for p in inner.parents if p.is_relative_to(root))


def _limit_of(directory: Path) -> HostMemory | None:
    """Reads a cgroup's limit and use; None if it has no limit, or cannot be read."""
    for limit_name, use_name in (
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        limit, used = _number(directory / limit_name), _number(directory / use_name)
        if limit is None or used is None or limit >= _UNLIMITED:
            continue
        # File pages that nobody uses now are given back before anything runs out.
        free = limit - used + _inactive_file(directory / "memory.stat")
        return HostMemory(max(0, min(free, limit)), limit, f"the limit of cgroup {directory.name}")
    return None


def _inactive_file(path: Path) -> int:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    pairs = (line.split() for line in lines)
    return next((int(value) for name, value in pairs if name == "inactive_file"), 0)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # No such file, or "max", which is no limit.
        return None
