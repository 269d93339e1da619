"""What a run that died in between counts: events once, failures all, directories once."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from curriculum.errors import StageFailure, Stopped
from curriculum.records.finished import Finished, StageResult, Used
from curriculum.records.ledger import Ledger, effective, effective_events
from curriculum.runs.history import History
from curriculum.runs.runner import Runner
from tests.records.samples import write_ledger

HERE = {"task": "pong", "mode": "FULL", "round": 0, "stage": "memory"}


def told(event: str, **facts: Any) -> dict[str, Any]:
    return {"t": 0.0, "event": event, **HERE, **facts}


def start(attempt: int = 0, **resumed_at: int) -> dict[str, Any]:
    return told("stage_started", attempt=attempt, resumed_at=resumed_at or None)


def metrics(step: int, **facts: Any) -> dict[str, Any]:
    return told("metrics", step=step, **facts)


def test_what_was_told_beyond_the_commit_is_told_again() -> None:
    first, second = metrics(25), metrics(50, values={"loss": 1.0})
    again = metrics(50, values={"loss": 1.0})
    before = [start(), first, second, metrics(75)]
    assert effective([*before, start(step=25), again]) == [before[0], first, again]


@pytest.mark.parametrize("count", ["step", "generation", "rollbacks"])
def test_each_count_is_compared_with_its_own_kind(count: str) -> None:
    events = [start(), *(told("any", **{count: n}) for n in (1, 2, 3))]
    assert effective([*events, start(**{count: 2})]) == events[:3]
    assert effective([*events, start()]) == events[:1]


def test_other_places_and_events_without_a_count_are_kept() -> None:
    other = {**metrics(75), "task": "breakout"}
    later = {**metrics(75), "round": 1}
    kept = [start(), told("notice", text="a"), other, later]
    assert effective([*kept, metrics(75), start(step=0)]) == kept


def test_a_start_counts_once_per_attempt_and_a_skip_not_after_the_stage_was_done() -> None:
    events = [start(), start(), told("stage_failed", attempt=0), start(1), start(1)]
    assert effective(events) == [events[0], events[2], events[3]]
    done = [told("stage_done"), told("stage_skipped"), told("stage_skipped")]
    assert effective(done) == done[:1]
    assert effective(done[1:]) == done[1:2]


def test_effective_events_reads_the_file(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "events.jsonl", clock=lambda: 0.0)
    write_ledger(ledger.path, [start(), metrics(25), metrics(50), start(step=25), metrics(50)])
    assert effective_events(ledger.path) == [start(), metrics(25), metrics(50)]


class Life:
    """One process of a run: a runner on the run's ledger whose stage does what it is told."""

    def __init__(self, path: Path, max_retries: int = 2) -> None:
        self.ledger = Ledger(path / "events.jsonl")
        self.attempts: list[int] = []
        curriculum = SimpleNamespace(max_retries=max_retries, stage_deadline_seconds=0.0)
        self._runner: Any = object.__new__(Runner)
        self._runner.config = SimpleNamespace(curriculum=curriculum)
        self._runner.ledger = self.ledger
        rundir: Any = None
        self._runner._history = History(self._runner.config, rundir, self.ledger)
        self._runner.barrier = SimpleNamespace(start_stage=lambda seconds: None)

    def run(self, *outcomes: BaseException | None, **place: Any) -> StageResult:
        """Tries a stage; its n-th attempt in this life raises the n-th outcome, if it is one."""
        where, left = {**HERE, **place}, list(outcomes)

        def record(event: str, **facts: Any) -> None:
            if event == "stage_started":
                self.attempts.append(facts["attempt"])
            self.ledger.append(event, **where, **facts)

        def work(ctx: Any) -> StageResult:
            outcome = left.pop(0)
            if outcome is not None:
                raise outcome
            return StageResult("done")

        store = SimpleNamespace(latest=lambda say: None)
        ctx = SimpleNamespace(place=SimpleNamespace(**where, store=store, record=record))
        nothing = lambda *args: None  # noqa: E731
        stage = SimpleNamespace(
            NAME="memory", verify_inputs=nothing, run=work, verify_outputs=nothing
        )
        return self._runner._retried(stage, ctx)


