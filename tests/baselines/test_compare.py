"""The comparison: what was measured, side by side; what was not, said so."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from baselines.compare import NOT_MEASURED, compare
from baselines.results import BaselineHome, BaselineResult, finish
from curriculum.config.loading import dump
from curriculum.config.schema import Config
from curriculum.errors import ConfigError
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.tasks import builtin_tasks
from tests.records.samples import facts_of

TASKS = {task.name: task for task in builtin_tasks()}


def make_run(path: Path, mode: str, env_id: str) -> Path:
    rundir = RunDir.create(path, dump(Config(tasks=tuple(TASKS.values()))))
    ledger = Ledger(rundir.ledger_path)
    scores = [210.0, 250.0, 240.0, 190.0]
    here = {"task": "lunarlander", "mode": mode, "round": 0, "stage": "evaluate"}
    facts = {"score": 222.5, "interval": [200.0, 240.0], "scores": scores}
    done = {**here, "facts": facts, "env_steps": 0}
    ledger.append("stage_done", **facts_of("stage_done", **done))
    verdict = {
        "task": "lunarlander",
        "mode": mode,
        "verdict": "passed" if mode == "FULL" else "degraded",
        "env_id": env_id,
        "score": 222.5,
        "policy": "greedy",
        "env_steps": 123_456,
        "seconds": 60.0,
    }
    ledger.append("verdict", **facts_of("verdict", **verdict))
    return path


def baseline(out: Path, algo: str, seed: int, scores: list[float], **changes: Any) -> None:
    task = TASKS["lunarlander"]
    result = BaselineResult(
        algo=algo,
        task="lunarlander",
        env_id=task.env_id,
        playing=task.env_id,
        env=asdict(task.env),
        seed=seed,
        policy="greedy",
        scores=tuple(scores),
        env_steps=1_000_000,
        seconds=75.0,
    )
    with BaselineHome(out, algo, "lunarlander", seed) as home:
        finish(home.ledger, replace(result, **changes))


def row(text: str, *starts: str) -> list[str]:
    start = f"| {' | '.join(starts)} |"
    line = next(line for line in text.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_what_was_measured_stands_side_by_side(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "FULL", "LunarLander-v3")
    baseline(tmp_path / "b", "random", 0, [-200.0, -100.0])
    baseline(tmp_path / "b", "ppo", 0, [230.0, 260.0])
    baseline(tmp_path / "b", "ppo", 1, [200.0, 220.0], env_steps=2_000_000)
    text = compare(run, tmp_path / "b")
    ours = row(text, "lunarlander", "ours")
    assert ours[2:5] == ["FULL", "greedy", "222.5"] and "123,456" in ours and "passed" in ours
    ppo = row(text, "lunarlander", "PPO (SB3)")
    assert ppo[4] == "227.5" and "1,500,000" in ppo and ppo[-1] == "yes"
    assert ppo[8:10] == ["4", "2"], "episodes and seeds"
    assert row(text, "lunarlander", "random", "1.00")[3] == "[1.00, 1.00]"


def test_what_was_not_measured_is_not_invented(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "FULL", "LunarLander-v3")
    baseline(tmp_path / "b", "random", 0, [-200.0])
    text = compare(run, tmp_path / "b")
    assert set(row(text, "pong", "ours")[2:]) == {NOT_MEASURED}
    assert set(row(text, "lunarlander", "PPO (SB3)")[2:]) == {NOT_MEASURED}


def test_a_simulated_score_is_not_held_against_a_real_one(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "SIMULATION", "simulation/lunarlander")
    baseline(tmp_path / "b", "random", 0, [-200.0])
    text = compare(run, tmp_path / "b")
    assert "degraded (SIMULATION)" in row(text, "lunarlander", "ours")
    assert "not comparable: ours played simulation/lunarlander" in text


def test_other_rules_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "FULL", "LunarLander-v3")
    rules = {**asdict(TASKS["lunarlander"].env), "frame_skip": 4, "num_envs": 99}
    baseline(tmp_path / "b", "ppo", 0, [1.0], env=rules)
    text = compare(run, tmp_path / "b")
    assert "env.frame_skip was 4 for ppo, 1 for us" in text
    assert "num_envs" not in text.split("## Rules that differ")[1]


def test_missing_directories_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run directory"):
        compare(tmp_path / "none", tmp_path)
    run = make_run(tmp_path / "run", "FULL", "LunarLander-v3")
    with pytest.raises(ConfigError, match="no baseline"):
        compare(run, tmp_path / "none")
