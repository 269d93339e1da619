"""A series is shown as one table in a terminal, as marked lines elsewhere."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from curriculum.config.schema import Config
from curriculum.series.display import (
    SeriesDisplay,
    SeriesLines,
    SeriesTable,
    make_display,
    state_of,
)
from curriculum.series.following import Following
from curriculum.show.lines import LosableStream
from curriculum.tasks import load_config
from tests.records.samples import PLACE, SAMPLES


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text("name: atari\ncurriculum: {tasks: [pong]}\n", encoding="utf-8")
    return load_config(path)


@pytest.fixture
def runs(tmp_path: Path, config: Config) -> dict[int, Following]:
    """Three runs: one over, one that learns, one that was not begun."""
    told = {
        0: [("verdict", {**SAMPLES["verdict"], "verdict": "passed", "score": 19.25})],
        1: [
            ("stage_started", {**PLACE, "attempt": 0}),
            ("metrics", {**PLACE, "step": 2, "values": {"env_steps": 51_200.0, "score": -3.25}}),
        ],
        2: [],
    }
    found = {}
    for seed, events in told.items():
        path = tmp_path / f"{seed}.jsonl"
        lines = [json.dumps({"t": 1.0, "event": name, **facts}) for name, facts in events]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        found[seed] = Following(config, path)
        found[seed].look()
    return found


def table(runs: dict[int, Following], width: int) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=12, color_system=None)
    shown = SeriesTable("atari", runs, console)
    shown.turned(0, 0)
    shown.turned(1, None)
    console.print(shown.picture())
    return stream.getvalue().splitlines()


def test_the_table_has_a_row_per_run_with_what_is_known_of_it(runs) -> None:
    _, _, first, second, third = [row.split() for row in table(runs, 100)]
    assert first == ["0", "passed", "pong", "19.2"]
    assert second == ["1", "running", "pong", "FULL", "controller", "51.2k", "-3.2"]
    assert third == ["2", "waiting"]


def test_a_narrow_terminal_cuts_and_does_not_wrap(runs) -> None:
    rows = table(runs, 44)
    assert len(rows) == 5 and max(map(len, rows)) <= 44


def test_lines_are_those_of_a_run_with_its_seed_in_front(config: Config) -> None:
    stream = io.StringIO()
    with SeriesLines(config, [4, 5], LosableStream(stream)) as lines:
        lines.turned(5, None)
        lines.told(5, {"t": 1.0, "event": "verdict", **SAMPLES["verdict"]})
        lines.turned(5, 3)
    begun, verdict, over = stream.getvalue().splitlines()
    assert begun == "seed 5: running" and over == "seed 5: target missed"
    assert verdict.startswith("seed 5 [") and "pong FULL verdict: missed, 12.5" in verdict


@pytest.mark.parametrize(
    ("code", "word"), [(0, "passed"), (3, "target missed"), (143, "stopped"), (7, "failed, exit")]
)
def test_every_exit_code_has_words(code: int, word: str) -> None:
    assert state_of(code, begun=True)[0].startswith(word)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "quiet", "kind"),
    [
        (Terminal(), {"TERM": "xterm"}, False, SeriesTable),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False, SeriesTable),
        (Terminal(), {"TERM": "dumb"}, False, SeriesLines),
        (io.StringIO(), {"TERM": "xterm"}, False, SeriesLines),
        (Terminal(), {"TERM": "xterm"}, True, SeriesDisplay),
    ],
)
def test_a_terminal_gets_a_table_and_a_file_gets_lines(
    config: Config, runs, stream, environ: dict[str, str], quiet: bool, kind: type
) -> None:
    shown = make_display(config, runs, quiet=quiet, json=False, stream=stream, environ=environ)
    assert type(shown) is kind
