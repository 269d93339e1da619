"""The report of a run, made from its ledger alone: Markdown to read, CSV and JSON to compute.

What the Markdown says is in `curriculum.show.sections`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from curriculum.records.files import write_bytes, write_json
from curriculum.records.ledger import effective
from curriculum.show.markdown import table
from curriculum.show.sections import ending, machine, report_of
from curriculum.show.summary import Event, RunSummary, summarise
from curriculum.show.words import count, duration, finite, interval, number, plain, tried

METRICS = "metrics"
"""The directory in a run that tables of metrics are in."""

_FILE_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
CSV_COLUMNS = (
    "task",
    "mode",
    "round",
    "stage",
    "status",
    "attempts",
    "seconds",
    "env_steps",
    "dream_steps",
    "result",
)


def write_report(
    directory: Path, events: Iterable[Event], curves: Sequence[str] = ()
) -> RunSummary:
    """Writes a run's `pipeline_summary.csv`, `evaluation_results.json` and `report.md`, atomically,
    and a table of the metrics of each stage that told any.

    Args:
        directory: of the run.
        events: of its ledger, oldest first.
        curves: pictures of what it learned, as paths inside the directory.

    Returns:
        What they were made from.

    Raises:
        RunIOError: the disk refused.
    """
    told = list(events)
    summary = summarise(told)
    for name, content in metrics_csv(effective(told)).items():
        write_bytes(directory / METRICS / name, content.encode())
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
    stages = [dict(zip(CSV_COLUMNS, row, strict=True)) for row in _stage_rows(summary)]
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
    for place, seconds, *rest in ((row[:6], *row[6:]) for row in _stage_rows(summary)):
        writer.writerow([*place, None if seconds is None else round(seconds, 3), *rest])
    return text.getvalue()


def _stage_rows(summary: RunSummary) -> list[list[Any]]:
    """Returns the stages after `CSV_COLUMNS`: those that are done, then those that came to nothing.

    Attempts are those of a stage, not of a task: the failed ones, and the one that was done.
    """
    failed: dict[tuple[Any, ...], list[Event]] = {}
    for event in summary.failures:
        place = tuple(event.get(name) for name in CSV_COLUMNS[:4])
        failed.setdefault(place, []).append(event)
    rows: list[list[Any]] = []
    for row in summary.stages:
        tries = len(failed.pop((row.task, row.mode, row.round, row.stage), ())) + 1
        place = [row.task, row.mode, row.round, row.stage, "done", tries]
        rows.append([*place, row.seconds, row.env_steps, row.dream_steps, row.result])
    for place, events in failed.items():
        reason = plain(events[-1].get("reason"))
        rows.append([*place, "failed", len(events), None, None, None, reason])
    return rows


def metrics_csv(events: Iterable[Event]) -> dict[str, str]:
    """Returns the metrics of each stage as a table, by the name of its file.

    Args:
        events: the effective ones of a run.
    """
    told: dict[str, list[Event]] = {}
    for event in events:
        if event["event"] == "metrics" and isinstance(event.get("values"), dict):
            parts = [plain(event.get(name)) for name in ("task", "mode", "stage")]
            name = f"{'-'.join(parts)}-{int(finite(event.get('round')) or 0):02d}.csv"
            if _FILE_NAME.fullmatch(name):
                told.setdefault(name, []).append(event)
    return {name: _metrics(rows) for name, rows in told.items()}


def _metrics(rows: Sequence[Event]) -> str:
    columns = dict.fromkeys(key for row in rows for key in row["values"])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", "unix_seconds", *columns])
    for row in rows:
        values = (row["values"].get(key) for key in columns)
        writer.writerow([row.get("step"), row.get("t"), *values])
    return text.getvalue()
