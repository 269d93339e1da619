"""The live dashboard, the choice between it and plainer displays, and the final table."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self, TextIO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from curriculum.config.schema import Config
from curriculum.progress import Progress
from curriculum.records.events import known
from curriculum.records.files import write_bytes
from curriculum.records.ledger import effective
from curriculum.show.lines import LosableStream, PlainLines, Quiet, wants_lines
from curriculum.show.panels import line, mode_style, render, verdict_style
from curriculum.show.view import RunView
from curriculum.show.words import amount, count, duration, interval, number, outcome, plain, tried

REDRAWS_PER_SECOND = 4.0

(_METRICS,) = known("metrics")

WIDE, MEDIUM = 116, 78
"""Columns that the final table needs for a column per fact, and for all facts at all."""


class Display(Protocol):
    """Shows a run while it works; entered before the first event, left after the last."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def on_event(self, event: dict[str, Any]) -> None:
        """Takes one event of the ledger."""
        ...

    def on_progress(self, progress: Progress) -> None:
        """Takes one sign of life of the running stage."""
        ...


class Dashboard:
    """A picture of the run that a timer redraws, so that clocks go on while workers are silent.

    Args:
        config: of the run.
        console: where to draw; a terminal on stdout if None.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        config: Config,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or _console(LosableStream(sys.stdout, waits=False))
        self._view = RunView(config, clock)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._live = Live(
            console=self._console,
            get_renderable=self.picture,
            auto_refresh=False,
            vertical_overflow="crop",
        )
        self._timer = threading.Thread(target=self._redraw, name="dashboard", daemon=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._timer.join()
        self._live.refresh()
        self._live.stop()
        if isinstance(self._console.file, LosableStream):
            self._console.file.drain()

    def on_event(self, event: dict[str, Any]) -> None:
        """Takes one event; the timer shows it."""
        with self._lock:
            self._view.on_event(event)

    def on_progress(self, progress: Progress) -> None:
        """Takes one sign of life; the timer shows it."""
        with self._lock:
            self._view.on_progress(progress)

    def picture(self) -> Group:
        """Returns what is to be seen now."""
        with self._lock:
            return render(self._view, self._console.width, self._console.height)

    def _redraw(self) -> None:
        size = self._console.size
        while not self._over.wait(1.0 / REDRAWS_PER_SECOND):
            if self._console.size != size:
                # What a resized terminal has wrapped anew cannot be drawn over line by line.
                size = self._console.size
                self._console.clear()
            self._live.refresh()


def make_display(
    config: Config,
    quiet: bool = False,
    json: bool = False,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Display:
    """Chooses how a run is shown.

    Args:
        config: of the run.
        quiet: show nothing.
        json: stdout belongs to the JSON result, so lines go to stderr.
        stream: where to show; stdout if None.
        environ: `TERM=dumb` asks for plain lines; `NO_COLOR` takes the colours alone.
    """
    if quiet:
        return Quiet()
    if json and stream is None:
        return PlainLines(config, LosableStream(sys.stderr, waits=False))
    losable = LosableStream(sys.stdout if stream is None else stream, waits=False)
    if json or wants_lines(losable, environ):
        return PlainLines(config, losable)
    return Dashboard(config, _console(losable))


def final_table(verdicts: Sequence[Any], stream: TextIO | None = None) -> None:
    """Prints how each task ended; every row names its mode.

    Args:
        verdicts: `Verdict`s, or mappings with their fields.
        stream: where to print; stdout if None.
    """
    losable = LosableStream(sys.stdout if stream is None else stream)
    console = _console(losable) if losable.isatty() else _console(losable, width=WIDE)
    console.print(verdict_table([_fields(v) for v in verdicts], console.width))
    losable.flush()


def verdict_table(verdicts: Iterable[Mapping[str, Any]], width: int = WIDE) -> Table:
    """Returns the final table as a renderable that fits into `width` columns, from 60 on."""
    wide = width >= WIDE
    columns = (
        ["task", "mode", "verdict", "score", "interval"] if wide else ["task", "verdict", "score"]
    )
    columns += ["target", "episodes", "steps", "time"] if width >= MEDIUM else ["target"]
    table = Table(
        pad_edge=False, header_style="bold", box=None, padding=(0, 2 if wide else 1, 0, 0)
    )
    for name in columns:
        left = name in ("task", "mode", "verdict")
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for v in verdicts:
        budget = count(v.get("episodes")), amount(v.get("env_steps")), duration(v.get("seconds"))
        cells = [*_ending(v, wide), number(v.get("target")), *budget]
        table.add_row(*cells[: len(columns)])
    return table


def _ending(v: Mapping[str, Any], wide: bool) -> list[Text | str]:
    """Returns task, mode, verdict, score and interval; in a narrow table, two cells hold four."""
    verdict, mode = v.get("verdict"), v.get("mode")
    style = verdict_style(str(verdict), mode)
    score, within = number(v.get("score")), interval(v.get("interval"))
    task = line(plain(v.get("task")), "bold")
    if wide:
        word = "\n".join(filter(None, (outcome(verdict, mode), tried(v))))
        named = line(mode or "none", mode_style(mode)), line(word, style)
        return [task, *named, score, within]
    both = f"{plain(verdict).replace('_', ' ')} ({mode or 'no mode'})"
    both += f"\n{tried(v)}" if tried(v) else ""
    return [task, line(both, style), score if v.get("score") is None else f"{score}\n{within}"]


def save_svg(
    path: Path, config: Config, events: Iterable[Mapping[str, Any]], width: int = 100
) -> None:
    """Draws the dashboard as it stood after some events of a ledger, as an SVG picture.

    Args:
        path: the picture's file.
        config: of the run.
        events: of the ledger, from the first to the one whose moment is shown; the picture is the
            same whenever it is drawn.
        width: columns.

    Raises:
        RunIOError: the disk refused.
    """
    told = effective(events)
    now = [float(told[0]["t"]) if told else 0.0]
    view = RunView(config, lambda: now[0])
    for event in told:
        now[0] = max(now[0], float(event["t"]))
        view.on_event(event)
        progress = _replayed(config, event)
        if progress is not None:
            view.on_progress(progress)
    picture = render(view, width, 40)
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
    console.print(picture)
    svg = console.export_svg(title=f"python -m curriculum run · {config.name}", unique_id="run")
    write_bytes(path, svg.encode())


def _replayed(config: Config, event: Mapping[str, Any]) -> Progress | None:
    """Reads the progress of a search out of its metrics, the only place where a ledger keeps it."""
    if event["event"] != _METRICS or event.get("stage") != "controller":
        return None
    task = next((t for t in config.tasks if t.name == event["task"]), None)
    total = task.controller.generations if task else 0
    shown = {k: event["values"][k] for k in ("fitness_mean", "sigma") if k in event["values"]}
    where = event["task"], event["mode"], event["round"], event["stage"]
    return Progress(*where, event["step"], total, "generations", shown)


def _console(stream: LosableStream, width: int | None = None) -> Console:
    return Console(file=cast(IO[str], stream), width=width, highlight=False, markup=False)


def _fields(verdict: Any) -> Mapping[str, Any]:
    return verdict if isinstance(verdict, Mapping) else asdict(verdict)
