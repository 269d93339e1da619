"""A learning curve says what its ledger does: steps, time and episodes of every score."""

from __future__ import annotations

from typing import Any

import pytest

from curriculum.figures.curve import Curve, Point, curve_of

HERE = {"task": "pong", "mode": "FULL", "round": 0}


def told(*events: dict[str, Any]) -> Curve:
    return curve_of(events, "pong", "FULL")


def event(name: str, t: float, **facts: Any) -> dict[str, Any]:
    return {"t": t, "event": name, **HERE, **facts}


COLLECTED = event("stage_done", 110.0, stage="collect", env_steps=5000, metrics={"episodes": 64.0})
LEARNED = event(
    "metrics", 130.0, stage="controller", values={"env_steps": 800.0, "score": -3.0, "episodes": 7}
)
CHECKED = event("check", 140.0, stage="controller", score=12.5)


def test_steps_time_and_episodes_count_what_came_before_practice() -> None:
    begun = {"t": 90.0, "event": "run_started"}
    first = event("stage_started", 100.0, stage="collect")
    curve = told(begun, first, COLLECTED, LEARNED, CHECKED)
    assert curve.training == (Point(5800.0, -3.0, 30.0, 71.0),)
    assert curve.checks == (Point(5800.0, 12.5, 40.0, 71.0),)


def test_time_between_two_programs_is_none_of_the_work() -> None:
    first = event("stage_started", 100.0, stage="collect")
    again = {"t": 9000.0, "event": "run_started"}
    later = [{**e, "t": e["t"] + 9000.0 - 110.0} for e in (LEARNED, CHECKED)]
    curve = told(first, COLLECTED, again, *later)
    assert [point.seconds for point in (*curve.training, *curve.checks)] == [30.0, 40.0]


def test_other_tasks_and_modes_are_left_out_and_the_real_environment_is_not() -> None:
    foreign = [{**CHECKED, "task": "breakout"}, {**CHECKED, "mode": "GYM_ONLY"}]
    real = {**CHECKED, "mode": "REAL", "score": 3.0}
    assert [point.score for point in told(*foreign, real).checks] == [3.0]


@pytest.mark.parametrize("values", [None, "7", {"env_steps": "many", "score": float("nan")}, {}])
def test_what_no_program_of_ours_wrote_changes_nothing(values: Any) -> None:
    strange = event("metrics", 130.0, stage="controller", values=values)
    curve = told(COLLECTED, strange, {**CHECKED, "score": "high"}, CHECKED)
    assert curve.training == () and curve.checks == (Point(5000.0, 12.5, 30.0, None),)


def test_an_older_ledger_tells_no_episodes() -> None:
    old = event("metrics", 130.0, stage="controller", values={"env_steps": 800.0, "score": -3.0})
    assert told(COLLECTED, old).training == (Point(5800.0, -3.0, 20.0, None),)
