"""A series told while it works: one live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import IO, Any, Self, TextIO, cast

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from curriculum.config.schema import Config
from curriculum.errors import ExitCode
from curriculum.series.following import Following
from curriculum.show.lines import LosableStream, PlainLines
from curriculum.show.panels import line, verdict_style
from curriculum.show.view import Rung
from curriculum.show.words import amount, duration, number, plain

WAITING, RUNNING = "waiting", "running"

_BY_CODE: Mapping[int, tuple[str, str]] = {
    ExitCode.OK: ("passed", "bold green"),
    ExitCode.TARGET_MISSED: ("target missed", "yellow"),
    ExitCode.RESUMABLE: ("stopped", "cyan"),
    ExitCode.INTERRUPTED: ("stopped", "cyan"),
    ExitCode.TERMINATED: ("stopped", "cyan"),
}


def state_of(code: int | None, begun: bool) -> tuple[str, str]:
    """Returns the word for a run, and its colour.

    Args:
        code: that it ended with; None before that.
        begun: whether it was begun.
    """
    if code is None:
        return (RUNNING, "bold cyan") if begun else (WAITING, "dim")
    return _BY_CODE.get(code, (f"failed, exit code {code}", "bold red"))


class SeriesDisplay:
    """Shows a series; entered before its first run, left after its last. This one shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Has nothing to end."""

    def turned(self, seed: int, code: int | None) -> None:
        """Takes that a run was begun, or ended with a code."""

    def told(self, seed: int, event: dict[str, Any]) -> None:
        """Takes one event of a run."""

    def refresh(self) -> None:
        """Is called about twice a second."""


class SeriesLines(SeriesDisplay):
    """Writes what happens in each run as `PlainLines` does, its seed in front.

    Args:
        config: of the series.
        seeds: of its runs.
        stream: where to write.
    """

    def __init__(self, config: Config, seeds: Sequence[int], stream: LosableStream) -> None:
        self._stream = stream
        self._lines = {
            seed: PlainLines(config, cast(TextIO, _Marked(f"seed {seed} ", stream)))
            for seed in seeds
        }

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.flush()
        self._stream.drain()

    def turned(self, seed: int, code: int | None) -> None:
        """Writes that a run is worked on, or how it ended."""
        self._stream.write(f"seed {seed}: {state_of(code, begun=True)[0]}\n")
        self._stream.flush()

    def told(self, seed: int, event: dict[str, Any]) -> None:
        """Writes what an event means to a person, if anything."""
        self._lines[seed].on_event(event)


class _Marked:
    """A stream whose every line begins with a mark."""

    encoding = "utf-8"

    def __init__(self, mark: str, stream: LosableStream) -> None:
        self._mark, self._stream = mark, stream

    def write(self, text: str) -> int:
        return self._stream.write(self._mark + text)

    def flush(self) -> None:
        self._stream.flush()


class SeriesTable(SeriesDisplay):
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
        self._name, self._runs, self._console = name, runs, console
        self._clock, self._began = clock, clock()
        self._codes: dict[int, int | None] = {}
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

    def turned(self, seed: int, code: int | None) -> None:
        """Takes the state of a run for its row."""
        self._codes[seed] = code

    def refresh(self) -> None:
        """Draws the table."""
        self._live.refresh()

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
            word, style = state_of(self._codes.get(seed), seed in self._codes)
            running = word == RUNNING
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
        environ: `TERM=dumb` and a non-empty `NO_COLOR` ask for plain lines.
    """
    if quiet:
        return SeriesDisplay()
    if json and stream is None:
        return SeriesLines(config, list(runs), LosableStream(sys.stderr, waits=False))
    losable = LosableStream(sys.stdout if stream is None else stream, waits=False)
    simple = environ.get("TERM", "") in ("", "dumb", "unknown") or environ.get("NO_COLOR")
    if json or simple or not losable.isatty():
        return SeriesLines(config, list(runs), losable)
    console = Console(file=cast(IO[str], losable), highlight=False, markup=False)
    return SeriesTable(config.name, runs, console)


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
