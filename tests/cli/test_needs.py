"""What a run would need of memory and disk is estimated, and refused before anything is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from curriculum.config.schema import Config
from curriculum.errors import ConfigError
from curriculum.records.resources import GIB, MIB
from curriculum.runs.needs import disk_needs, memory_needs, require_memory
from curriculum.tasks import load_config
from tests.cli.conftest import ROOT


def config(name: str = "default") -> Config:
    return load_config(ROOT / "configs" / f"{name}.yaml")


def modes(config: Config, mode: str = "FULL") -> dict[str, str]:
    return {task.name: mode for task in config.tasks}


def memory_of(config: Config, mode: str = "FULL", workers: int = 2) -> int:
    return sum(n.bytes for n in memory_needs(config, modes(config, mode), workers))


def disk_of(config: Config, mode: str = "FULL") -> int:
    return sum(n.bytes for n in disk_needs(config, modes(config, mode)))


@pytest.mark.parametrize(
    ("name", "mode", "memory", "disk"),
    [
        ("default", "FULL", 4 * GIB, 2 * GIB),
        ("quick", "FULL", 2 * GIB, GIB),
        ("simulation", "SIMULATION", GIB, GIB),
    ],
)
def test_the_shipped_configurations_ask_for_what_small_machines_have(
    name: str, mode: str, memory: int, disk: int
) -> None:
    shipped = config(name)
    assert 100 * MIB < memory_of(shipped, mode) < memory
    assert 50 * MIB < disk_of(shipped, mode) < disk


def test_more_of_anything_needs_more() -> None:
    base = config()
    assert memory_of(base, workers=8) > memory_of(base, workers=2)
    assert memory_of(base, "FULL") > memory_of(base, "SIMULATION")
    longer = tuple(
        replace(t, collect=replace(t.collect, max_steps_per_rollout=5000)) for t in base.tasks
    )
    assert disk_of(replace(base, tasks=longer)) > 3 * disk_of(base)
    assert disk_of(replace(base, curriculum=replace(base.curriculum, rounds=3))) > disk_of(base)


def test_a_task_that_cannot_run_needs_nothing() -> None:
    assert memory_needs(config(), {}, 2) == []
    assert disk_needs(config(), {}) == []


def test_too_little_memory_is_refused_with_both_numbers_and_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = config()
    require_memory(base, modes(base, "SIMULATION"), 0)
    little = SimpleNamespace(available=90 * MIB, total=100 * MIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: little)
    with pytest.raises(ConfigError, match=r"needs about .*iB of memory, but 90 MiB of") as refused:
        require_memory(base, modes(base), 2)
    assert "curriculum.workers" in str(refused.value)


def test_a_huge_configuration_is_refused_before_anything_is_written(
    curriculum, tiny: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = curriculum("run", "tiny.yaml", "--set", "collect.max_steps_per_rollout=1000000000")
    assert done.code == 2, done.err
    assert "of memory, but" in done.err and "collect.max_steps_per_rollout" in done.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_too_large_for_the_disk_is_refused_before_anything_is_written(
    curriculum, tiny: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    done = curriculum("run", "tiny.yaml", "--set", "collect.num_random_rollouts=1000000000")
    assert done.code == 7, done.err
    assert "are free in" in done.err and "collect.num_random_rollouts" in done.err
    assert sorted(tmp_path.rglob("*")) == before
