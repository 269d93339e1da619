"""Going on somewhere else, and starting anew from what is there: both are said and recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curriculum.progress import STAGES
from curriculum.runs.machine import inexact_because, threads

LANDER = ("run", "tiny.yaml", "--tasks", "lunarlander")
FACTS = {
    "versions": {"numpy": "2.4.6", "torch": "2.13.0"},
    "hardware": {"cpu": "A", "cores": 2, "device": "cpu", "threads": 2},
}


def events(run: Path, name: str) -> list[dict]:
    lines = (run / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [e for e in map(json.loads, lines) if e["event"] == name]


def test_only_what_numbers_depend_on_makes_a_resume_inexact() -> None:
    assert inexact_because(FACTS, FACTS) == []
    more_cores = {**FACTS, "hardware": {**FACTS["hardware"], "cores": 64}}
    assert inexact_because(FACTS, more_cores) == []
    upgraded = {
        "versions": {"numpy": "2.5.0", "torch": "2.13.0", "cma": "4.5.0"},
        "hardware": {**FACTS["hardware"], "cpu": "B", "threads": 1},
    }
    assert inexact_because(FACTS, upgraded) == [
        "numpy: 2.4.6 -> 2.5.0",
        "cma: unknown -> 4.5.0",
        "cpu: A -> B",
        "threads: 2 -> 1",
    ]


def test_threads_follow_the_usual_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "none")
    assert threads() >= 1


@pytest.mark.faults("a library is upgraded between run and resume", expect="goes on, said so")
def test_a_library_upgraded_in_between_is_said_and_recorded(curriculum, tiny: Path) -> None:
    run = tiny.parent / "runs" / "tiny"
    assert curriculum(*LANDER, "--stage", "collect").code == 0
    ledger = run / "events.jsonl"
    lines = [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        if line["event"] == "run_started":
            line["versions"]["numpy"] = "1.0.0"
    ledger.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    done = curriculum("resume", str(run))
    assert done.code == 3, done.err
    assert "numpy: 1.0.0 ->" in done.err and "last bit" in done.err
    (told,) = events(run, "resume_inexact")
    assert len(told["differences"]) == 1
    assert "numpy: 1.0.0" in (run / "report.md").read_text(encoding="utf-8")


def test_a_fork_takes_over_what_the_change_does_not_touch(curriculum, tiny: Path) -> None:
    assert curriculum(*LANDER).code == 3
    change = ("--set", "tasks.lunarlander.controller.sigma=0.3")
    refused = curriculum(*LANDER, *change)
    assert refused.code == 2
    assert "tasks.lunarlander.controller.sigma: 0.5 -> 0.3" in refused.err
    assert "--fork" in refused.err
    done = curriculum(*LANDER, *change, "--fork", "runs/tiny", "--run-dir", "runs/other")
    assert done.code == 3, done.err
    assert "taken over from runs/tiny: lunarlander SIMULATION collect" in done.err
    other = tiny.parent / "runs" / "other"
    assert [e["stage"] for e in events(other, "stage_started")] == ["controller", "evaluate"]
    assert [e["stage"] for e in events(other, "stage_done")] == list(STAGES)
    (forked,) = events(other, "forked")
    assert forked["changes"] == ["tasks.lunarlander.controller.sigma: 0.5 -> 0.3"]
    again = curriculum(*LANDER, *change, "--fork", "runs/tiny", "--run-dir", "runs/other")
    assert again.code == 2 and "choose another --run-dir" in again.err


def test_a_fork_that_is_refused_leaves_nothing_in_the_way_of_the_next_try(
    curriculum, tiny: Path
) -> None:
    assert curriculum(*LANDER, "--stage", "collect").code == 0
    old, new = tiny.parent / "runs" / "tiny", tiny.parent / "runs" / "other"
    words = (*LANDER, "--stage", "collect", "--fork", "runs/tiny", "--run-dir", "runs/other")
    config = (old / "config.yaml").read_text(encoding="utf-8")
    (old / "config.yaml").write_text(config + "unheard_of: 1\n", encoding="utf-8")
    refused = curriculum(*words)
    assert refused.code == 2 and "unheard_of" in refused.err
    assert not new.exists()
    (old / "config.yaml").write_text(config, encoding="utf-8")
    unrelated = curriculum(*words[:2], "--tasks", "pong", *words[4:])
    assert unrelated.code == 2 and "nothing to start from" in unrelated.err
    assert not new.exists()
    assert curriculum(*words).code == 0
