"""SIMULATION on a machine without torch, gymnasium, ale_py, cma and SB3 passes its four targets."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT

BLOCKED = ("torch", "gymnasium", "ale_py", "cma", "stable_baselines3")

pytestmark = pytest.mark.slow


@pytest.fixture
def only_numpy(tmp_path: Path) -> dict[str, str]:
    """An environment in which importing any of the blocked packages fails."""
    for name in BLOCKED:
        (tmp_path / "blocked").mkdir(exist_ok=True)
        text = f"raise ImportError('{name} is blocked')\n"
        (tmp_path / "blocked" / f"{name}.py").write_text(text, encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(tmp_path / "blocked"), str(ROOT)])}


def test_four_tasks_pass_in_simulation(
    curriculum, tmp_path: Path, only_numpy: dict[str, str]
) -> None:
    config = str(ROOT / "configs" / "simulation.yaml")
    done = curriculum("run", config, "--json", env=only_numpy)
    verdicts = json.loads(done.out)["verdicts"]
    assert [(v["task"], v["verdict"], v["mode"]) for v in verdicts] == [
        (task, "passed", "SIMULATION") for task in ("pong", "lunarlander", "breakout", "carracing")
    ]
    assert done.code == 0
    assert all(v["episodes"] == 100 for v in verdicts)
    report = (tmp_path / "runs" / "simulation" / "report.md").read_text(encoding="utf-8")
    rows = [
        line
        for line in report.splitlines()
        if line.startswith("| ") and any(f"| {v['task']} " in line for v in verdicts)
    ]
    assert len(rows) >= 4
    assert all("SIMULATION" in row for row in rows)


def test_auto_finds_simulation_by_itself_and_calls_it_degraded(
    curriculum, tiny: Path, tmp_path: Path, only_numpy: dict[str, str]
) -> None:
    env = {**only_numpy, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = curriculum(
        "run",
        "tiny.yaml",
        "--tasks",
        "lunarlander",
        "--mode",
        "auto",
        "--json",
        "--set",
        "tasks.lunarlander.simulation_target=-10000",
        env=env,
    )
    assert done.code == 3, done.err
    (verdict,) = json.loads(done.out)["verdicts"]
    assert (verdict["mode"], verdict["verdict"]) == ("SIMULATION", "degraded")
    assert any("gymnasium is " in reason for reason in verdict["reasons"])


def test_a_forced_mode_that_cannot_be_had_says_what_to_install(
    curriculum, tiny: Path, tmp_path: Path, only_numpy: dict[str, str]
) -> None:
    env = {**only_numpy, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = curriculum("run", "tiny.yaml", "--tasks", "lunarlander", "--mode", "FULL", env=env)
    assert done.code == 4
    assert "pip install" in done.err and "torch" in done.err and "box2d" in done.err
    assert not (tmp_path / "runs").exists()
