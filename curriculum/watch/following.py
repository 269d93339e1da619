"""A run as it goes on, for a page: its ledger and its present, folded into plain data."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curriculum.errors import CurriculumError
from curriculum.figures.curve import Curve, curve_of, modes_of
from curriculum.progress import STAGES, Progress
from curriculum.records.ledger import Tail, effective
from curriculum.records.rundir import MEDIA, RunDir
from curriculum.show.view import Rung, RunView
from curriculum.show.words import finite, plain
from curriculum.watch.present import present_in

MOST_POINTS = 300
"""Points of a curve that a page is told at most."""
SELDOM = 200
"""How many times longer than drawing the curves took they stay as they are."""
MOST_NOTICES = 20
MOST_TEXT = 500
PICTURES = (".png", ".svg", ".gif")


class RunFollower:
    """What is known of one run, by reading what it writes.

    Args:
        directory: of the run.
        name: that the page calls it by.

    Raises:
        ConfigError, RunIOError: there is no run.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.directory, self.name = directory, name
        self._config = RunDir.open(directory).config()
        self._begin()

    def look(self) -> dict[str, Any]:
        """Reads what is new and returns all that a page shows."""
        if self._size() < self._read_to:
            self._begin()  # what a killed process had told beyond its commit was taken back
        new = list(self._tail.events())
        self._read_to = self._size()
        for event in new:
            self._events.append(event)
            self._view.on_event(event)
            self._spend(event)
        self._stale = self._stale or bool(new)
        if self._stale and time.monotonic() >= self._draw_at:
            self._draw()
        present = present_in(self.directory)
        if present is not None and self._in_time(present):
            self._view.on_progress(present)
            self._told = present
        return self._snapshot(present)

    def pictures(self) -> list[str]:
        """Returns the names of the run's pictures."""
        return sorted(path.name for path in self._pictures().values())

    def picture(self, name: str) -> Path | None:
        """Returns the file of a picture by its name; None if there is no such one."""
        return self._pictures().get(name)

    def _begin(self) -> None:
        self._tail = Tail(self.directory / "events.jsonl")
        self._view = RunView(self._config)
        self._events: list[Mapping[str, Any]] = []
        self._curves: dict[str, Any] = {}
        self._times: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        """Seconds of finished stages, over all tasks."""
        self._stale, self._draw_at = False, 0.0
        self._told: Progress | None = None
        self._read_to = 0

    def _size(self) -> int:
        try:
            return (self.directory / "events.jsonl").stat().st_size
        except OSError:
            return 0

    def _in_time(self, present: Progress) -> bool:
        """Whether the present is that of the stage which the ledger says is running."""
        current = self._view.current
        here = (present.task, present.mode, present.round, present.stage)
        return present != self._told and (current is None or current == here)

    def _pictures(self) -> dict[str, Path]:
        folder = self.directory / MEDIA
        if folder.is_symlink() or not folder.is_dir():
            return {}
        return {
            path.name: path
            for path in folder.iterdir()
            if path.suffix in PICTURES and path.is_file() and not path.is_symlink()
        }

    def _draw(self) -> None:
        """Draws the curves anew, so seldom that a training beside it does not feel it."""
        began = time.monotonic()
        try:
            events = effective(self._events)
            modes = modes_of(events)
            self._curves = {t: _thin(curve_of(events, t, mode)) for t, mode in modes.items()}
        except (CurriculumError, ValueError, TypeError, KeyError):
            pass  # what is damaged is not drawn
        self._stale, now = False, time.monotonic()
        self._draw_at = now + SELDOM * (now - began)

    def _snapshot(self, present: Progress | None) -> dict[str, Any]:
        view = self._view
        running = view.current is not None and present is not None
        estimate = view.estimate
        return clean(
            {
                "name": self.name,
                "seed": view.seed,
                "machine": view.machine,
                "running": running,
                "ending": "finished" if view.ending.startswith("finished") else view.ending,
                "stages": list(STAGES),
                "tasks": [self._rung(rung) for rung in view.rungs.values()],
                "stage": self._stage(present) if running else None,
                "rate": estimate.rate if running else None,
                "remaining_s": estimate.remaining_s if running else None,
                "fallbacks": [f"{text} ({', '.join(t)})" for text, t in view.fallbacks.items()],
                "notices": [text for _, text in list(view.notices)[-MOST_NOTICES:]],
                "times": self._times,
                "pictures": self.pictures(),
            }
        )

    def _rung(self, rung: Rung) -> dict[str, Any]:
        return {
            "task": rung.task,
            "mode": rung.mode,
            "round": rung.round + 1,
            "target": rung.aim,
            "score": rung.score,
            "scored_by": rung.scored_by,
            "share": rung.share,
            "verdict": rung.verdict,
            "stages": rung.stages,
            "curve": self._curves.get(rung.task),
        }

    def _stage(self, present: Progress | None) -> dict[str, Any] | None:
        if present is None:
            return None
        facts = {"task": present.task, "stage": present.stage, "unit": present.unit}
        return {**facts, "done": present.done, "total": present.total, "facts": present.facts}

    def _spend(self, event: Mapping[str, Any]) -> None:
        stage, seconds = plain(event.get("stage")), finite(event.get("seconds"))
        if event["event"] == "stage_done" and stage in self._times and seconds is not None:
            self._times[stage] += seconds


def _thin(curve: Curve) -> dict[str, list[list[float]]]:
    found = {}
    for name in ("checks", "training"):
        points = getattr(curve, name)
        stride = max(1, -(-len(points) // MOST_POINTS))
        kept = [*points[::stride], *(points[-1:] if len(points) > 1 else ())]
        found[name] = [[point.steps, point.score, point.seconds or 0.0] for point in kept]
    return found


def clean(value: Any) -> Any:
    """Returns what JSON can say, no text longer than people read."""
    if isinstance(value, dict):
        return {clean(str(key)): clean(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [clean(inner) for inner in value]
    if isinstance(value, float):
        return finite(value)
    return plain(value)[:MOST_TEXT] if isinstance(value, str) else value


def as_json(snapshot: Mapping[str, Any]) -> str:
    """Returns a snapshot as a page reads it."""
    return json.dumps(snapshot, separators=(",", ":"), allow_nan=False)
