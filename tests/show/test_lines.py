"""Plain lines: one per start, end and verdict, progress now and then, never a crash of the run."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curriculum.config.schema import Config
from curriculum.progress import Progress
from curriculum.show import words
from curriculum.show.lines import BETWEEN_LINES_S, LosableStream, PlainLines
from tests.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]


def test_a_run_is_told_line_by_line(config: Config, events: list[dict[str, Any]]) -> None:
    stream = io.StringIO()
    with PlainLines(config, stream) as display:
        for event in events:
            display.on_event(event)
    text = stream.getvalue()
    lines = text.splitlines()
    assert all(line.startswith("[") for line in lines), "one event, one line"
    assert "\x1b" not in text
    assert "pong FULL collect round 1: started" in text
    assert "pong FULL collect round 1: done in 4.2s, collect is done" in text
    assert "pong SIMULATION verdict: degraded (SIMULATION), 5.0 [4.0, 6.0]" in text
    assert "lunarlander FULL verdict: passed, 244.0" in text
    assert any("runs on less" in line and "numpy" in line for line in lines)
    assert any("failed, no retry left" in line and "[red]boom" in line for line in lines)


def test_progress_is_rare_and_has_rate_and_eta(config: Config) -> None:
    now = [0.0]
    stream = io.StringIO()
    display = PlainLines(config, stream, lambda: now[0])
    for done in range(100):
        display.on_progress(
            Progress("pong", "FULL", 0, "vision", done, 1000, "updates", {"loss": 1})
        )
        now[0] += 0.5
    lines = stream.getvalue().splitlines()
    assert len(lines) == pytest.approx(50 / BETWEEN_LINES_S, abs=1)
    assert "pong FULL vision" in lines[-1] and "/1000 updates · 2" in lines[-1]
    assert "ETA 7m" in lines[-1] and "loss 1" in lines[-1]


@pytest.mark.parametrize("stream", [None, "closed"])
def test_no_stream_is_no_harm(
    config: Config, events: list[dict[str, Any]], stream: str | None
) -> None:
    closed = io.StringIO()
    closed.close()
    with PlainLines(config, closed if stream else None) as display:
        for event in events:
            display.on_event(event)
    assert display.stream.lost


def test_text_that_the_stream_cannot_encode_is_replaced() -> None:
    raw = io.BytesIO()
    stream = LosableStream(io.TextIOWrapper(raw, encoding="ascii"))
    stream.write("ETA → …")
    stream.flush()
    assert raw.getvalue() == b"ETA ? ?" and not stream.lost


def test_a_reader_that_leaves_does_not_end_the_program() -> None:
    program = (
        "from curriculum.config.schema import Config\n"
        "from curriculum.show.lines import PlainLines\n"
        "import sys\n"
        "with PlainLines(Config(), sys.stdout) as d:\n"
        "    for n in range(5000):\n"
        "        d.on_event({'event': 'notice', 'task': 'x', 'text': str(n) * 20})\n"
        "assert d.stream.lost\n"
        "print('done', file=sys.stderr)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=HANG_S) == 0
    assert errors == "done\n"


@given(st.text() | st.floats() | st.none())
def test_foreign_text_becomes_one_harmless_line(value: Any) -> None:
    text = words.plain(value)
    assert all(
        character.isprintable() or character == "\xa0" or ord(character) > 127 for character in text
    )
    assert "\n" not in text and "\x1b" not in text and "\x9b" not in text
    text.encode()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.6, "1m00s"),
        (3599.7, "1h00m"),
        (7505, "2h05m"),
        (90000, "1d01h"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "–"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


@given(st.floats() | st.integers() | st.none() | st.text())
def test_every_number_can_be_written(value: Any) -> None:
    for write in (words.number, words.short, words.count, words.amount, words.duration):
        assert isinstance(write(value), str)


@pytest.mark.parametrize(
    ("verdict", "mode", "text"),
    [
        ("passed", "FULL", "passed"),
        ("passed", "SIMULATION", "passed (SIMULATION)"),
        ("degraded", "GYM_ONLY", "degraded (GYM_ONLY)"),
        ("passed", None, "passed (no mode)"),
        ("not_run", None, "not run"),
    ],
)
def test_a_pass_in_a_lower_mode_never_looks_like_a_pass(
    verdict: str, mode: str | None, text: str
) -> None:
    assert words.outcome(verdict, mode) == text
