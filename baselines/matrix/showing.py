"""Trainings of several tasks and seeds, told while they work: one live table, or plain lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, Any, Self, cast

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from baselines.lines import BaselineLines
from curriculum.errors import ExitCode
from curriculum.show.lines import LosableStream
from curriculum.show.words import amount, finite, number

_STATES: Mapping[int | None, tuple[str, str]] = {
    None: ("training", "bold cyan"),
    ExitCode.OK: ("done", "bold green"),
    ExitCode.INTERRUPTED: ("stopped", "cyan"),
    ExitCode.TERMINATED: ("stopped", "cyan"),
}


def _state(code: int | None) -> tuple[str, str]:
    return _STATES.get(code, (f"failed, exit code {code}", "bold red"))


class MatrixDisplay:
    """Shows trainings; entered before the first, left after the last. This one shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Has nothing to end."""

    def turned(self, name: str, code: int | None) -> None:
        """Takes that a training was begun, or ended with a code."""

    def told(self, name: str, event: dict[str, Any]) -> None:
        """Takes one event of a training."""

    def refresh(self) -> None:
        """Is called about twice a second."""


class MatrixLines(MatrixDisplay):
    """Writes what happens in each training, its name in front.

    Args:
        names: of the trainings.
        stream: where to write.
    """

    def __init__(self, names: Sequence[str], stream: LosableStream) -> None:
        self._stream = stream
        self._lines = {name: BaselineLines(self._writer(name)) for name in names}

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.drain()

    def turned(self, name: str, code: int | None) -> None:
        """Writes that a training is worked on, or how it ended."""
        self._writer(name)(_state(code)[0])

    def told(self, name: str, event: dict[str, Any]) -> None:
        """Writes what an event means to a person, if anything."""
        self._lines[name].on_event(event)

    def _writer(self, name: str) -> Any:
        def write(text: str) -> None:
            self._stream.write(f"{name}: {text}\n")
            self._stream.flush()

        return write


class MatrixTable(MatrixDisplay):
    """One table that is drawn again and again: a row per training.

    Args:
        names: of the trainings.
        console: where to draw.
    """

    def __init__(self, names: Sequence[str], console: Console) -> None:
        self._names, self._console = names, console
        self._codes: dict[str, int | None] = {}
        self._steps: dict[str, float | None] = {}
        self._scores: dict[str, float | None] = {}
        self._live = Live(
            console=console,
            get_renderable=self.picture,
            auto_refresh=False,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.refresh()
        self._live.stop()
        if isinstance(self._console.file, LosableStream):
            self._console.file.drain()

    def turned(self, name: str, code: int | None) -> None:
        """Takes the state of a training for its row."""
        self._codes[name] = code

    def told(self, name: str, event: dict[str, Any]) -> None:
        """Takes how far a training has come, and how well it plays."""
        steps = event.get("steps_in_episodes") or event.get("step") or event.get("env_steps")
        self._steps[name] = finite(steps) or self._steps.get(name)
        if event["event"] in ("evaluation", "baseline_done"):
            self._scores[name] = finite(event.get("score"))

    def refresh(self) -> None:
        """Draws the table."""
        self._live.refresh()

    def picture(self) -> Table:
        """Returns what is to be seen now."""
        table = Table(box=None, pad_edge=False)
        for column in ("training", "state", "steps", "score"):
            table.add_column(column, justify="right" if column in ("steps", "score") else "left")
        for name in self._names:
            begun = name in self._codes
            word, style = _state(self._codes[name]) if begun else ("waiting", "dim")
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
    simple = environ.get("TERM", "") in ("", "dumb", "unknown") or environ.get("NO_COLOR")
    if simple or not stream.isatty():
        return MatrixLines(names, stream)
    return MatrixTable(names, Console(file=cast(IO[str], stream), highlight=False, markup=False))
