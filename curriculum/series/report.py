"""The report over the runs of a series: every run, and per task what they say together."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curriculum.mode import LADDER
from curriculum.records.events import known
from curriculum.records.files import write_bytes, write_json
from curriculum.records.ledger import read_events
from curriculum.seeds import generator
from curriculum.series.plan import Series
from curriculum.show.markdown import bullets, cell, code, table
from curriculum.show.sections import ending
from curriculum.show.summary import RunSummary, summarise
from curriculum.show.words import NOTHING, count, duration, finite, interval, number, outcome, plain
from curriculum.statistics import FEWEST_RUNS, interval_over_runs, iqm

CONFIDENCE = 0.95
(_FINISHED,) = known("run_finished")
_BEST = str(LADDER[0])
_HEADER = ("seed", "mode", "verdict", "score", "interval", "median", "real steps", "time")


@dataclass(frozen=True)
class Outcome:
    """What one run made of one task.

    Attributes:
        seed: of the run.
        verdict: facts of its verdict; empty if there is none.
        scores: `[n]` of its evaluation.
    """

    seed: int
    verdict: Mapping[str, Any]
    scores: np.ndarray

    @property
    def score(self) -> float | None:
        return finite(self.verdict.get("score"))

    @property
    def mode(self) -> str:
        return plain(self.verdict.get("mode"))

    @property
    def passed(self) -> bool:
        return self.verdict.get("verdict") == "passed"


def summaries(series: Series) -> dict[int, RunSummary]:
    """Returns what the ledger of each run tells, by seed; empty where nothing was begun."""
    return {seed: summarise(read_events(series.ledger(seed))) for seed in series.seeds}


def write_report(series: Series) -> tuple[str, dict[str, Any]]:
    """Writes `report.md` and `results.json` of a series, atomically, and returns what they hold.

    Raises:
        RunIOError: the disk refused, or a ledger cannot be read.
    """
    found = summaries(series)
    text, facts = report_of(series, found), results(series, found)
    write_bytes(series.path / "report.md", text.encode())
    write_json(series.path / "results.json", facts)
    return text, facts


def results(series: Series, found: Mapping[int, RunSummary]) -> dict[str, Any]:
    """Returns the same as JSON-compatible data: every verdict, and what is told of them all."""
    tasks = []
    for task in _tasks(found):
        rows = _outcomes(found, task)
        told = {str(row.seed): dict(row.verdict) or None for row in rows}
        tasks.append({"task": task, "together": _together(task, rows), "runs": told})
    endings = {str(seed): (s.ended or {}).get("exit_code") for seed, s in found.items()}
    return {"seeds": list(series.seeds), "exit_codes": endings, "tasks": tasks}


def report_of(series: Series, found: Mapping[int, RunSummary]) -> str:
    """Returns the report as Markdown.

    Args:
        series: which it is of.
        found: what the ledger of each run tells.
    """
    named = next((s.name for s in found.values() if s.starts), "runs")
    begun = [seed for seed, summary in found.items() if summary.starts]
    parts = [f"# {cell(named)}: {len(series.seeds)} seeds\n"]
    lacking = [str(seed) for seed in series.seeds if seed not in begun]
    if lacking:
        parts.append(f"Not begun yet: seeds {', '.join(lacking)}.\n")
    for task in _tasks(found):
        parts += _section(task, _outcomes(found, task))
    if begun:
        rows = [[str(seed), ending(found[seed]), f"seed-{seed}/report.md"] for seed in begun]
        parts += ["## Runs\n", table(["seed", "ending", "report"], rows)]
    if any(_is_left(summary) for summary in found.values()):
        command = f"python -m curriculum resume {shlex.quote(str(series.given))}"
        parts += ["What is not over goes on by:\n", code([command])]
    return "\n".join(parts)


def _is_left(summary: RunSummary) -> bool:
    return (summary.ended or {}).get("event") != _FINISHED


def _section(task: str, rows: Sequence[Outcome]) -> list[str]:
    told = _together(task, rows)
    within = f", {CONFIDENCE:.0%} interval over runs {interval(told['interval'])}"
    lines = [
        f"{told['passed']} of {len(rows)} runs passed; the interquartile mean of {told['runs']} "
        f"scores is {number(told['iqm'])}{within if told['interval'] else ''}"
    ]
    if not told["interval"] and told["runs"]:
        lines.append(
            f"no interval over runs is told: {told['runs']} of them say too little of how much "
            f"seeds differ, {FEWEST_RUNS} are the fewest"
        )
    if told["apart"]:
        lines.append(
            f"set apart, and in none of these numbers: seeds {', '.join(map(str, told['apart']))}, "
            f"which ran in a lesser mode than {_BEST}"
        )
    if told["steps"]:
        low, median, high = told["steps"]
        lines.append(
            f"real steps of the runs that passed: median {count(median)}, from {count(low)} to "
            f"{count(high)}"
        )
    return [f"## {cell(task)}\n", table(_HEADER, [_row(row) for row in rows]), bullets(lines)]


def _row(row: Outcome) -> list[str]:
    verdict = row.verdict
    if not verdict:
        return [str(row.seed), "", "not over", *[NOTHING] * 5]
    return [
        str(row.seed),
        row.mode,
        outcome(verdict.get("verdict"), verdict.get("mode")),
        number(verdict.get("score")),
        interval(verdict.get("interval")),
        number(float(np.median(row.scores))) if len(row.scores) else NOTHING,
        count(verdict.get("env_steps")),
        duration(verdict.get("seconds")),
    ]


def _together(task: str, rows: Sequence[Outcome]) -> dict[str, Any]:
    """Returns what runs of the best mode say together; others are named, and not averaged in."""
    modes = {row.mode for row in rows if row.score is not None}
    best = next((str(mode) for mode in LADDER if str(mode) in modes), "")
    counted = [row for row in rows if row.score is not None and row.mode == best]
    scores = np.array([row.score for row in counted], np.float64)
    within = interval_over_runs([scores], iqm, CONFIDENCE, generator(0, "series", task))
    used = [int(row.verdict["env_steps"] or 0) for row in counted if row.passed]
    low_median_high = np.quantile(used, [0.0, 0.5, 1.0]).tolist() if used else None
    return {
        "mode": best,
        "runs": len(counted),
        "passed": sum(row.passed for row in counted),
        "iqm": float(iqm(scores)) if len(scores) else None,
        "interval": None if within is None else list(within),
        "steps": low_median_high,
        "apart": [row.seed for row in rows if row.score is not None and row.mode != best],
    }


def _tasks(found: Mapping[int, RunSummary]) -> list[str]:
    named = (plain(v.get("task")) for s in found.values() for v in s.verdicts)
    return list(dict.fromkeys(named))


def _outcomes(found: Mapping[int, RunSummary], task: str) -> list[Outcome]:
    rows = []
    for seed, summary in found.items():
        verdict = next((v for v in summary.verdicts if plain(v.get("task")) == task), {})
        told = [row.evaluation for row in summary.evaluations(task)] if verdict else []
        last = next((e for e in reversed(told) if e is not None), None)
        scores = np.array(last.scores if last else (), np.float64)
        rows.append(Outcome(seed, verdict, scores))
    return rows
