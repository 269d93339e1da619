"""The report of a run, made from its ledger alone: Markdown to read, CSV and JSON to compute.

What the Markdown says is in `curriculum.show.sections`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from curriculum.records.files import write_bytes, write_json
from curriculum.show.markdown import table
from curriculum.show.sections import ending, machine, report_of
from curriculum.show.summary import Event, RunSummary, summarise
from curriculum.show.words import count, duration, interval, number, plain, tried

CSV_COLUMNS = (
    "task",
    "mode",
    "round",
    "stage",
    "seconds",
    "env_steps",
    "dream_steps",
    "result",
)


def write_report(
    directory: Path, events: Iterable[Event], curves: Sequence[str] = ()
) -> RunSummary:
    """Writes a run's `pipeline_summary.csv`, `evaluation_results.json` and `report.md`, atomically.

    Args:
        directory: of the run.
        events: of its ledger, oldest first.
        curves: pictures of what it learned, as paths inside the directory.

    Returns:
        What they were made from.

    Raises:
        RunIOError: the disk refused.
    """
    summary = summarise(events)
    write_bytes(directory / "pipeline_summary.csv", _csv(summary).encode())
    write_json(directory / "evaluation_results.json", results(summary))
    write_bytes(directory / "report.md", report_of(summary, curves).encode())
    return summary


def report_text(events: Iterable[Event]) -> str:
    """Returns the report of a run as Markdown."""
    return report_of(summarise(events))


def report_json(events: Iterable[Event]) -> dict[str, Any]:
    """Returns the results of a run, and its stages, as JSON-compatible data."""
    summary = summarise(events)
    stages = [{c: getattr(row, c) for c in CSV_COLUMNS} for row in summary.stages]
    return {**results(summary), "stages": stages}


def compare_runs(ledgers: Mapping[str, Sequence[Event]]) -> str:
    """Returns several runs side by side as Markdown: one row per task, one column per run.

    Args:
        ledgers: events by the name of their run.
    """
    runs = {name: summarise(events) for name, events in ledgers.items()}
    tasks = dict.fromkeys(
        plain(v.get("task")) for summary in runs.values() for v in summary.verdicts
    )
    scores = [[task, *(_side(s, task) for s in runs.values())] for task in tasks]
    rows: list[tuple[str, list[str]]] = [
        ("seed", [plain(s.started.get("seed")) for s in runs.values()]),
        ("mode asked for", [plain(s.started.get("mode")) for s in runs.values()]),
        ("ending", [ending(s) for s in runs.values()]),
        ("configuration", [plain(s.started.get("config_hash"))[:12] for s in runs.values()]),
        ("machine", [machine(s) for s in runs.values()]),
        ("fallbacks", [str(len(s.replacements) + len(s.step_downs)) for s in runs.values()]),
    ]
    return "\n".join(
        [
            "# Runs side by side\n",
            table(["task", *runs], scores),
            table(["", *runs], [[name, *cells] for name, cells in rows]),
        ]
    )


def _side(summary: RunSummary, task: str) -> str:
    """Writes one run's result of a task; the mode stands in every one of them."""
    v = next((v for v in summary.verdicts if plain(v.get("task")) == task), None)
    if v is None:
        return "not in this run"
    if v.get("score") is None:
        return f"not run ({plain(v.get('mode')) or 'no mode'})"
    score = f"{number(v['score'])} {interval(v.get('interval'))} of {number(v.get('target'))}"
    used = f"{count(v.get('env_steps'))} steps, {duration(v.get('seconds'))}"
    word = ", ".join(filter(None, (plain(v.get("verdict")), tried(v))))
    return f"{plain(v.get('mode'))}: {score}, {word}; {used}"


def results(summary: RunSummary) -> dict[str, Any]:
    """Returns verdicts, every evaluation's scores and where their seeds come from."""
    seed = summary.started.get("seed")
    tasks = []
    for verdict in summary.verdicts:
        task = plain(verdict.get("task"))
        known = {k: v for k, v in verdict.items() if k not in ("t", "event")}
        tasks.append({**known, "evaluations": _evaluations(summary, task, seed)})
    return {
        "run": summary.name,
        "seed": seed,
        "config_hash": summary.started.get("config_hash"),
        "exit_code": (summary.ended or {}).get("exit_code"),
        "tasks": tasks,
    }


def _evaluations(summary: RunSummary, task: str, seed: Any) -> list[dict[str, Any]]:
    return [
        {
            "mode": row.mode,
            "round": row.round,
            **row.facts,
            "seeds": {
                "root": seed,
                "path": [task, row.round, "evaluate", "episodes"],
                "rule": "one counter-based seed per episode, never used in training",
            },
        }
        for row in summary.evaluations(task)
    ]


def _csv(summary: RunSummary) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row in summary.stages:
        seconds = None if row.seconds is None else round(row.seconds, 3)
        place = row.task, row.mode, row.round, row.stage
        writer.writerow([*place, seconds, row.env_steps, row.dream_steps, row.result])
    return text.getvalue()
