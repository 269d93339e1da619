"""What became of a driver's laps (`curriculum.insight.laps.summary_of`), as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curriculum.records.facts import finite
from curriculum.show.markdown import table
from curriculum.show.words import count, number, plain, short

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
