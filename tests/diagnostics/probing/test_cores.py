"""Cores are counted in one place, and a container's limit counts."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import pytest

from diagnostics import cores

ROOT = Path(__file__).resolve().parents[3]
COUNTING = re.compile(r"\b(cpu_count|process_cpu_count|sched_getaffinity|cpu_affinity)\b")


def system(tmp_path: Path, group: str, mounted: str, version: str, files: dict[str, str]) -> Path:
    """Writes what /proc says of a process in a control group, and the groups themselves."""
    top, options = tmp_path / "groups", "rw,cpu,cpuacct" if version == "cgroup" else "rw"
    controllers = "cpu,cpuacct" if version == "cgroup" else ""
    (tmp_path / "cgroup").write_text(f"12:pids:/elsewhere\n3:{controllers}:{group}\n")
    (tmp_path / "mountinfo").write_text(
        f"29 1 0:28 / / rw shared:1 - ext4 /dev/root rw\n"
        f"30 23 0:29 {mounted} {top} rw,relatime shared:9 - {version} {version} {options}\n"
    )
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("group", "mounted", "version", "files", "expected"),
    [
        ("/", "/", "cgroup2", {}, math.inf),
        ("/", "/", "cgroup2", {"cpu.max": "max 100000\n"}, math.inf),
        ("/", "/", "cgroup2", {"cpu.max": "150000 100000\n"}, 1.5),
        ("/a/b", "/", "cgroup2", {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 1000"}, 2.0),
        ("/docker/1", "/docker/1", "cgroup2", {"cpu.max": "50000 100000"}, 0.5),
        ("/a", "/", "cgroup", {"a/cpu.cfs_quota_us": "-1", "a/cpu.cfs_period_us": "9"}, math.inf),
        ("/a", "/", "cgroup", {"a/cpu.cfs_quota_us": "30", "a/cpu.cfs_period_us": "10"}, 3.0),
        ("/docker/1", "/lxc", "cgroup", {"cpu.cfs_quota_us": "4", "cpu.cfs_period_us": "2"}, 2.0),
        ("/", "/", "cgroup2", {"cpu.max": "nonsense"}, math.inf),
        ("/", "/", "cgroup2", {"cpu.max": "1 0"}, math.inf),
    ],
)
def test_the_narrowest_control_group_counts(
    group: str, mounted: str, version: str, files: dict[str, str], expected: float, tmp_path: Path
) -> None:
    assert cores.cgroup_cores(system(tmp_path, group, mounted, version, files)) == expected


@pytest.mark.parametrize(("visible", "granted", "expected"), [
    (8, math.inf, 8), (8, 2.0, 2), (8, 1.5, 2), (8, 0.2, 1), (2, 16.0, 2),
])  # fmt: skip
def test_affinity_and_limit_are_both_heeded(
    visible: int, granted: float, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "visible_cores", lambda: visible)
    monkeypatch.setattr(cores, "cgroup_cores", lambda proc: granted)
    assert cores.available_cores() == expected


def test_a_system_without_control_groups_has_no_limit(tmp_path: Path) -> None:
    assert cores.cgroup_cores(tmp_path / "nowhere") == math.inf


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="there is no affinity here")
def test_a_process_that_is_bound_to_one_core_has_one() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores.available_cores() == cores.visible_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_nobody_else_counts_cores() -> None:
    packages = ("baselines", "curriculum", "diagnostics", "models")
    files = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    counting = {p.name for p in files if COUNTING.search(p.read_text(encoding="utf-8"))}
    assert counting == {"cores.py"}, "ask diagnostics.cores.available_cores instead"
