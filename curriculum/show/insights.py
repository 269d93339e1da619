"""What stages found out, in rows of tables: laps that were driven, and what V and M know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from curriculum.records.facts import finite
from curriculum.show.markdown import bullets, table
from curriculum.show.summary import StageRow
from curriculum.show.words import count, number, plain, short
from models.numeric.measures import MEASURES, measure_of

DRIVING = (
    "laps",
    "mean",
    "median",
    "worst",
    "complete",
    "frames of complete",
    "tiles visited",
    "left behind",
    "came round",
    "by frame",
    "left the road",
    "not found back",
    "reads its speed (R²)",
)
"""Columns of `driving_row`."""

_LAP = (
    "seed",
    "score",
    "frames",
    "visited",
    "left behind",
    "round by frame",
    "complete",
    "off the road at tile (frames)",
)


def driving_row(facts: Mapping[str, Any]) -> list[str]:
    """Returns what laps have in common."""
    told = facts.get("complete_frames")
    frames = [frame for frame in (told if isinstance(told, list) else []) if finite(frame)]
    between = f"{count(min(frames))} to {count(max(frames))}" if frames else ""
    share = facts.get("visited_share")
    return [
        count(facts.get("episodes")),
        *(number(facts.get(f"score_{name}")) for name in ("mean", "median", "worst")),
        count(facts.get("complete")),
        between,
        f"{share:.1%}" if isinstance(share, float) else "",
        number(facts.get("left_behind_mean")),
        count(facts.get("came_round")),
        short(facts.get("came_round_frame_median")),
        count(facts.get("left_the_road")),
        count(facts.get("not_found_back")),
        _speed(facts.get("speed")),
    ]


def _speed(read: Any) -> str:
    known = read.get("kernel_r2") if isinstance(read, dict) else None
    return f"{known:.2f}" if finite(known) else ""


def laps_text(task: str, facts: Mapping[str, Any]) -> str:
    """Returns a table of all laps of a task, and what they have in common."""
    rows = [_lap_row(lap) for lap in facts["laps"]]
    return "\n".join([table(_LAP, rows), table(["task", *DRIVING], [[task, *driving_row(facts)]])])


def _lap_row(lap: Mapping[str, Any]) -> list[str]:
    off = [
        f"{e['tile']} ({e['frames']}{'' if e['found_back'] else ', not found back'})"
        for e in lap["excursions"]
    ]
    return [
        plain(lap["seed"]),
        number(lap["score"]),
        count(lap["frames"]),
        f"{lap['visited']} of {lap['tiles']}",
        count(lap["left_behind"]),
        count(lap["came_round"]),
        "yes" if lap["complete"] else "",
        ", ".join(off),
    ]


MEASURED = ("measure", "value", "what it is", "good is")


def measured(stage: str, metrics: Mapping[str, Any]) -> list[list[str]]:
    """Returns the cells of what V or M was measured by, after `MEASURED`.

    Args:
        stage: that measured: `vision` or `memory`; of others there are none.
        metrics: its numbers by name.
    """
    if stage not in MEASURES:
        return []
    rows = []
    for name, value in metrics.items():
        measure = measure_of(stage, name)
        rows.append([name.replace("_", " "), short(value), measure.meaning, measure.good])
    return rows


def driving_section(stages: Iterable[StageRow]) -> list[str]:
    """Returns the section of what became of laps, where an environment tells of any."""
    told = [(r, r.facts.get("driving")) for r in stages]
    looked_at = [(r, facts) for r, facts in told if isinstance(facts, dict)]
    if not looked_at:
        return []
    header = ["task", "mode", "round", *DRIVING]
    rows = [[r.task, r.mode, r.round + 1, *driving_row(facts)] for r, facts in looked_at]
    pictures = [
        f"{plain(r.task)}, round {r.round + 1}: worst and median in laps.png of its evaluate stage"
        for r, _ in looked_at
    ]
    return ["## Driving\n", table(header, rows), bullets(pictures)]


def world_model(stages: Iterable[StageRow]) -> str:
    """Returns the table of what V and M were measured by."""
    rows = [
        [r.task, r.mode, r.round + 1, r.stage, *cells]
        for r in stages
        for cells in measured(r.stage, r.metrics)
    ]
    return table(["task", "mode", "round", "stage", *MEASURED], rows)