class Killed(BaseException):
    """Stands for the end of the process: nothing of the runner may catch it."""


def test_failed_attempts_of_a_killed_process_are_not_given_again(tmp_path: Path) -> None:
    life = Life(tmp_path)
    with pytest.raises(Killed):
        life.run(StageFailure("first"), Killed())
    # The attempt that the kill cut short did not fail: it is made again, under its number.
    resumed = Life(tmp_path)
    with pytest.raises(StageFailure, match="third"):
        resumed.run(StageFailure("second"), StageFailure("third"))
    assert (life.attempts, resumed.attempts) == ([0, 1], [1, 2])
    left = [e["left"] for e in resumed.ledger.events("stage_failed")]
    assert left == [2, 1, 0]
    once_more = Life(tmp_path)
    with pytest.raises(StageFailure, match="third"):
        once_more.run()
    assert once_more.attempts == []


def test_a_stop_is_no_failure_and_what_raised_is_one(tmp_path: Path) -> None:
    stopped = Life(tmp_path)
    with pytest.raises(Stopped):
        stopped.run(Stopped("asked to"))
    resumed = Life(tmp_path)
    assert resumed.run(ArithmeticError("flew away"), None).summary == "done"
    assert resumed.attempts == [0, 1]
    (failure,) = resumed.ledger.events("stage_failed")
    assert "ArithmeticError: flew away" in failure["reason"]


@pytest.mark.parametrize(
    "other", [{"task": "x"}, {"mode": "GYM_ONLY"}, {"round": 1}, {"stage": "x"}]
)
def test_failures_elsewhere_are_not_counted(tmp_path: Path, other: dict[str, Any]) -> None:
    with pytest.raises(StageFailure):
        Life(tmp_path, max_retries=0).run(StageFailure("there"), **other)
    assert Life(tmp_path, max_retries=0).run(None).summary == "done"


def finished(steps: int, dreamed: int, seconds: float) -> Finished:
    return Finished("FULL", seconds, StageResult("", env_steps=steps, dream_steps=dreamed))


def test_each_directory_is_used_once() -> None:
    used = Used()
    assert used.totals() == {"env_steps": 0, "dream_steps": 0, "seconds": 0}
    used.add(Path("a/collect"), finished(100, 0, 1.5))
    used.add(Path("a/controller"), finished(10, 400, 2.0))
    used.add(Path("a/collect"), finished(100, 0, 1.5))
    assert used.totals() == {"env_steps": 110, "dream_steps": 400, "seconds": 3.5}


def test_stages_of_a_mode_that_was_given_up_are_counted_once(tmp_path: Path) -> None:
    """Real data is shared by the modes: two steps down still use it once."""
    for place, steps in (("REAL/round-00/collect", 100), ("FULL/round-00/memory", 7)):
        directory = tmp_path / place
        directory.mkdir(parents=True)
        finished(steps, 0, 1.0).write(directory)
    ledger = Ledger(tmp_path / "events.jsonl")
    rundir: Any = SimpleNamespace(
        stage_dir=lambda task, mode, number, stage: tmp_path / mode / f"round-{number:02d}" / stage
    )
    for task, mode in (("pong", "FULL"), ("pong", "GYM_ONLY"), ("breakout", "SIMULATION")):
        ledger.append("stepped_down", task=task, mode=mode, to="x", reason="y")
    task: Any = SimpleNamespace(name="pong")
    config: Any = None
    used = History(config, rundir, ledger).used_before(task)
    assert used.totals() == {"env_steps": 107, "dream_steps": 0, "seconds": 2.0}
    used.add(tmp_path / "REAL/round-00/collect", finished(100, 0, 1.0))
    assert used.totals()["env_steps"] == 107
