"""What a display knows: rates and ETAs that can be trusted, scores that keep to their mode."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from curriculum.config.schema import Config, CurriculumConfig
from curriculum.progress import STAGES, Progress
from curriculum.show.panels import render
from curriculum.show.view import MOST_SCORES, Estimate, Rung, RunView
from curriculum.show.words import sparkline
from curriculum.tasks import load_config


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@given(
    rate=st.floats(0.05, 500.0),
    done_before=st.integers(0, 10_000),
    gap=st.floats(0.3, 20.0),
)
def test_a_steady_stage_is_estimated_right_and_resumed_work_is_not_speed(
    rate: float, done_before: int, gap: float
) -> None:
    clock = Clock()
    estimate = Estimate(clock)
    start, total = clock.now, done_before + 1_000_000
    for _ in range(60):
        estimate.update(done_before + int(rate * (clock.now - start)), total)
        clock.now += gap
    clock.now -= gap
    if int(rate * gap * 29) < 10:
        return
    assert estimate.rate == pytest.approx(rate, rel=0.2)
    left = total - done_before - int(rate * gap * 59)
    assert estimate.remaining_s == pytest.approx(left / rate, rel=0.25)


def test_nothing_is_claimed_before_anything_is_known() -> None:
    clock = Clock()
    estimate = Estimate(clock)
    assert estimate.rate is None and estimate.remaining_s is None
    estimate.update(10, 100)
    clock.now += 30
    assert estimate.rate is None, "one sign of life says nothing about speed"
    estimate.update(20, 0)
    assert estimate.rate is not None
    assert estimate.remaining_s is None, "an unknown total has no ETA"


def test_a_stall_is_seen() -> None:
    clock = Clock()
    estimate = Estimate(clock)
    for done in range(30):
        estimate.update(done, 100)
        clock.now += 1.0
    before = estimate.remaining_s
    clock.now += 60.0
    after = estimate.remaining_s
    assert before is not None and (after is None or after > 2 * before)


def test_a_slow_start_is_forgotten() -> None:
    clock = Clock()
    estimate = Estimate(clock)
    estimate.update(0, 1000)
    clock.now += 60.0
    for done in range(1, 121):
        estimate.update(done, 1000)
        clock.now += 1.0
    assert estimate.rate == pytest.approx(1.0, rel=0.1)


def test_a_retry_starts_anew() -> None:
    clock = Clock()
    estimate = Estimate(clock)
    estimate.update(90, 100)
    clock.now += 10.0
    estimate.update(1, 100)
    clock.now += 10.0
    estimate.update(11, 100)
    assert estimate.rate == pytest.approx(1.0)


@given(
    score=st.none() | st.floats(-1e6, 1e6),
    floor=st.none() | st.floats(-1e6, 1e6),
    target=st.floats(-1e6, 1e6),
)
def test_the_bar_stays_in_its_bounds_and_is_full_only_at_the_target(
    score: float | None, floor: float | None, target: float
) -> None:
    share = Rung("t", target, 0.0, mode="FULL", floor=floor, score=score).share
    if score is None:
        assert share is None
        return
    assert share is not None and 0.0 <= share <= 1.0
    if score >= target:
        assert share == 1.0


def test_a_score_never_outlives_its_mode(config: Config) -> None:
    view = RunView(config)
    where = {"task": "pong", "mode": "FULL", "round": 0, "stage": "controller"}
    view.on_event({"event": "stage_started", **where, "attempt": 0})
    view.on_event({"event": "check", **where, "generation": 1, "score": 17.0, "target": 18.0})
    assert view.rungs["pong"].score == 17.0
    where["mode"] = "SIMULATION"
    view.on_event({"event": "stage_started", **where, "attempt": 0})
    rung = view.rungs["pong"]
    assert rung.score is None and rung.aim == 3.0, "the target is now the simulation's"


def test_episodes_of_a_check_do_not_disturb_the_count_of_generations(config: Config) -> None:
    clock = Clock()
    view = RunView(config, clock)

    def say(done: int, total: int, unit: str) -> None:
        view.on_progress(Progress("pong", "FULL", 0, "controller", done, total, unit))
        clock.now += 2.0

    for generation in range(1, 21):
        say(generation, 100, "generations")
    say(8, 16, "episodes")
    assert view.progress is not None and view.progress.unit == "generations"
    assert view.within is not None and view.within.done == 8
    assert view.estimate.rate == pytest.approx(0.5, rel=0.2)
    say(21, 100, "generations")
    assert view.within is None


def test_unknown_tasks_and_events_are_survived(config: Config) -> None:
    view = RunView(config)
    view.on_event({"event": "verdict", "task": "custom", "verdict": "missed", "mode": "FULL"})
    view.on_event({"event": "no_such_thing"})
    assert view.rungs["custom"].verdict == "missed"


def test_the_stages_are_those_of_the_runner() -> None:
    from curriculum.runs.runner import STAGE_NAMES

    assert STAGES == STAGE_NAMES


def test_an_attempt_begins_without_the_score_of_the_one_before(config: Config) -> None:
    view = RunView(replace(config, curriculum=CurriculumConfig(rounds=2, attempts=3)))
    where = {"task": "pong", "mode": "FULL"}
    view.on_event({"event": "stage_started", **where, "round": 1, "stage": "controller"})
    check = {"event": "check", **where, "round": 1, "stage": "controller", "score": 12.0}
    view.on_event({**check, "target": 18.0})
    over = {"event": "attempt_over", **where, "attempt": 1, "allowed": 3, "verdict": "missed"}
    assert view.rungs["pong"].score == 12.0
    view.on_event({**over, "score": 12.0, "target": 18.0})
    assert (view.rungs["pong"].score, view.current) == (None, None)
    assert view.notices[-1][1] == "pong FULL: attempt 1 of at most 3 missed, 12.0 of 18.0"
    view.on_event({**over, "attempt": 2, "verdict": "not_run", "score": None, "reasons": ["NaN"]})
    assert "attempt 2 of at most 3 came to no score: NaN" in view.notices[-1][1]
    view.on_event({"event": "stage_started", **where, "round": 2, "stage": "controller"})
    console = Console(file=io.StringIO(), width=120, height=40, record=True)
    console.print(render(view, 120, 40))
    assert "attempt 2 · round 1 of 2" in console.export_text()


def test_what_a_model_begins_from_is_noticed(config: Config) -> None:
    view = RunView(config)
    here = {"event": "transferred", "task": "pong", "mode": "FULL", "round": 0, "stage": "vision"}
    view.on_event({**here, "source": "breakout", "taken": True, "reason": ""})
    assert view.notices[-1][1] == "pong FULL vision begins from the weights of breakout"
    view.on_event({**here, "source": "breakout", "taken": False, "reason": "it is larger"})
    told = "pong FULL vision begins anew and not from breakout: it is larger"
    assert view.notices[-1][1] == told


def training(view: RunView, *scores: float) -> None:
    for done, score in enumerate(scores, 1):
        facts = {"score": score}
        place = ("pong", "FULL", 0, "controller")
        view.on_progress(Progress(*place, done, len(scores), "steps", facts))


def test_training_scores_are_kept_for_a_curve_in_as_little_room_however_long_it_lasts() -> None:
    view = RunView(load_config(Path("default")))
    training(view, *map(float, range(5000)))
    assert len(view.scores) < MOST_SCORES and view.scores == sorted(view.scores)
    steps = {b - a for a, b in pairwise(view.scores)}
    assert len(steps) == 1, "evenly spaced"
    assert view.scores[0] < 50 and view.scores[-1] > 4950
    view.on_event({"event": "stage_started", "task": "pong", "mode": "FULL", "stage": "evaluate"})
    assert view.scores == []


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        ([], 5, ""),
        ([1.0], 5, "▁"),
        ([0.0, 7.0], 5, "▁█"),
        ([0, 1, 2, 3, 4, 5, 6, 7], 8, "▁▂▃▄▅▆▇█"),
        ([0, 0, 7, 7], 2, "▁█"),
        ([3, 3, 3], 3, "▁▁▁"),
        ([1, 2], 0, ""),
    ],
)
def test_a_line_of_blocks_has_known_heights(values: list[float], width: int, drawn: str) -> None:
    assert sparkline(values, width) == drawn


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_curve_fits_into_the_terminal(width: int) -> None:
    view = RunView(load_config(Path("default")))
    training(view, *(float(n % 7) - 21.0 for n in range(300)))
    console = Console(file=io.StringIO(), width=width, height=24, markup=False, record=True)
    console.print(render(view, width, 24))
    text = console.export_text().splitlines()
    (curve,) = [line for line in text if line.startswith("training -21.0 ")]
    assert curve.rstrip().endswith(" -15.0") and len(curve.rstrip()) <= width
    assert all(len(line.rstrip()) <= width for line in text) and len(text) <= 24
