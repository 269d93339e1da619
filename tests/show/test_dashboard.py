"""The dashboard: fits its terminal, redraws by itself, shows text as text, survives its stream."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from curriculum.config.schema import Config
from curriculum.progress import Progress
from curriculum.show.dashboard import Dashboard, final_table, make_display, save_svg
from curriculum.show.lines import LosableStream, PlainLines, Quiet
from curriculum.show.panels import render, verdict_style
from curriculum.show.view import RunView
from tests.patience import eventually

STYLE = re.compile(r"\x1b\[[\d;]*m")
WIDTHS = (60, 72, 80, 100, 120, 200)


class Terminal(io.StringIO):
    """A stream that calls itself a terminal, and may break."""

    broken = False

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.broken:
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


def drawn(state: RunView, width: int, height: int = 24) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, markup=False, record=True)
    console.print(render(state, width, height))
    return console.export_text()


def told(config: Config, events: list[dict[str, Any]]) -> RunView:
    state = RunView(config)
    for event in events:
        state.on_event(event)
    return state


@pytest.mark.parametrize("width", WIDTHS)
def test_every_moment_fits_into_the_terminal(
    config: Config, events: list[dict[str, Any]], width: int
) -> None:
    state = RunView(config)
    for event in events:
        state.on_event(event)
        text = drawn(state, width)
        lines = text.splitlines()
        assert len(lines) <= 24, f"too high after {event['event']}:\n{text}"
        assert max(map(len, lines)) <= width
        assert all(task.name in text for task in config.tasks)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_mode_stands_beside_every_score(
    config: Config, events: list[dict[str, Any]], width: int
) -> None:
    lines = drawn(told(config, events), width).splitlines()
    pong = next(line for line in lines if line.startswith("pong "))
    assert "SIMULATION" in pong and "5.0" in pong and "degraded (SIMULATION)" in pong
    lander = next(line for line in lines if line.startswith("lunarlander "))
    assert "FULL" in lander and "passed" in lander and "(" not in lander


def test_foreign_text_is_shown_as_text(config: Config, events: list[dict[str, Any]]) -> None:
    text = drawn(told(config, events), 200, height=60)
    assert "[red]boom[/red]" in text
    assert "\x1b" not in text and "\r" not in text


def test_progress_shows_rate_and_eta(config: Config) -> None:
    now = [0.0]
    state = RunView(config, lambda: now[0])
    for done in range(1, 41):
        facts = {"fitness": 3.5, "rate": 99.0}
        state.on_progress(
            Progress("pong", "FULL", 0, "controller", done, 100, "generations", facts)
        )
        now[0] += 2.0
    text = drawn(state, 80)
    assert "40/100 generations · 0.5/s · ETA 2m00s" in text
    assert "━" in text and "fitness 3.5" in text
    assert "99" not in text, "the stage's own rate is not shown twice"


def test_only_the_best_mode_is_green() -> None:
    assert "green" in verdict_style("passed", "FULL")
    assert "green" not in verdict_style("passed", "SIMULATION")
    assert "green" not in verdict_style("degraded", "FULL")


def test_it_redraws_while_nothing_happens(config: Config) -> None:
    stream = Terminal()
    console = Console(file=stream, force_terminal=True, width=80, height=24, color_system=None)
    with Dashboard(config, console):
        first = stream.getvalue()
        assert eventually(lambda: len(stream.getvalue()) > len(first))
        second = stream.getvalue()
        assert eventually(lambda: len(stream.getvalue()) > len(second))


def test_a_terminal_that_goes_away_does_not_end_the_run(config: Config) -> None:
    stream = Terminal()
    losable = LosableStream(stream)
    console = Console(file=losable, force_terminal=True, width=80, height=24)  # type: ignore[arg-type]
    with Dashboard(config, console) as display:
        stream.broken = True
        assert eventually(lambda: bool(losable.lost))
        display.on_progress(Progress("pong", "FULL", 0, "vision", 1, 2, "updates"))
    assert "BrokenPipeError" in losable.lost


@pytest.mark.parametrize(
    ("environ", "terminal", "expected"),
    [
        ({"TERM": "xterm-256color"}, True, Dashboard),
        ({"TERM": "xterm-256color"}, False, PlainLines),
        ({"TERM": "dumb"}, True, PlainLines),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, Dashboard),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, Dashboard),
        ({}, True, PlainLines),
    ],
)
def test_the_display_fits_the_terminal(
    config: Config, environ: dict[str, str], terminal: bool, expected: type
) -> None:
    stream = Terminal() if terminal else io.StringIO()
    assert isinstance(make_display(config, stream=stream, environ=environ), expected)


def test_quiet_and_json_leave_stdout_alone(
    config: Config, events: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(make_display(config, quiet=True, json=True), Quiet)
    with make_display(config, json=True) as display:
        for event in events:
            display.on_event(event)
    captured = capsys.readouterr()
    assert captured.out == "" and "pong" in captured.err


@pytest.mark.parametrize("width", [None, *WIDTHS])
def test_the_final_table_names_the_mode_in_every_row(
    events: list[dict[str, Any]], width: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO() if width is None else Terminal()
    monkeypatch.setenv("COLUMNS", str(width or 80))
    monkeypatch.setenv("NO_COLOR", "1")
    verdicts = [e for e in events if e["event"] == "verdict"]
    final_table([*verdicts, {"task": "x", "verdict": "not_run", "mode": None}], stream)
    text = STYLE.sub("", stream.getvalue())
    assert max(map(len, text.splitlines())) <= (width or 160)
    rows = {line.split()[0]: line for line in text.splitlines() if line[:1].strip()}
    assert "degraded (SIMULATION)" in rows["pong"] and "5.0" in rows["pong"]
    assert "FULL" in rows["lunarlander"] and "passed" in rows["lunarlander"]
    assert "not run" in rows["x"] and "n" in rows["x"]
    assert "[4.0, 6.0]" in text


def test_the_picture_is_the_same_whenever_it_is_drawn(
    tmp_path: Path, config: Config, events: list[dict[str, Any]]
) -> None:
    for name in ("a.svg", "b.svg"):
        save_svg(tmp_path / name, config, events)
    first = (tmp_path / "a.svg").read_bytes()
    assert first == (tmp_path / "b.svg").read_bytes()
    assert len(first) < 100_000
    assert ElementTree.fromstring(first).tag.endswith("svg")
    assert b"SIMULATION" in first
