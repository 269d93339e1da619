"""A resumed run keeps its mode, and what was earned in a better mode is never replaced."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from curriculum.errors import ComponentMissing
from curriculum.mode import Mode
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.runs.history import History, starts_in
from curriculum.show.report import report_json, report_text
from curriculum.show.summary import summarise
from curriculum.tasks import builtin_tasks
from tests.faults.conftest import ROOT, Sandbox
from tests.records.samples import facts_of

LANDER = next(task for task in builtin_tasks() if task.name == "lunarlander")
GYM = dict.fromkeys(("controller_cpu", "gymnasium", "box2d"), "ok")
EVERYTHING = GYM | dict.fromkeys(("torch", "vae", "mdnrnn"), "ok")


def history(path: Path, *events: tuple[str, dict[str, Any]]) -> History:
    ledger = Ledger(path / "events.jsonl")
    for name, facts in events:
        ledger.append(name, **facts_of(name, task="lunarlander", **facts))
    config: Any = SimpleNamespace(tasks=(LANDER,), curriculum=SimpleNamespace(mode="auto"))
    return History(config, RunDir(path, {}), ledger)


def decision(mode: str | None, *reasons: str) -> tuple[str, dict[str, Any]]:
    return "decision", {"mode": mode, "requested": "auto", "reasons": list(reasons), "missing": []}


def verdict(outcome: str, mode: str, score: float | None) -> tuple[str, dict[str, Any]]:
    facts = {"verdict": outcome, "mode": mode, "score": score, "env_id": "LunarLander-v3"}
    facts |= {"interval": [1.0, 2.0], "target": 200.0, "episodes": 3, "policy": "greedy"}
    facts |= {"env_steps": 5, "dream_steps": 0, "seconds": 1.0, "reasons": []}
    return "verdict", facts


def down(mode: str, to: str, reason: str = "it broke") -> tuple[str, dict[str, Any]]:
    return "stepped_down", {"mode": mode, "to": to, "reason": reason}


@pytest.mark.faults(
    "resume where {component} is {state}, of a task begun in FULL",
    expect="ComponentMissing names the component; --step-down goes on in GYM_ONLY",
)
@pytest.mark.parametrize("component", ["torch", "mdnrnn"])
@pytest.mark.parametrize("state", ["missing", "broken", "timeout", "crashed", "lied"])
def test_a_mode_that_cannot_be_had_is_waited_for(
    tmp_path: Path, component: str, state: str
) -> None:
    past = history(tmp_path, decision("FULL"))
    states = EVERYTHING | {component: state}
    with pytest.raises(ComponentMissing, match=f"begun in FULL: {component} is {state}") as e:
        past.starts(states)
    assert "--step-down" in str(e.value) and e.value.exit_code == 4
    start = past.starts(states, may_step_down=True)["lunarlander"]
    assert start.decision.mode is Mode.GYM_ONLY
    assert component in start.given_up


@pytest.mark.parametrize(
    ("events", "states", "mode"),
    [
        ([], GYM, "GYM_ONLY"),
        ([decision("GYM_ONLY", "torch was slow")], EVERYTHING, "GYM_ONLY"),
        ([decision("FULL"), down("FULL", "GYM_ONLY")], EVERYTHING, "GYM_ONLY"),
        ([decision("FULL"), down("FULL", "None")], EVERYTHING, None),
        ([decision(None)], EVERYTHING, "FULL"),
        # What earlier versions wrote: a resume that suffered a lesser mode, and a step down that
        # came of a shortage.
        ([decision("FULL"), decision("GYM_ONLY")], EVERYTHING, "FULL"),
        (
            [decision("FULL"), down("FULL", "GYM_ONLY", "OSError: [Errno 24] Too many open files")],
            EVERYTHING,
            "FULL",
        ),
        ([decision("FULL"), down("FULL", "GYM_ONLY", "MemoryError: ")], EVERYTHING, "FULL"),
    ],
)
def test_a_task_goes_on_in_the_mode_it_was_begun_in(
    tmp_path: Path, events: list[Any], states: Mapping[str, str], mode: str | None
) -> None:
    start = history(tmp_path, *events).starts(states)["lunarlander"]
    assert (start.decision.mode and str(start.decision.mode)) == mode


def test_a_better_verdict_stands_and_the_task_is_not_walked(tmp_path: Path) -> None:
    past = history(tmp_path, decision("FULL"), verdict("passed", "FULL", 250.0))
    start = past.starts(GYM, may_step_down=True)["lunarlander"]
    assert start.verdict is not None
    assert (start.verdict.verdict, start.verdict.score) == ("passed", 250.0)
    assert past.starts(EVERYTHING)["lunarlander"].verdict is None


@pytest.mark.faults(
    "a ledger in which a FULL pass is followed by a GYM_ONLY verdict",
    expect="the pass stands in report.md, evaluation_results.json and the comparison",
)
@pytest.mark.parametrize(
    "later", [verdict("degraded", "GYM_ONLY", 260.0), verdict("not_run", "GYM_ONLY", None)]
)
def test_an_old_ledger_shows_the_better_verdict(tmp_path: Path, later: Any) -> None:
    told = [decision("FULL"), verdict("passed", "FULL", 250.0), decision("GYM_ONLY"), later]
    events = history(tmp_path, *told).ledger.events()
    (found,) = report_json(events)["tasks"]
    assert (found["mode"], found["verdict"], found["score"]) == ("FULL", "passed", 250.0)
    assert "250.0" in report_text(events) and "260.0" not in report_text(events)
    assert summarise(events).decisions["lunarlander"]["mode"] == "FULL"


def test_a_directory_that_is_not_there_yet_is_decided_anew(tmp_path: Path) -> None:
    config: Any = SimpleNamespace(tasks=(LANDER,), curriculum=SimpleNamespace(mode="auto"))
    starts = starts_in(tmp_path / "new", config, EVERYTHING)
    assert str(starts["lunarlander"].decision.mode) == "FULL"
    assert not (tmp_path / "new").exists()


def without(place: Sandbox, *modules: str) -> dict[str, str]:
    """Returns an environment in which modules cannot be imported, with a cache of its own."""
    name = "-".join(modules) or "none"
    for module in modules:
        fake = place.path / f"without-{name}" / f"{module}.py"
        fake.parent.mkdir(exist_ok=True)
        fake.write_text(f"raise ImportError('no {module} today')\n", encoding="utf-8")
    parts = [str(place.path / f"without-{name}"), str(ROOT)]
    return {
        "PYTHONPATH": os.pathsep.join(parts),
        "XDG_CACHE_HOME": str(place.path / f"cache-{name}"),
    }


def tree(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.mark.gym
@pytest.mark.faults(
    "gymnasium cannot be imported when a finished GYM_ONLY run is resumed",
    expect="exit 4, a sentence, nothing changed; with --step-down the verdict stands",
)
def test_real_processes_keep_their_mode(place: Sandbox) -> None:
    pytest.importorskip("Box2D")
    auto = "--set=curriculum.mode=auto"
    first = place("run", "tiny.yaml", auto, env=without(place, "torch"))
    assert first.code == 3, first.err
    earned = place.events("verdict")[-1]
    assert earned["mode"] == "GYM_ONLY" and earned["score"] is not None
    before, poor = tree(place.run), without(place, "torch", "gymnasium")
    for command in (("resume", str(place.run)), ("run", "tiny.yaml", auto)):
        refused = place(*command, env=poor)
        assert refused.code == 4, refused.err
        assert "lunarlander was begun in GYM_ONLY: gymnasium is" in refused.err
        assert "--step-down" in refused.err and "Traceback" not in refused.err
        assert tree(place.run) == before
    stepped = place("resume", str(place.run), "--step-down", env=poor)
    assert stepped.code == 3, stepped.err
    last = place.events("verdict")[-1]
    assert (last["mode"], last["score"]) == (earned["mode"], earned["score"])
    assert not (place.run / "tasks/lunarlander/SIMULATION").exists()
    # One that is not finished does go on in the lesser mode, and says so.
    shutil.rmtree(place.run / "tasks/lunarlander/GYM_ONLY/round-00/evaluate")
    lines = (place.run / "events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    unfinished = [line for line in lines if '"verdict"' not in line]
    (place.run / "events.jsonl").write_text("".join(unfinished), encoding="utf-8")
    assert place("resume", str(place.run), env=poor).code == 4
    assert place("resume", str(place.run), "--step-down", env=poor).code == 3
    (event,) = place.events("stepped_down")
    assert (event["mode"], event["to"]) == ("GYM_ONLY", "SIMULATION")
    assert "--step-down" in event["reason"]
    assert place.events("verdict")[-1]["mode"] == "SIMULATION"
    assert place("resume", str(place.run), env=poor).code == 3
