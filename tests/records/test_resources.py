"""What there is of memory and disk, and what is done when it is too little."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from curriculum.errors import ExitCode, RunIOError, StageFailure, Stopped
from curriculum.resources import (
    GIB,
    MIB,
    HostMemory,
    MemoryWatch,
    host_memory,
    require_disk,
)
from curriculum.stops import WATCH_SECONDS, Barrier


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = SimpleNamespace(available=10 * GIB, total=16 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


def cgroup(directory: Path, **numbers: object) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, value in numbers.items():
        (directory / name.replace("__", ".")).write_text(f"{value}\n")


@pytest.mark.usefixtures("machine")
def test_the_machine_is_the_limit_where_no_cgroup_is_tighter(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/a\n")
    cgroup(tmp_path / "cg" / "a", memory__max="max", memory__current=5 * GIB)
    for file in (own, tmp_path / "missing"):
        assert host_memory(tmp_path / "cg", file).available == 10 * GIB


@pytest.mark.usefixtures("machine")
def test_limits_of_cgroups_count_those_around_ours_too(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/outer/inner\n")
    cgroup(tmp_path / "outer" / "inner", memory__max="max", memory__current=GIB)
    cgroup(tmp_path / "outer", memory__max=4 * GIB, memory__current=3 * GIB)
    (tmp_path / "outer" / "memory.stat").write_text(f"anon 7\ninactive_file {GIB}\n")
    memory = host_memory(tmp_path, own)
    assert (memory.available, memory.total) == (2 * GIB, 4 * GIB)
    assert "outer" in memory.describe()


@pytest.mark.usefixtures("machine")
def test_cgroups_of_the_first_version_are_read(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("4:cpu,cpuacct:/x\n3:memory:/x\n")
    where = tmp_path / "memory" / "x"
    cgroup(where, memory__limit_in_bytes=2 * GIB, memory__usage_in_bytes=GIB)
    assert host_memory(tmp_path, own).available == GIB


def memory(available: int, total: int = 16 * GIB) -> HostMemory:
    return HostMemory(available, total, "the test")


def test_the_floor_fits_machines_large_and_small() -> None:
    assert memory(0, 100 * GIB).floor == 3 * GIB
    assert memory(0, 4 * GIB).floor == 256 * MIB
    assert memory(0, GIB).floor == GIB // 10


def test_one_dip_is_forgiven_and_two_end_the_stage_with_an_event() -> None:
    seen = iter([5 * GIB, MIB, 5 * GIB, MIB, MIB, MIB])
    told: list[tuple[str, dict]] = []
    watch = MemoryWatch(
        lambda event, **facts: told.append((event, facts)), lambda: memory(next(seen))
    )
    assert [watch() is None for _ in range(6)] == [True, True, True, True, False, True]
    assert [event for event, _ in told] == ["memory_low"]
    assert told[0][1]["available"] == MIB


def test_a_barrier_looks_now_and_then_and_commits_before_it_gives_up() -> None:
    now, looks, saves = [0.0], [], []
    problem = StageFailure("memory is short")

    def watch() -> StageFailure | None:
        looks.append(now[0])
        return problem if now[0] >= 5 else None

    barrier = Barrier(1e9, clock=lambda: now[0], watch=watch)
    for now[0] in (0.0, 0.5, 1.0, 2.1, 2.2, 4.4):
        barrier.may_stop(lambda: saves.append("too early"))
    assert looks == [0.0, 2.1, 4.4]
    assert min(b - a for a, b in pairwise(looks)) >= WATCH_SECONDS
    now[0] = 7.0
    with pytest.raises(StageFailure, match="memory is short"):
        barrier.may_stop(lambda: saves.append("before"))
    assert saves == ["before"]


def test_a_stop_comes_before_all_other_reasons() -> None:
    barrier = Barrier(1e9, watch=lambda: StageFailure("memory is short"))
    barrier.request_stop(ExitCode.TERMINATED)
    with pytest.raises(Stopped):
        barrier.may_stop(lambda: None)


def test_a_disk_too_small_is_refused_with_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "runs" / "new"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3 * GIB))
    require_disk(run, 3 * GIB, "")
    with pytest.raises(RunIOError, match=r"up to 4\.0 GiB .* 3\.0 GiB are free.*: buy one"):
        require_disk(run, 4 * GIB, "buy one")
    assert not run.exists()


def test_what_a_run_has_written_already_is_not_needed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=MIB))
    (tmp_path / "data.bin").write_bytes(bytes(MIB))
    require_disk(tmp_path, 2 * MIB, "")
    with pytest.raises(RunIOError):
        require_disk(tmp_path, 2 * MIB + 1, "")
