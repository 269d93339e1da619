"""A missed target: how often a task is tried, which try counts, and where the walk ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curriculum.errors import EnvironmentFault, ExitCode, StageFailure, Stopped
from curriculum.pretrained.finding import learned_in
from curriculum.records.verdict import Verdict
from curriculum.runs.endings import exit_code
from curriculum.runs.runner import STAGE_NAMES
from curriculum.show.report import report_text
from curriculum.stages.stage import StageContext
from tests.runs.walking import STEPS, Walk

A_ROUND = len(STAGE_NAMES) * STEPS


def rounds(walk: Walk) -> list[tuple[str, int]]:
    """The rounds that were evaluated, in order."""
    return [(task, number) for task, number, stage in walk.seen if stage == "evaluate"]


def words(verdicts: list[Verdict]) -> list[tuple[str, str, float | None]]:
    return [(v.task, v.verdict, v.score) for v in verdicts]


def walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scores: dict[str, Any], **settings: Any
) -> tuple[Walk, list[Verdict]]:
    walk = Walk(tmp_path / "run", scores, settings).staged(monkeypatch)
    return walk, walk.live()


def test_a_missed_target_is_tried_again_until_it_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk, verdicts = walked(tmp_path, monkeypatch, {"a": [3, 12, 99], "b": [11]}, attempts=3)
    assert words(verdicts) == [("a", "passed", 12.0), ("b", "passed", 11.0)]
    assert rounds(walk) == [("a", 0), ("a", 1), ("b", 0)]
    first, second = verdicts
    assert (first.attempt, first.round, first.env_steps) == (2, 1, 2 * A_ROUND)
    told = [(t.number, t.round, t.verdict, t.score) for t in first.attempts]
    assert told == [(1, 0, "missed", 3.0), (2, 1, "passed", 12.0)]
    assert (second.attempt, second.attempts, second.env_steps) == (1, (), A_ROUND)
    # Nothing that a second attempt draws was drawn by the first.
    assert len(set(walk.drawn)) == len(walk.drawn)
    assert exit_code(verdicts, STAGE_NAMES) == ExitCode.OK


def test_of_attempts_that_all_missed_the_best_counts_and_all_are_paid_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk, (verdict,) = walked(tmp_path, monkeypatch, {"a": [3, 7, 7, 99]}, attempts=3)
    assert (verdict.verdict, verdict.score, verdict.attempt) == ("missed", 7.0, 2)
    assert [t.score for t in verdict.attempts] == [3.0, 7.0, 7.0]
    assert verdict.env_steps == 3 * A_ROUND
    assert exit_code([verdict], STAGE_NAMES) == ExitCode.TARGET_MISSED
    text = report_text(walk.ledger.events())
    assert "attempt 2 of 3" in text and "the best of several flatters" in text
    assert [e["score"] for e in walk.ledger.events("attempt_over")] == [3.0, 7.0, 7.0]


def test_one_attempt_is_as_it_always_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk, verdicts = walked(tmp_path, monkeypatch, {"a": [3, 99], "b": [11]})
    assert words(verdicts) == [("a", "missed", 3.0), ("b", "passed", 11.0)]
    assert not walk.ledger.events("attempt_over")
    assert [(v.attempt, v.attempts) for v in verdicts] == [(1, ()), (1, ())]
    assert "Attempts" not in report_text(walk.ledger.events())


def test_each_attempt_has_all_its_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {"a": [1, 2, 3, 4, 5, 15]}
    walk, (verdict,) = walked(tmp_path, monkeypatch, scores, attempts=3, rounds=2)
    assert rounds(walk) == [("a", n) for n in range(6)]
    # The last round of an attempt speaks for it.
    assert [(t.round, t.score) for t in verdict.attempts] == [(1, 2.0), (3, 4.0), (5, 15.0)]
    assert (verdict.verdict, verdict.attempt, verdict.round) == ("passed", 3, 5)


def test_a_round_that_passes_ends_its_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"a": [1, 2, 15, 99]}
    walk, (verdict,) = walked(tmp_path, monkeypatch, scores, attempts=3, rounds=2)
    assert rounds(walk) == [("a", 0), ("a", 1), ("a", 2)]
    assert (verdict.attempt, verdict.round) == (2, 2)


@pytest.mark.parametrize("attempts", [1, 2])
def test_on_success_the_walk_ends_at_the_first_task_that_did_not_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attempts: int
) -> None:
    scores = {"a": [11], "b": [3, 4], "c": [12], "d": [13]}
    walk, verdicts = walked(tmp_path, monkeypatch, scores, advance="on_success", attempts=attempts)
    best = 2.0 + attempts
    assert words(verdicts) == [
        ("a", "passed", 11.0),
        ("b", "missed", best),
        ("c", "not_run", None),
        ("d", "not_run", None),
    ]
    assert all("the walk ended at b" in v.reasons[-1] for v in verdicts[2:])
    assert {task for task, _, _ in walk.seen} == {"a", "b"}
    assert exit_code(verdicts, STAGE_NAMES) == ExitCode.TARGET_MISSED
    assert "the walk ended at b" in report_text(walk.ledger.events())


def test_what_was_earned_after_the_end_of_a_walk_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk, _ = walked(tmp_path, monkeypatch, {"a": [3], "b": [12]})
    walk.settings = {"advance": "on_success"}
    assert words(walk.live()) == [("a", "missed", 3.0), ("b", "passed", 12.0)]


def test_a_finished_walk_is_not_made_again_and_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk, verdicts = walked(tmp_path, monkeypatch, {"a": [3, 4], "b": [1, 12]}, attempts=2)
    before = list(walk.seen)
    assert walk.live() == verdicts and walk.seen == before
    assert len(walk.ledger.events("attempt_over")) == 4


@pytest.mark.parametrize("moment", range(1, 12))
def test_killed_at_any_stage_of_any_attempt_the_walk_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    scores = {"a": [3, 12]}
    whole, told = walked(tmp_path / "whole", monkeypatch, scores, attempts=2)
    killed = Walk(tmp_path / "killed" / "run", scores, {"attempts": 2})
    does = killed.result

    def until(ctx: StageContext) -> Any:
        if len(killed.seen) == moment:
            raise Stopped("here")
        return does(ctx)

    killed.result = until
    killed.staged(monkeypatch)
    with pytest.raises(Stopped):
        killed.live()
    killed.result = does
    (verdict,) = killed.staged(monkeypatch).live()
    assert (killed.seen, killed.drawn) == (whole.seen, whole.drawn)
    assert (verdict.score, verdict.attempts) == (told[0].score, told[0].attempts)
    assert verdict.env_steps == told[0].env_steps


def test_killed_between_two_attempts_the_second_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt's result is on the disk; whether its end was told or not."""
    walk = Walk(tmp_path / "run", {"a": [3, 12]}, {"attempts": 2}).staged(monkeypatch)
    append = type(walk.ledger).append

    def dying(self: Any, event: str, **facts: Any) -> Any:
        if event == "attempt_over":
            raise KeyboardInterrupt
        return append(self, event, **facts)

    monkeypatch.setattr(type(walk.ledger), "append", dying)
    with pytest.raises(KeyboardInterrupt):
        walk.live()
    monkeypatch.setattr(type(walk.ledger), "append", append)
    (verdict,) = walk.live()
    assert (verdict.score, verdict.attempt) == (12.0, 2)
    assert rounds(walk) == [("a", 0), ("a", 1)]
    assert [e["attempt"] for e in walk.ledger.events("attempt_over")] == [1, 2]


