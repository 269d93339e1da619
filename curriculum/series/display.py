"""A series told while it works: one live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TextIO, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from curriculum.config.schema import Config
from curriculum.errors import ExitCode
from curriculum.series.following import Following
from curriculum.series.side_by_side import (
    STOPPED,
    LiveTable,
    Marked,
    MarkedLines,
    SideBySide,
    Words,
    console_on,
    ending,
)
from curriculum.show.lines import LosableStream, PlainLines, wants_lines
from curriculum.show.panels import line, verdict_style
from curriculum.show.view import Rung
from curriculum.show.words import amount, duration, number, plain

WAITING, RUNNING = ("waiting", "dim"), ("running", "bold cyan")

_BY_CODE: Words = {
    **STOPPED,
    ExitCode.OK: ("passed", "bold green"),
    ExitCode.TARGET_MISSED: ("target missed", "yellow"),
}


def state_of(code: int | None, begun: bool) -> tuple[str, str]:
    """Returns the word for a run, and its colour.

    Args:
        code: that it ended with; None before that.
        begun: whether it was begun.
    """
    if code is None:
        return RUNNING if begun else WAITING
    return ending(code, _BY_CODE)


class SeriesDisplay(SideBySide[int]):
    """Shows a series, its runs by seed. This one shows nothing."""


class SeriesLines(MarkedLines[int], SeriesDisplay):
    """Writes what happens in each run as `PlainLines` does, its seed in front.

    Args:
        config: of the series.
        seeds: of its runs.
        stream: where to write.
    """

    def __init__(self, config: Config, seeds: Sequence[int], stream: LosableStream) -> None:
        tellers = {
            seed: PlainLines(config, cast(TextIO, Marked(f"seed {seed} ", stream))).on_event
            for seed in seeds
        }
        marks = {seed: f"seed {seed}" for seed in seeds}
        super().__init__(tellers, marks, RUNNING[0], _BY_CODE, stream)


class SeriesTable(LiveTable[int], SeriesDisplay):
    """One table that is drawn again and again: a row per run.

    Args:
        name: of the series.
        runs: what is known of each run, by seed.
        console: where to draw.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        name: str,
        runs: Mapping[int, Following],
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._runs = name, runs
        self._clock, self._began = clock, clock()
        super().__init__(console)  # which asks for the first picture

    def picture(self) -> Table:
        """Returns what is to be seen now."""
        elapsed = duration(self._clock() - self._began)
        title = line(f"{self._name} · {len(self._runs)} seeds · {elapsed}", "bold")
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        for column in ("seed", "state", "where", "steps", "score", "tasks"):
            justify = "right" if column in ("steps", "score") else "left"
            # What is long gives way first.
            table.add_column(column, justify=justify, no_wrap=column not in ("where", "tasks"))
        for seed, run in self._runs.items():
            word, style = state = state_of(self._codes.get(seed), seed in self._codes)
            running = state == RUNNING
            table.add_row(
                str(seed),
                Text(word, style=style),
                line(_where(run)) if running else "",
                amount(run.step) if running and run.step is not None else "",
                number(run.score) if running and run.score is not None else "",
                _rungs(list(run.view.rungs.values())),
            )
        return table


def make_display(
    config: Config,
    runs: Mapping[int, Following],
    *,
    quiet: bool,
    json: bool,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> SeriesDisplay:
    """Chooses how a series is shown, as `curriculum.show.dashboard.make_display` does for a run.

    Args:
        config: of the series.
        runs: what is known of each run, by seed.
        quiet: show nothing.
        json: stdout belongs to the JSON result, so lines go to stderr.
        stream: where to show; stdout if None.
        environ: `TERM=dumb` asks for plain lines; `NO_COLOR` takes the colours alone.
    """
    if quiet:
        return SeriesDisplay()
    if json and stream is None:
        return SeriesLines(config, list(runs), LosableStream(sys.stderr, waits=False))
    losable = LosableStream(sys.stdout if stream is None else stream, waits=False)
    if json or wants_lines(losable, environ):
        return SeriesLines(config, list(runs), losable)
    return SeriesTable(config.name, runs, console_on(losable))


def _where(run: Following) -> str:
    current = run.view.current
    if current is None:
        return ""
    task, mode, number_, stage = current
    again = f", round {number_ + 1}" if number_ else ""
    return f"{task} {mode or ''} {stage}{again}"


def _rungs(rungs: Sequence[Rung]) -> Text:
    """Writes what became of each task: its verdict, or the best check so far."""
    text = Text(no_wrap=True, overflow="ellipsis")
    for rung in rungs:
        if rung.score is None and not rung.verdict:
            continue
        if text:
            text.append("  ")
        score = "" if rung.score is None else f" {number(rung.score)}"
        style = verdict_style(rung.verdict, rung.mode) if rung.verdict else "dim"
        text.append(f"{plain(rung.task)}{score}", style=style)
    return text
