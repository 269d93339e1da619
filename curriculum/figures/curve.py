"""The learning curve of a task as a ledger tells it: scores against steps, time and episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from curriculum.show.words import finite, plain

Event = Mapping[str, Any]


class Point(NamedTuple):
    """A place of a curve.

    Attributes:
        steps: in the environment so far.
        score: there.
        seconds: of work so far; None where that is not told.
        episodes: finished so far; None where that is not told.
    """

    steps: float
    score: float
    seconds: float | None = None
    episodes: float | None = None


@dataclass(frozen=True)
class Curve:
    """What a run's practice showed of itself.

    Attributes:
        checks: scores of what would be deployed, on fresh episodes.
        training: mean scores of the last training episodes, in which actions are explored.
    """

    checks: tuple[Point, ...] = ()
    training: tuple[Point, ...] = ()


def curve_of(events: Sequence[Event], task: str, mode: str) -> Curve:
    """Reads the curve of a task in a mode, or in the real environment where a mode is named so.

    Args:
        events: the effective ones of a run, oldest first.
        task: its name.
        mode: that did the work.
    """
    checks: list[Point] = []
    training: list[Point] = []
    used = _Used()
    for event, elapsed in zip(events, _elapsed(events), strict=True):
        if event.get("task") != task or event.get("mode") not in (mode, "REAL"):
            continue
        values = event.get("values")
        told = values if event["event"] == "metrics" and isinstance(values, dict) else {}
        used.add(event, told, elapsed)
        score = finite(event.get("score")) if event["event"] == "check" else None
        if score is not None:
            checks.append(used.point(score, elapsed))
        score = finite(told.get("score"))
        if score is not None:
            training.append(used.point(score, elapsed))
    return Curve(tuple(checks), tuple(training))


def modes_of(events: Sequence[Event]) -> dict[str, str]:
    """Returns the tasks that learned, each with the mode of its verdict, or of what it did last."""
    found: dict[str, str] = {}
    for event in events:
        task, mode = plain(event.get("task")), plain(event.get("mode"))
        if event["event"] in ("check", "metrics", "verdict") and task and mode not in ("", "REAL"):
            found[task] = mode
    return found


class _Used:
    """What a task has used so far: its finished stages, and the one that goes on."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._steps_before = self._episodes_before = 0.0
        self._steps = 0.0
        self._episodes: float | None = None

    def add(self, event: Event, told: Mapping[str, Any], elapsed: float) -> None:
        """Counts what an event tells."""
        self._began = elapsed if self._began is None else self._began
        self._steps = _or(told.get("env_steps"), self._steps)
        if (episodes := finite(told.get("episodes"))) is not None:
            self._episodes = episodes
        if event["event"] == "stage_done" and event.get("stage") != "evaluate":
            metrics = event.get("metrics")
            known = metrics if isinstance(metrics, dict) else {}
            self._steps_before += _or(event.get("env_steps"), 0.0)
            self._episodes_before += _or(known.get("episodes"), 0.0)
            self._steps = 0.0

    def point(self, score: float, elapsed: float) -> Point:
        """Returns where a score stands."""
        assert self._began is not None
        episodes = None if self._episodes is None else self._episodes_before + self._episodes
        return Point(self._steps_before + self._steps, score, elapsed - self._began, episodes)


def _or(value: Any, otherwise: float) -> float:
    known = finite(value)
    return otherwise if known is None else known


def _elapsed(events: Sequence[Event]) -> list[float]:
    """Returns seconds of work up to each event: the time between two programs is none."""
    elapsed, last, found = 0.0, None, []
    for event in events:
        now = finite(event.get("t"))
        if now is not None:
            if last is not None and event["event"] != "run_started":
                elapsed += max(now - last, 0.0)
            last = now
        found.append(elapsed)
    return found