def test_a_later_attempt_that_fails_is_told_and_changes_no_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"a": [3, StageFailure("it diverged"), 5]}
    walk, (verdict,) = walked(tmp_path, monkeypatch, scores, attempts=3)
    assert (verdict.verdict, verdict.score, verdict.attempt) == ("missed", 5.0, 3)
    told = [(t.verdict, t.score, t.reason) for t in verdict.attempts]
    assert told[1] == ("not_run", None, "it diverged")
    assert not walk.ledger.events("stepped_down")
    # What the failed one had used before is paid for as well.
    assert verdict.env_steps == 3 * A_ROUND - STEPS
    assert "it diverged" in report_text(walk.ledger.events())
    assert walk.live() == [verdict]


def test_a_first_attempt_that_fails_steps_down_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"a": [StageFailure("it diverged"), 12]}
    walk, (verdict,) = walked(tmp_path, monkeypatch, scores, attempts=3)
    assert (verdict.verdict, verdict.mode) == ("not_run", None)
    assert len(walk.ledger.events("stepped_down")) == 1 and rounds(walk) == [("a", 0)]


def test_an_environment_that_breaks_in_a_later_attempt_leaves_what_was_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"a": [3, EnvironmentFault("it fell")], "b": [12]}
    _, verdicts = walked(tmp_path, monkeypatch, scores, attempts=3)
    assert words(verdicts) == [("a", "missed", 3.0), ("b", "passed", 12.0)]
    assert "it fell" in verdicts[0].fault
    assert exit_code(verdicts, STAGE_NAMES) == ExitCode.ENVIRONMENT


