"""A run that is killed, at any moment and however often, is the run that was not, bit for bit.

Without more, one small run is killed at a spread of points. `GOLDEN_STRIDE=60 python -m pytest
tests/faults/golden` does so with every kind of run, and `GOLDEN_STRIDE=1` at every kind of point in
every stage, which takes many minutes.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from curriculum.records.commit import CommitStore
from curriculum.records.ledger import Ledger
from tests.faults.golden import golden_configs as configs
from tests.faults.golden.golden_fingerprint import differences, fingerprint, leftovers
from tests.faults.golden.golden_lives import Lives

STRIDE = int(os.environ.get("GOLDEN_STRIDE", "60"))
LONG = [
    pytest.mark.skipif("GOLDEN_STRIDE" not in os.environ, reason="takes minutes: GOLDEN_STRIDE=60"),
    pytest.mark.timeout(4 * 3600),
]
PIECES = [pytest.mark.torch, pytest.mark.gym, *LONG]
RUNS = {
    "SIMULATED_STATE": pytest.param("SIMULATED_STATE"),
    "SIMULATED_PIXELS": pytest.param("SIMULATED_PIXELS", marks=LONG),
    "GYM_STATE": pytest.param("GYM_STATE", marks=[pytest.mark.gym, *LONG]),
    "FULL_STATE": pytest.param("FULL_STATE", marks=PIECES),
    "FULL_PPO": pytest.param("FULL_PPO", marks=PIECES),
    "FULL_QRDQN": pytest.param("FULL_QRDQN", marks=PIECES),
    "FULL_SAC": pytest.param("FULL_SAC", marks=PIECES),
    "FULL_PIXELS": pytest.param("FULL_PIXELS", marks=PIECES),
}

pytestmark = [pytest.mark.slow]


def needed(name: str) -> list[str]:
    modules = {
        "SIMULATED": ["curriculum.backends.simulation"],
        "GYM": ["gymnasium", "curriculum.backends.gym_only"],
        "FULL": ["torch", "gymnasium", "cma", "curriculum.backends.full"],
    }[name.partition("_")[0]]
    for module in modules:
        if "." not in module:
            pytest.importorskip(module)
    return modules


@pytest.fixture
def lives(request, tmp_path: Path) -> Iterator[Lives]:
    name = request.param
    modules = needed(name)
    (tmp_path / "dot_plugin.py").write_text(configs.PLUGIN, encoding="utf-8")
    (tmp_path / "run.yaml").write_text(getattr(configs, name), encoding="utf-8")
    with Lives(tmp_path, modules) as driver:
        yield driver


def in_directory(name: str, *more: str) -> tuple[str, ...]:
    return ("run", "run.yaml", "--quiet", "--run-dir", name, *more)


def assert_same(lives: Lives, name: str) -> None:
    whole, killed = (fingerprint(lives.directory / run) for run in ("whole", name))
    assert differences(whole, killed) == []
    assert leftovers(lives.directory / name) == []


@pytest.mark.parametrize("lives", RUNS.values(), indirect=True)
def test_killed_at_many_kinds_of_points_a_run_ends_the_same(lives: Lives) -> None:
    whole = lives.until_done(*in_directory("whole"))
    modes = {path.parent.name for path in lives.directory.glob("whole/tasks/*/*/round-00")}
    assert len(modes - {"REAL"}) == 1, "the run stepped down: it is not what it is meant to be"
    kinds = len(set(whole.points))
    assert kinds > 150
    died = lives.at_kinds(*in_directory("killed"), stride=STRIDE)
    assert len(set(died)) == len(died) > 0.4 * kinds / STRIDE - 1
    assert_same(lives, "killed")


@pytest.mark.parametrize("lives", [RUNS["SIMULATED_STATE"]], indirect=True)
def test_killed_and_killed_again_in_the_resume_it_ends_the_same(lives: Lives) -> None:
    count = len(lives.until_done(*in_directory("whole")).points)
    for number, share in enumerate((0.1, 0.5, 0.9)):
        name = f"twice-{number}"
        assert lives.live(*in_directory(name), at=int(count * share)).killed
        assert lives.live("resume", name, "--quiet", at=30 + 10 * number).killed
        lives.until_done("resume", name, "--quiet")
        assert_same(lives, name)


MOMENTS = {
    "while it collects": "controller barrier may_stop before",
    "between two gradients": "controller gradient after",
    "while the replay grows": "controller append rows half",
    "while the replay is synced": "controller sync rows before",
    "in the middle of a commit": "controller write commit half",
    "at the end of a commit": "controller replace commit after",
}
"""Moments of learning from a replay, and the points that they are at."""


@pytest.mark.faults(
    "kill -9 of a run that learns from a replay, while it collects, learns, appends and commits",
    expect="each life goes on where the last commit was; all ends bit for bit as if never killed",
)
@pytest.mark.torch
@pytest.mark.gym
@pytest.mark.parametrize("lives", ["FULL_QRDQN", "FULL_SAC"], indirect=True)
def test_a_run_that_learns_from_a_replay_killed_at_each_moment_ends_the_same(lives: Lives) -> None:
    whole = lives.until_done(*in_directory("whole"))
    for label in MOMENTS.values():
        assert whole.points.count(label) > 4, label
        life = lives.live(*in_directory("killed"), only=label, skip=2)
        assert life.killed and life.label == label, life
    lives.until_done("resume", "killed", "--quiet")
    assert_same(lives, "killed")


BETWEEN = (
    "evaluate tell attempt_over before",
    "evaluate tell attempt_over half",
    "evaluate tell attempt_over after",
    "collect append rows half",
    "vision write commit half",
    "controller replace commit after",
    "evaluate write result before",
)
"""Points of a walk with attempts: between two of them, and in the middle of a second one."""


@pytest.mark.faults(
    "kill -9 between two attempts at a task, and in each kind of stage of the second",
    expect="the same attempts, seeds, scores and verdict as in the run that was not killed",
)
@pytest.mark.parametrize("lives", ["SIMULATED_ATTEMPTS"], indirect=True)
def test_a_walk_with_attempts_killed_between_and_in_them_ends_the_same(lives: Lives) -> None:
    whole = lives.until_done(*in_directory("whole"))
    for label in BETWEEN:
        count = whole.points.count(label)
        assert count, label
        # The later half of a life's points of one kind is the second attempt's.
        life = lives.live(*in_directory(f"killed-{label}"), only=label, skip=3 * count // 4)
        assert life.killed and life.label == label, life
        lives.until_done("resume", f"killed-{label}", "--quiet")
        assert_same(lives, f"killed-{label}")


INHERITING = (
    "vision tell transferred before",
    "vision tell transferred half",
    "vision tell transferred after",
    "memory tell transferred after",
    "vision write commit half",
    "memory replace commit after",
)
"""Points of a task whose V and M begin from those of the task before."""


@pytest.mark.faults(
    "kill -9 while a task takes over V and M from the one before, and while they learn on",
    expect="the same weights to begin from, told once; all ends bit for bit as if never killed",
)
@pytest.mark.torch
@pytest.mark.gym
@pytest.mark.parametrize("lives", ["FULL_TRANSFER"], indirect=True)
def test_a_walk_with_transfer_killed_as_it_takes_over_ends_the_same(lives: Lives) -> None:
    whole = lives.until_done(*in_directory("whole"))
    told = Ledger(lives.directory / "whole/events.jsonl").events("transferred")
    assert [(e["task"], e["stage"], e["taken"]) for e in told] == [
        ("dot", "vision", False),
        ("dot", "memory", False),
        ("spot", "vision", True),
        ("spot", "memory", True),
    ]
    for label in INHERITING:
        count = whole.points.count(label)
        assert count > 1, label
        life = lives.live(*in_directory("killed"), only=label, skip=0)
        assert life.killed and life.label == label, life
    for label in INHERITING:
        life = lives.live(*in_directory("later"), only=label, skip=whole.points.count(label) // 2)
        assert life.killed and life.label == label, life
        lives.until_done(*in_directory("later"))
        assert_same(lives, "later")
        shutil.rmtree(lives.directory / "later")
    lives.until_done(*in_directory("killed"))
    assert_same(lives, "killed")


def progress(run: Path) -> dict[str, int]:
    """Returns how far each stage of a run has come: its newest commit, and all that is finished."""
    stages = [path for path in run.glob("tasks/*/*/round-*/*") if path.is_dir()]
    reached = {}
    for stage in stages:
        commit = CommitStore(stage).latest()
        if commit is not None:
            reached[f"{stage.relative_to(run)} commit"] = commit.number
        reached[f"{stage.relative_to(run)} result"] = int((stage / "result.json").exists())
    return reached


@pytest.mark.faults(
    "SIGKILL of the whole process group at {kills} random times of a run",
    expect="no life goes back behind another; all that is learned equals the uninterrupted run",
)
@pytest.mark.parametrize("kills", [20])
@pytest.mark.parametrize("lives", [RUNS["SIMULATED_STATE"]], indirect=True)
def test_killed_at_random_times_until_done_it_never_goes_back(lives: Lives, kills: int) -> None:
    seconds = lives.until_done(*in_directory("whole")).seconds
    moments, delivered, runs = random.Random(0), 0, 0
    while delivered < kills:
        # A run that is done before it was killed often enough is begun again, at other times.
        name, runs, reached = f"killed-{runs}", runs + 1, {}
        assert runs <= kills, "hardly a life was killed: the times are too long"
        while delivered < kills:
            life = lives.live(*in_directory(name), timer_s=moments.uniform(0.02, 0.4 * seconds))
            now = progress(lives.directory / name)
            assert all(now.get(place, -1) >= number for place, number in reached.items())
            reached, delivered = now, delivered + life.killed
            if not life.killed:
                # Less time than it once took is enough if others leave more of the machine now.
                seconds = min(seconds, life.seconds)
                break
        lives.until_done(*in_directory(name))
        assert_same(lives, name)


@pytest.mark.parametrize("lives", [RUNS["SIMULATED_STATE"]], indirect=True)
def test_one_process_one_worker_and_two_that_are_killed_end_the_same(lives: Lives) -> None:
    lives.until_done(*in_directory("whole"))
    lives.until_done(*in_directory("one", "--set", "curriculum.workers=1"))
    assert_same(lives, "one")
    lives.until_done(*in_directory("two", "--set", "curriculum.workers=2"), murder=1)
    ledger = (lives.directory / "two/events.jsonl").read_text(encoding="utf-8")
    assert "worker_died" in ledger
    assert_same(lives, "two")
