"""What several runs say together: known answers, and nothing that was not measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curriculum.series.plan import Series
from curriculum.series.report import report_of, results, summaries
from curriculum.show.summary import RunSummary, summarise
from tests.records.samples import SAMPLES


def run(score: float | None, *, mode: str = "FULL", verdict: str = "passed", steps: int = 100):
    """The summary of a run with one verdict; one that was not begun where the score is None."""
    if score is None:
        return summarise([])
    events: list[dict[str, Any]] = [
        {"t": 1.0, "event": "run_started", **SAMPLES["run_started"]},
        {
            "t": 2.0,
            "event": "verdict",
            **SAMPLES["verdict"],
            "score": score,
            "verdict": verdict,
            "mode": mode,
            "env_steps": steps,
        },
        {"t": 3.0, "event": "run_finished", "exit_code": 0},
    ]
    return summarise(events)


def told(*runs: RunSummary) -> tuple[str, dict[str, Any]]:
    seeds = tuple(range(10, 10 + len(runs)))
    series = Series(Path("runs/five"), Path("/runs/five"), seeds, 1, ())
    found = dict(zip(seeds, runs, strict=True))
    return report_of(series, found), results(series, found)


def test_the_interquartile_mean_and_its_interval_are_over_runs() -> None:
    text, facts = told(*(run(s) for s in (0.0, 10.0, 12.0, 14.0, 100.0)))
    (pong,) = facts["tasks"]
    assert pong["together"]["iqm"] == pytest.approx(12.0)
    low, high = pong["together"]["interval"]
    assert 0.0 <= low < 12.0 < high <= 100.0
    assert "5 of 5 runs passed" in text and "interquartile mean of 5 scores is 12.0" in text
    assert "95% interval over runs [" in text and "go on" not in text
    assert pong["runs"]["12"]["score"] == 12.0
    assert "| 14 | FULL | passed | 100.0 |" in text


def test_two_runs_have_no_interval_and_the_report_says_why() -> None:
    text, facts = told(run(18.0), run(19.0))
    assert facts["tasks"][0]["together"]["interval"] is None
    assert "interval over runs [" not in text
    assert "no interval over runs is told: 2 of them" in text


def test_a_lesser_mode_is_set_apart_and_in_no_number() -> None:
    lesser = run(900.0, mode="SIMULATION", verdict="degraded")
    text, facts = told(run(18.0), run(19.0), run(20.0), lesser)
    together = facts["tasks"][0]["together"]
    assert (together["runs"], together["iqm"], together["apart"]) == (3, 19.0, [13])
    assert "set apart, and in none of these numbers: seeds 13" in text


def test_steps_are_of_runs_that_passed() -> None:
    missed = run(3.0, verdict="missed", steps=10**6)
    text, facts = told(run(18.0, steps=300), run(19.0, steps=100), missed)
    together = facts["tasks"][0]["together"]
    assert together["passed"] == 2 and together["steps"] == [100.0, 200.0, 300.0]
    assert "2 of 3 runs passed" in text
    assert "real steps of the runs that passed: median 200, from 100 to 300" in text


def test_what_is_not_begun_or_not_over_is_said() -> None:
    text, facts = told(run(18.0), run(None))
    assert "Not begun yet: seeds 11" in text
    assert "| 11 |  | not over |" in text
    assert facts["exit_codes"] == {"10": 0, "11": None}
    assert "python -m curriculum resume runs/five" in text


def test_a_hostile_name_starts_no_table() -> None:
    events = [
        {"t": 1.0, "event": "run_started", **SAMPLES["run_started"], "name": "a | b\n# c"},
        {"t": 2.0, "event": "verdict", **SAMPLES["verdict"], "task": "x\n| y |"},
    ]
    text, _ = told(summarise(events))
    assert "\n# c" not in text and "\n| y" not in text


def test_ledgers_that_are_not_there_are_empty_summaries(tmp_path: Path) -> None:
    series = Series(tmp_path, tmp_path, (1, 2), 1, ())
    assert [s.starts for s in summaries(series).values()] == [0, 0]
