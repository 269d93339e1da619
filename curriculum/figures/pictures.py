"""The learning curves of a run, drawn into its directory where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from curriculum.figures.curve import Event, curve_of, modes_of
from curriculum.records.files import write_bytes
from curriculum.records.ledger import effective
from curriculum.records.rundir import MEDIA
from curriculum.show.report import write_report
from curriculum.show.words import finite

FEWEST_POINTS = 5
"""A curve of fewer tells no more than its table."""


def write_illustrated(directory: Path, events: Sequence[Event]) -> None:
    """Writes a run's report with its learning curves; see `curriculum.show.report.write_report`."""
    write_report(directory, events, draw_curves(directory, events))


def draw_curves(directory: Path, events: Sequence[Event]) -> list[str]:
    """Draws the curve of each task that has learned for some time.

    Args:
        directory: of the run.
        events: of its ledger, oldest first.

    Returns:
        Paths inside the directory, one per picture; none where matplotlib is not installed.

    Raises:
        RunIOError: the disk refused.
    """
    told = effective(events)
    drawn = {task: _drawn(told, task, mode) for task, mode in modes_of(told).items()}
    paths = []
    for task, picture in drawn.items():
        if picture is not None:
            path = PurePosixPath(MEDIA, f"curve-{task}.svg")
            write_bytes(directory / path, picture)
            paths.append(str(path))
    return paths


def _drawn(events: Sequence[Event], task: str, mode: str) -> bytes | None:
    curve = curve_of(events, task, mode)
    if len(curve.checks) + len(curve.training) < FEWEST_POINTS:
        return None
    try:
        from curriculum.figures.learning import learning_picture
    except ImportError:
        return None  # tables tell the same
    told = [e for e in events if (e.get("task"), e.get("mode")) == (task, mode)]
    target, score = (_last(told, name) for name in ("target", "score"))
    return learning_picture(curve, target, score)


def _last(events: Sequence[Event], name: str) -> float | None:
    """Returns a number of the last verdict, or of a check where there is no verdict yet."""
    told = [e for e in events if e["event"] == "verdict"]
    if not told and name == "target":
        told = [e for e in events if e["event"] == "check"]
    return finite(told[-1].get(name)) if told else None
