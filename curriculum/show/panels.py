"""How a run looks in a terminal: ladder, running stage, fallbacks and notices."""

from __future__ import annotations

import textwrap

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from curriculum.mode import LADDER
from curriculum.progress import STAGES
from curriculum.show.view import Rung, RunView
from curriculum.show.words import (
    duration,
    facts,
    number,
    outcome,
    plain,
    short,
    sparkline,
    speed,
)

BEST = str(LADDER[0])
_DOTS = {"done": ("●", "green"), "running": ("◐", "bold cyan"), "failed": ("✗", "bold red")}
FEWEST_SCORES, CURVE_WIDTH = 8, 60
_SCORED = {"check": "best check", "evaluating": "evaluating", "final": ""}


def render(view: RunView, width: int, height: int) -> Group:
    """Returns the whole picture.

    Args:
        view: what is known.
        width, height: of the terminal in cells; long lists are cut to fit.
    """
    stage = _stage(view, width)
    parts: list[RenderableType] = [_header(view), _ladder(view, width), *stage]
    room = height - len(view.rungs) - len(stage) - 3
    fallbacks = _fallbacks(view, width, max((room - 1) // 2, 2))
    if fallbacks:
        parts += fallbacks
        room -= len(fallbacks)
    notices = _notices(view, width, max(room - 1, 2))
    return Group(*parts, *notices)


def verdict_style(verdict: str, mode: str | None) -> str:
    """Returns the colour of a verdict: green belongs to the best mode alone."""
    if verdict == "passed":
        return "bold green" if mode == BEST else "yellow"
    return {"degraded": "yellow", "missed": "red", "not_run": "bold red"}.get(verdict, "cyan")


def mode_style(mode: str | None) -> str:
    """Returns the colour of a mode."""
    return "green" if mode == BEST else "yellow" if mode else "dim"


def line(text: str, style: str = "") -> Text:
    """Returns one line that is cut rather than wrapped; square brackets mean nothing in it."""
    return Text(plain(text), style=style, no_wrap=True, overflow="ellipsis")


def _header(view: RunView) -> Rule:
    parts = [plain(view.name), f"seed {view.seed}", duration(view.elapsed_s), view.machine]
    return Rule(line(" · ".join(p for p in parts if p), "bold"), style="blue", align="left")


def _ladder(view: RunView, width: int) -> Table:
    gap = 2 if width >= 72 else 1
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    table.add_column("task", no_wrap=True, max_width=max(11, width // 6))
    table.add_column("mode", no_wrap=True)
    if width >= 72:
        table.add_column("stages", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    if width >= 80:
        table.add_column("", no_wrap=True)
    table.add_column("target", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for rung in view.rungs.values():
        table.add_row(*_row(view, rung, width))
    return table


def _row(view: RunView, rung: Rung, width: int) -> list[RenderableType]:
    row: list[RenderableType] = [
        line(rung.task, "bold" if _is_current(view, rung) else ""),
        line(rung.mode or "–", mode_style(rung.mode)),
    ]
    if width >= 72:
        row.append(_dots(rung))
    row.append(line(number(rung.score), "bold"))
    if width >= 80:
        row.append(_bar(rung, max(min((width - 68) // 2, 30), 5)))
    return [*row, line(f"{rung.aim:g}"), _verdict(view, rung)]


def _is_current(view: RunView, rung: Rung) -> bool:
    return view.current is not None and view.current[0] == rung.task


def _dots(rung: Rung) -> Text:
    text = Text(no_wrap=True)
    for stage in STAGES:
        dot, style = _DOTS.get(rung.stages.get(stage, ""), ("·", "dim"))
        text.append(dot, style)
    return text


def _bar(rung: Rung, width: int) -> RenderableType:
    style = mode_style(rung.mode)
    share = rung.share
    if share is None:
        return Text("")
    return ProgressBar(
        total=1.0, completed=share, width=width, complete_style=style, finished_style=style
    )


def _verdict(view: RunView, rung: Rung) -> Text:
    if rung.verdict:
        text = outcome(rung.verdict, rung.mode)
        return line(text, verdict_style(rung.verdict, rung.mode))
    if rung.scored_by:
        return line(_SCORED[rung.scored_by], "cyan")
    return line("running" if _is_current(view, rung) else "waiting", "dim")


def _stage(view: RunView, width: int) -> list[RenderableType]:
    if view.ending:
        # The command that goes on is said below, where it can be copied whole.
        return [Rule(style="blue"), line(view.ending.partition("; go on with: ")[0], "bold")]
    if view.current is None:
        return [Rule(style="blue"), line("between stages", "dim")]
    task, mode, round_, stage = view.current
    attempt, number_ = divmod(round_, view.rounds)
    of = f" · attempt {attempt + 1}" if view.attempts > 1 or attempt else ""
    of += f" · round {number_ + 1} of {view.rounds}" if view.rounds > 1 else ""
    title = line(f"{task} · {mode} · {stage}{of} · {duration(view.stage_s)}", "bold cyan")
    rule = Rule(title, style="blue", align="left")
    progress = view.progress
    if progress is None:
        return [rule, line("starting", "dim")]
    grid = Table.grid(padding=(0, 2, 0, 0))
    bar = ProgressBar(
        total=progress.total or None,
        completed=progress.done,
        width=max(min(width - 52, 60), 8),
        pulse=not progress.total,
        complete_style="cyan",
        finished_style="cyan",
    )
    grid.add_row(bar, line(progress_line(view)))
    shown = {k: v for k, v in progress.facts.items() if k != "rate"}
    return [rule, grid, line(facts(shown), "dim"), *_curve(view, width)]


def _curve(view: RunView, width: int) -> list[RenderableType]:
    """Returns the training scores so far as a line, between the lowest and the highest."""
    if len(view.scores) < FEWEST_SCORES:
        return []
    low, high = (number(end) for end in (min(view.scores), max(view.scores)))
    room = min(max(width - len(low) - len(high) - 20, 8), CURVE_WIDTH)
    return [line(f"training {low} {sparkline(view.scores, room)} {high}", "cyan")]


def progress_line(view: RunView) -> str:
    """Writes what is done, how fast it goes and when it will be over."""
    progress = view.progress
    if progress is None:
        return ""
    of = f"/{short(progress.total)}" if progress.total else ""
    parts = [f"{short(progress.done)}{of} {plain(progress.unit)}", speed(view.estimate.rate)]
    remaining = view.estimate.remaining_s
    if remaining is not None:
        parts.append(f"ETA {duration(remaining)}")
    if view.within is not None:
        within = view.within
        parts.append(f"{within.done}/{within.total} {plain(within.unit)}")
    return " · ".join(part for part in parts if part)


def _fallbacks(view: RunView, width: int, room: int) -> list[RenderableType]:
    if not view.fallbacks:
        return []
    entries = [f"{', '.join(tasks)}: {text}" for text, tasks in view.fallbacks.items()]
    shown: list[RenderableType] = [line(entry, "yellow") for entry in entries[: room - 1]]
    if len(entries) > len(shown):
        shown.append(line(f"and {len(entries) - len(shown)} more, all in report.md", "dim"))
    return [Rule(line("running on less", "yellow"), style="blue", align="left"), *shown]


def _notices(view: RunView, width: int, room: int) -> list[RenderableType]:
    lines: list[str] = []
    for when, text in reversed(view.notices):
        stamp = f"{duration(when):>7}  "
        wrapped = textwrap.wrap(
            text, max(width - len(stamp), 20), max_lines=2, placeholder="…", break_on_hyphens=False
        )
        block = [
            (stamp if row == 0 else " " * len(stamp)) + part for row, part in enumerate(wrapped)
        ]
        if len(lines) + len(block) > room:
            break
        lines = block + lines
    if not lines:
        return []
    shown = [Text(text, no_wrap=True, overflow="ellipsis") for text in lines]
    return [Rule(line("notices", "dim"), style="blue", align="left"), *shown]