def test_some_stages_alone_begin_no_second_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"attempts": 2, "advance": "on_success"}
    walk = Walk(tmp_path / "run", {"a": [3, 12], "b": [11]}, settings).staged(monkeypatch)
    verdicts = walk.live(STAGE_NAMES[:4])
    assert [v.verdict for v in verdicts] == ["not_run", "not_run"]
    assert exit_code(verdicts, STAGE_NAMES[:4]) == ExitCode.OK
    walk.live(STAGE_NAMES[4:])
    assert rounds(walk) == [("a", 0)]
    assert words(walk.live()) == [("a", "passed", 12.0), ("b", "passed", 11.0)]
    assert rounds(walk) == [("a", 0), ("a", 1), ("b", 0)]


def test_a_run_may_be_given_more_attempts_and_keeps_those_that_were_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk, (first,) = walked(tmp_path, monkeypatch, {"a": [3, 5, 4]})
    assert (first.score, first.attempts) == (3.0, ())
    walk.settings = {"attempts": 2}
    (second,) = walk.live()
    assert (second.score, second.attempt, len(second.attempts)) == (5.0, 2, 2)
    walk.settings = {"attempts": 1}
    assert walk.live() == [second]


def test_the_agent_that_is_taken_out_of_a_run_is_that_of_the_attempt_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk, _ = walked(tmp_path, monkeypatch, {"a": [3, 7, 5], "b": [1, 2, 3]}, attempts=3)
    assert learned_in(walk.rundir, "a") == ("SIMULATION", 1)
    assert learned_in(walk.rundir, "b") == ("SIMULATION", 2)


def test_attempts_in_a_better_mode_stand_where_the_task_steps_down_between_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that die in a second attempt give up the mode, and not what it earned."""
    walk, _ = walked(tmp_path, monkeypatch, {"a": [3, 7]}, attempts=2)
    text = walk.ledger.path.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    kept = [e for e in lines if e["event"] != "verdict"]
    better = [{**e, "mode": "FULL"} if e.get("mode") == "SIMULATION" else e for e in kept]
    down = {"t": 1.0, "event": "stepped_down", "task": "a", "mode": "FULL", "to": "SIMULATION"}
    better.append({**down, "reason": "it died again and again"})
    walk.ledger.path.write_text("".join(json.dumps(e) + "\n" for e in better), encoding="utf-8")
    before = list(walk.seen)
    (verdict,) = walk.live()
    assert (verdict.mode, verdict.score, verdict.attempt) == ("FULL", 7.0, 2)
    assert [t.score for t in verdict.attempts] == [3.0, 7.0]
    assert walk.seen == before
