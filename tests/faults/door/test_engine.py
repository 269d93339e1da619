"""What happens to the engine of a run, or to its door."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import psutil
import pytest

from tests.faults.conftest import Sandbox, eventually
from tests.faults.door.conftest import Surroundings, engines


@pytest.mark.faults(
    "{name} ends the engine in the middle of {stage}",
    expect="another goes on from the last commit; engine_died is told; results are equal",
)
@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("collect", "SIGKILL"),
        ("vision", "SIGSEGV"),
        ("encode", "SIGBUS"),
        ("memory", "SIGABRT"),
        ("controller", "SIGSEGV"),
        ("evaluate", "SIGKILL"),
    ],
)
def test_an_engine_dies(
    place: Sandbox, whole: Sandbox, surroundings: Surroundings, stage: str, name: str
) -> None:
    done = place.begin(env=surroundings(f"commit_always;signal_in_stage={stage},{name}"))
    assert done.code == 3, done.err
    (death,) = place.events("engine_died")
    assert death["how"] == f"died of {name}" and death["stage"] == stage
    assert "Traceback" not in done.err and f"the engine died of {name}" in done.err
    assert place.learned() == whole.learned()
    assert len(place.events("verdict")) == 1 and place.leftovers() == []


@pytest.mark.faults(
    "the engine exits with 0 in its search, as if it had finished",
    expect="no success: engine_died is told, another goes on, exit 3 and equal results",
)
def test_an_engine_exits_with_0(place: Sandbox, whole: Sandbox, surroundings: Surroundings) -> None:
    done = place.begin(env=surroundings("commit_always;exit_in_stage=controller"))
    assert done.code == 3, done.err
    assert place.events("engine_died")[0]["how"] == "exited with 0 without a result"
    assert place.learned() == whole.learned()


@pytest.mark.faults(
    "every engine segfaults at the same place",
    expect="three engines, then the mode is given up with the reason: not_run, exit 3",
)
def test_all_engines_die(place: Sandbox, surroundings: Surroundings) -> None:
    deed = "signal_in_stage=memory,SIGSEGV"
    done = place.begin(env=surroundings(deed, lives=99))
    assert done.code == 3, done.err
    # The first reached the stage with results of others behind it: that counts as getting on.
    assert len(place.events("engine_died")) == engines(place) - 1 <= 4
    (down,) = place.events("stepped_down")
    assert down["to"] == "None" and "died of SIGSEGV in lunarlander" in down["reason"]
    assert place.events("verdict")[0]["verdict"] == "not_run"


@pytest.mark.faults(
    "the engine is killed again and again from outside, as when memory is short",
    expect="bounded, told, and no mode is given up for it; equal results",
)
def test_engines_are_killed_from_outside(
    place: Sandbox, whole: Sandbox, surroundings: Surroundings
) -> None:
    done = place.begin(env=surroundings("signal_in_stage=controller,SIGKILL", lives=5))
    assert done.code == 3, done.err
    assert len(place.events("engine_died")) == 5
    assert not place.events("stepped_down", "component_broken")
    assert place.learned()[0] == whole.learned()[0]


@pytest.mark.faults(
    "`run --resume never`: the engine dies, and the configuration was edited meanwhile",
    expect="the run goes on as it began",
)
def test_an_edited_configuration(
    place: Sandbox, whole: Sandbox, surroundings: Surroundings
) -> None:
    env = surroundings("commit_always;signal_in_stage=controller,SIGSTOP")
    with place.alive("run", "tiny.yaml", "--resume", "never", env=env) as door:
        assert eventually(lambda: bool(psutil.Process(door.pid).children()))
        (engine,) = psutil.Process(door.pid).children()
        assert eventually(lambda: engine.status() == psutil.STATUS_STOPPED)
        config = place.path / "tiny.yaml"
        config.write_text(config.read_text(encoding="utf-8").replace("seed: 3", "seed: 4"))
        engine.kill()
        assert door.wait(120) == 3
    assert place.learned() == whole.learned()


@pytest.mark.faults(
    "SIGKILL of the door of a run with busy workers",
    expect="the engine commits and ends, nothing is left, resume = uninterrupted",
)
def test_the_door_is_killed(place: Sandbox, whole: Sandbox) -> None:
    args = ("run", "tiny.yaml", "--set=curriculum.workers=2", "--set=controller.generations=400")
    with place.alive(*args, stdout=subprocess.DEVNULL) as door:
        assert eventually(lambda: (place.search / "commits").exists() or _searches(place))
        door.kill()
        door.wait(10)
        assert eventually(lambda: not place.processes())
    (stop,) = place.events("run_stopped")
    assert stop["exit_code"] == 143
    assert place.leftovers() == []


def _searches(place: Sandbox) -> bool:
    ledger = place.run / "events.jsonl"
    return ledger.exists() and any(
        e["stage"] == "controller" for e in place.events("stage_started")
    )


@pytest.mark.faults(
    "SIGTERM to the engine itself", expect="it commits, and its door ends with 143 as well"
)
def test_the_engine_is_asked_to_stop(place: Sandbox, surroundings: Surroundings) -> None:
    done = place.begin(env=surroundings("commit_always;signal_in_stage=controller,SIGTERM"))
    assert done.code == 143, done.err
    assert "everything is committed" in done.err
    assert not place.events("engine_died")


@pytest.mark.faults(
    "SIGSTOP and later SIGCONT to the engine", expect="nothing is taken for a fault; equal results"
)
def test_a_held_engine(place: Sandbox, whole: Sandbox, surroundings: Surroundings) -> None:
    env = surroundings("commit_always;signal_in_stage=controller,SIGSTOP")
    with place.alive("run", "tiny.yaml", env=env) as door:
        assert eventually(lambda: bool(psutil.Process(door.pid).children()))
        (engine,) = psutil.Process(door.pid).children()
        assert eventually(lambda: engine.status() == psutil.STATUS_STOPPED)
        time.sleep(2.0)
        os.kill(engine.pid, signal.SIGCONT)
        assert door.wait(120) == 3
    assert not place.events("engine_died")
    assert place.learned() == whole.learned()
