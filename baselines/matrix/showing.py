"""Trainings of several tasks and seeds, told while they work: one live table, or plain lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from baselines.lines import BaselineLines
from curriculum.errors import ExitCode
from curriculum.series.side_by_side import (
    STOPPED,
    Event,
    LiveTable,
    Marked,
    MarkedLines,
    SideBySide,
    Words,
    console_on,
    ending,
)
from curriculum.show.lines import LosableStream, wants_lines
from curriculum.show.words import amount, finite, number

_WAITING, _TRAINING = ("waiting", "dim"), ("training", "bold cyan")
_BY_CODE: Words = {**STOPPED, ExitCode.OK: ("done", "bold green")}


class MatrixDisplay(SideBySide[str]):
    """Shows trainings by name. This one shows nothing."""


class MatrixLines(MarkedLines[str], MatrixDisplay):
    """Writes what happens in each training, its name in front.

    Args:
        names: of the trainings.
        stream: where to write.
    """

    def __init__(self, names: Sequence[str], stream: LosableStream) -> None:
        tellers = {
            name: BaselineLines(_lines_to(Marked(f"{name}: ", stream))).on_event for name in names
        }
        marks = {name: name for name in names}
        super().__init__(tellers, marks, _TRAINING[0], _BY_CODE, stream)


class MatrixTable(LiveTable[str], MatrixDisplay):
    """One table that is drawn again and again: a row per training.

    Args:
        names: of the trainings.
        console: where to draw.
    """

    def __init__(self, names: Sequence[str], console: Console) -> None:
        self._names = names
        self._steps: dict[str, float | None] = {}
        self._scores: dict[str, float | None] = {}
        super().__init__(console)  # which asks for the first picture

    def told(self, key: str, event: Event) -> None:
        """Takes how far a training has come, and how well it plays."""
        steps = event.get("steps_in_episodes") or event.get("step") or event.get("env_steps")
        self._steps[key] = finite(steps) or self._steps.get(key)
        if event["event"] in ("evaluation", "baseline_done"):
            self._scores[key] = finite(event.get("score"))

    def picture(self) -> Table:
        """Returns what is to be seen now."""
        table = Table(box=None, pad_edge=False)
        for column in ("training", "state", "steps", "score"):
            table.add_column(column, justify="right" if column in ("steps", "score") else "left")
        for name in self._names:
            code = self._codes.get(name)
            running = _TRAINING if name in self._codes else _WAITING
            word, style = running if code is None else ending(code, _BY_CODE)
            steps, score = self._steps.get(name), self._scores.get(name)
            table.add_row(
                name,
                Text(word, style=style),
                "" if steps is None else amount(int(steps)),
                "" if score is None else number(score),
            )
        return table


def make_display(names: Sequence[str], environ: Mapping[str, str] = os.environ) -> MatrixDisplay:
    """Chooses a table in a terminal, lines elsewhere.

    Args:
        names: of the trainings.
        environ: `TERM=dumb` and a non-empty `NO_COLOR` ask for plain lines.
    """
    stream = LosableStream(sys.stdout, waits=False)
    if wants_lines(stream, environ):
        return MatrixLines(names, stream)
    return MatrixTable(names, console_on(stream))


def _lines_to(stream: Marked) -> Callable[[str], None]:
    def write(text: str) -> None:
        stream.write(f"{text}\n")
        stream.flush()

    return write
