"""Several trainings by one command: begun some at a time, left where finished, told together."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rich.console import Console

from baselines.arguments import matrix_arguments, parser, single_arguments
from baselines.matrix.cells import Cell, cells_of, train_all
from baselines.matrix.report import Trained, report_of, trained_in
from baselines.matrix.showing import MatrixDisplay, MatrixLines, MatrixTable
from baselines.results import RESULT, BaselineHome, BaselineResult, finish, load_results, name_of
from curriculum.errors import ExitCode
from curriculum.show.lines import LosableStream
from curriculum.statistics import Reach
from tests.records.samples import facts_of

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["ppo", "--tasks", "pong,lunarlander", "--seeds", "0-2", "--steps", "1000", "--jobs", "2"]


def result_of(seed: int, scores: Sequence[float], **changes: Any) -> BaselineResult:
    usual = {"algo": "ppo", "task": "pong", "env_id": "Pong", "playing": "Pong", "env": {}}
    facts = {**usual, "seed": seed, "policy": "greedy", "scores": tuple(scores), **changes}
    return BaselineResult(**{"env_steps": 1000, "seconds": 60.0, **facts})


class Shown(MatrixDisplay):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.turns: list[tuple[str, int | None]] = []

    def turned(self, name: str, code: int | None) -> None:
        self.turns.append((name, code))


class Playing:
    """Stands in for a child process that ends with a code, and counts how many there are."""

    there = most = 0
    codes: ClassVar[dict[str, int]] = {}

    def __init__(self, module: str, arguments: Sequence[str], threads: int, log: Path) -> None:
        self._name, self._looks = arguments[0], 2
        Playing.there += 1
        Playing.most = max(Playing.most, Playing.there)

    def ended(self) -> int | None:
        self._looks -= 1
        if self._looks:
            return None
        Playing.there -= 1
        return self.codes.get(self._name, 0)

    def signal(self, number: int) -> None:
        raise AssertionError("nothing asks to stop")


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> type[Playing]:
    monkeypatch.setattr("baselines.matrix.cells.Child", Playing)
    monkeypatch.setattr("curriculum.pool.programs.TICK_S", 0.0)
    Playing.there = Playing.most = 0
    Playing.codes = {}
    return Playing


def test_the_command_of_each_training_is_the_one_for_it_alone() -> None:
    args = parser().parse_args([*WORDS, "--set", "env.noop_max=7", "--sampled", "--config", "c"])
    alone = parser().parse_args(single_arguments(args, Cell("ppo", "pong", 2)))
    assert (alone.task, alone.seed, alone.tasks, alone.seeds) == ("pong", 2, None, None)
    again = parser().parse_args(matrix_arguments(args, args.tasks, args.seeds))
    assert vars(again) == vars(args)
    apart = {name for name in vars(args) if getattr(args, name) != getattr(alone, name)}
    assert apart == {"task", "tasks", "seed", "seeds", "jobs"}


def test_all_tasks_come_before_a_second_seed() -> None:
    cells = cells_of("dqn", ["a", "b"], (4, 5))
    assert [cell.name for cell in cells] == [
        "dqn-a-seed4",
        "dqn-b-seed4",
        "dqn-a-seed5",
        "dqn-b-seed5",
    ]


def test_only_so_many_work_at_once_and_what_is_finished_is_left(
    played: type[Playing], tmp_path: Path
) -> None:
    cells, shown = cells_of("ppo", ["pong"], range(5)), Shown()
    (tmp_path / cells[1].name).mkdir()
    (tmp_path / cells[1].name / RESULT).write_text("{}")
    assert train_all(cells, lambda cell: [cell.name], tmp_path, 2, shown) == ExitCode.OK
    assert played.most == 2
    assert shown.turns[0] == (cells[1].name, 0)
    begun = [name for name, code in shown.turns if code is None]
    assert begun == [cells[n].name for n in (0, 2, 3, 4)]


@pytest.mark.parametrize(("code", "told"), [(7, ExitCode.IO), (-9, ExitCode.INTERNAL)])
def test_one_that_fails_does_not_stop_the_others(
    code: int, told: ExitCode, played: type[Playing], tmp_path: Path
) -> None:
    cells, shown = cells_of("ppo", ["pong"], range(3)), Shown()
    played.codes = {cells[0].name: code}
    assert train_all(cells, lambda cell: [cell.name], tmp_path, 1, shown) == told
    assert len([name for name, code in shown.turns if code is None]) == 3


def test_the_report_says_what_seeds_say_together() -> None:
    trained = [
        Trained(result_of(0, [1.0, 3.0]), Reach(500.0, True)),
        Trained(result_of(1, [5.0, 7.0]), Reach(700.0, True)),
        Trained(result_of(2, [9.0, 11.0]), Reach(1000.0, False)),
    ]
    text = report_of(trained, ["ppo", "--tasks", "pong"])
    assert "the interquartile mean of 3 runs is 6.0, 95% interval over runs [2.0, 10.0]" in text
    assert "differ by 4.0 (standard deviation), those of episodes inside a run by 1.4" in text
    assert "2 of 3 came to the target and stayed there; by 700 steps half of them had" in text
    assert "| 2 | greedy | 10.0 |" in text and "| not by 1,000 |" in text
    assert "python -m baselines ppo --tasks pong" in text
    few = report_of(trained[:2], [])
    assert "no interval over runs is told: 2 of them say too little" in few


def test_when_the_target_was_reached_is_read_from_the_ledger(tmp_path: Path) -> None:
    for seed, scores in enumerate([(0.0, 19.0, 18.0), (19.0, 0.0, 19.0), (0.0, 0.0, 19.0)]):
        with BaselineHome(tmp_path, name_of("ppo", "pong", seed)) as home:
            home.ledger.append("baseline_started", **facts_of("baseline_started"))
            for step, score in zip((10, 20, 30), scores, strict=True):
                home.ledger.append("evaluation", step=step, score=score, scores=[score])
            finish(home.ledger, result_of(seed, [20.0, 21.0] if seed == 2 else [1.0, 2.0]))
    found = trained_in(tmp_path, {"pong": 18.0})
    end = float(result_of(0, [1.0]).env_steps)
    # The evaluation is the last examination: with it the third training has two in a row.
    assert [one.reach for one in found] == [Reach(20.0, True), Reach(end, False), Reach(30.0, True)]
    assert [one.reach for one in trained_in(tmp_path, {})] == [None, None, None]


def test_lines_name_the_training_and_the_table_has_a_row_for_each() -> None:
    stream = io.StringIO()
    lines = MatrixLines(["ppo-pong-seed0"], LosableStream(stream))
    lines.turned("ppo-pong-seed0", None)
    lines.told("ppo-pong-seed0", {"event": "evaluation", "step": 5000, "score": 3.25})
    lines.turned("ppo-pong-seed0", 7)
    told = stream.getvalue().splitlines()
    assert told[0] == "ppo-pong-seed0: training" and "3.2" in told[1]
    assert told[2] == "ppo-pong-seed0: failed, exit code 7"
    table = MatrixTable(["a", "b", "c"], Console(file=io.StringIO(), width=80))
    table.turned("a", 0)
    table.turned("b", None)
    table.told("b", {"event": "episode", "steps_in_episodes": 12_345, "score": -3.0})
    table.told("b", {"event": "evaluation", "step": 12_000, "score": 7.5})
    console = Console(file=io.StringIO(), width=80)
    console.print(table.picture())
    rows = [line.split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert rows[1][:2] == ["a", "done"] and rows[3] == ["c", "waiting"]
    assert rows[2][:2] == ["b", "training"] and rows[2][-1] == "7.5"


def test_a_task_that_is_unknown_is_told_before_anything_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from baselines.__main__ import main

    words = ["ppo", "--tasks", "lunarlander,pogn", "--steps", "10", "--out", str(tmp_path / "o")]
    assert main(words) == 2
    assert "did you mean pong?" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.gym
def test_stopped_and_killed_they_end_as_the_undisturbed_ones(tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("Box2D")
    command = [sys.executable, "-m", "baselines", "ppo", "--task", "lunarlander", "--seeds", "0-1"]
    command += ["--jobs", "2", "--steps", "32768", "--commit-steps", "16384", "--episodes", "3"]
    command += ["--evaluations", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(which: str, end: int | None) -> int:
        words = [*command, "--out", str(tmp_path / which)]
        with subprocess.Popen(words, cwd=ROOT, env=environment) as process:
            while end and not any((tmp_path / which).glob("*/commits/000001/manifest.json")):
                assert process.poll() is None
                time.sleep(0.05)
            if end:
                process.send_signal(end)
            return process.wait()

    assert run("whole", None) == 0
    assert run("ended", signal.SIGINT) == 130
    assert run("ended", None) == 0
    assert run("killed", signal.SIGKILL) == -signal.SIGKILL
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:  # the children end by themselves
        code = run("killed", None)
        if code == 0:
            break
        time.sleep(1.0)
    whole = [replace(r, seconds=0.0) for r in load_results(tmp_path / "whole")]
    for which in ("ended", "killed"):
        assert [replace(r, seconds=0.0) for r in load_results(tmp_path / which)] == whole
        assert "the interquartile mean of 2 runs" in (tmp_path / which / "report.md").read_text()
