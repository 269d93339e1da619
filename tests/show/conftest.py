"""Hand-written ledgers: one run that goes well, one that meets everything that can go wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from curriculum.config.schema import Config, TaskConfig

Tell = Callable[..., None]

NASTY = "out of memory [red]boom[/red] [link=x]y[/] \x1b[2J\x1b[31m | a\n# <b>h</b> `c` *e* [t](u)"


@pytest.fixture
def config() -> Config:
    tasks = (
        TaskConfig("pong", "PongNoFrameskip-v4", "pixels", 18.0, 3.0),
        TaskConfig("lunarlander", "LunarLander-v3", "state", 200.0, 150.0),
        TaskConfig("breakout", "BreakoutNoFrameskip-v4", "pixels", 300.0, 20.0),
        TaskConfig("carracing", "CarRacing-v3", "pixels", 900.0, 600.0),
    )
    return Config(name="default", tasks=tasks)


def verdict(task: str, outcome: str, mode: str | None, score: float | None) -> dict[str, Any]:
    return {
        "task": task,
        "verdict": outcome,
        "mode": mode,
        "env_id": "LunarLander-v3",
        "score": score,
        "interval": None if score is None else [score - 1.0, score + 1.0],
        "target": 18.0,
        "episodes": 100,
        "policy": "greedy",
        "env_steps": 1_234_567,
        "dream_steps": 0,
        "seconds": 912.0,
        "reasons": [],
    }


@pytest.fixture
def events() -> list[dict[str, Any]]:
    """A run with a failure, a step down, replacements, strange texts and two verdicts."""
    told: list[dict[str, Any]] = []

    def tell(event: str, /, **facts: Any) -> None:
        told.append({"t": 1.79e9 + 10 * len(told), "event": event, **facts})

    _begin(tell)
    here = {"task": "pong", "mode": "FULL", "round": 0}
    for stage in ("collect", "vision", "encode", "memory"):
        _stage(tell, here, stage)
    tell("stage_started", **here, stage="controller", attempt=0)
    tell("metrics", **here, stage="controller", step=9, values={"sigma": 0.4, "fitness_mean": 2})
    tell("check", **here, stage="controller", generation=10, score=12.3, target=18.0)
    tell("check", **here, stage="controller", generation=10, score=12.3, target=18.0)
    failed = {**here, "stage": "controller", "attempt": 0, "left": 0}
    tell("stage_failed", **failed, reason=NASTY, evidence={"traceback": "x"})
    tell("stepped_down", task="pong", mode="FULL", to="SIMULATION", reason=NASTY)
    replaced = {"component": "environment", "reason": NASTY, "replacement": "numpy"}
    for task in ("pong", "lunarlander"):
        tell("replacement", task=task, mode="SIMULATION", **replaced, consequence="weaker")
    tell("worker_died", worker=1, reason=NASTY)
    tell("notice", task="pong", text=NASTY)
    simulated = {"task": "pong", "mode": "SIMULATION", "round": 0}
    tell("stage_skipped", **simulated, stage="collect", seconds=4.2, result="64 episodes")
    scores = {"score": 5.0, "interval": [4.0, 6.0], "scores": [4.0, 6.0], "policy": "greedy"}
    tell("stage_done", **_ended(simulated, "evaluate"), facts=scores)
    tell("verdict", **verdict("pong", "degraded", "SIMULATION", 5.0))
    tell("verdict", **verdict("lunarlander", "passed", "FULL", 244.0))
    tell("something_new", anything=1)
    tell("run_finished", exit_code=3)
    return told


def _begin(tell: Tell) -> None:
    hardware = {"cpu": "EPYC | 2", "cores": 2, "memory_gib": 7.7, "device": "cpu"}
    tell(
        "run_started",
        name="default",
        seed=0,
        mode="auto",
        config_hash="abc123",
        run_dir="runs/default",
        hardware=hardware,
        versions={"torch": "2.13.0"},
        resumed=False,
        command="python -m curriculum run configs/default.yaml",
    )
    tell("probe", component="cma", state="timeout")
    tell("decision", task="pong", mode="FULL", requested="auto", reasons=[], missing=[])


def _stage(tell: Tell, here: dict[str, Any], stage: str) -> None:
    tell("stage_started", **here, stage=stage, attempt=0)
    tell("stage_done", **_ended(here, stage), facts={})


def _ended(here: dict[str, Any], stage: str) -> dict[str, Any]:
    return {
        **here,
        "stage": stage,
        "seconds": 4.2,
        "result": f"{stage} is done",
        "env_steps": 51200 if stage == "collect" else 0,
        "dream_steps": 0,
        "metrics": {"score_mean": -20.7, "kl": "nan"},
    }
