"""The demonstration: seconds, no torch, and dreams that are worth something outside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from curriculum.demo.seeded_dream import SIZES, SeededDream, controller
from tests.cli.conftest import ROOT, commands_in
from tests.patience import HANG_S

WITHOUT_TORCH = (
    "import sys; sys.modules.update(torch=None, gymnasium=None, cma=None);"
    "from curriculum.cli.main import main; sys.exit(main(sys.argv[1:]))"
)


def test_a_pole_is_balanced_by_what_was_dreamed_without_torch(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "demo", "--run-dir", "kept"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = [line.split()[0] for line in done.stdout.splitlines() if " steps  " in line]
    assert int(told[0]) < 30 and int(told[-1]) >= 475
    assert "The pole stands." in done.stdout and "▀" not in done.stdout
    results = json.loads((tmp_path / "kept" / "evaluation_results.json").read_text("utf-8"))
    assert results["tasks"][0]["mode"] == "SIMULATION"
    report = commands_in(tmp_path)("report", "kept")
    assert report.code == 0 and "cartpole" in report.out


def test_what_is_kept_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "run.json").write_text("{}", encoding="utf-8")
    done = commands_in(tmp_path)("demo", "--run-dir", "kept")
    assert done.code == 2 and "--run-dir" in done.err


def test_a_dream_alone_is_told_what_to_add(tmp_path: Path) -> None:
    done = commands_in(tmp_path)("demo", "--dream")
    assert done.code == 2 and "--train-linear" in done.err


def test_controllers_have_the_sizes_of_the_paper() -> None:
    sizes = {name: controller(hidden, 0).num_parameters for name, hidden in SIZES}
    assert sizes == {"linear": 1_734, "MLP-32": 9_446, "MLP-128": 37_766}


@pytest.mark.parametrize("seed", [0, 5])
def test_what_is_learned_in_a_seeded_dream_holds_outside_it(seed: int) -> None:
    dream = SeededDream(seed)
    scores: list[float] = []
    found = dream.learn((), 30, lambda number, score: scores.append(score))
    assert len(scores) == 30 and scores[-1] > scores[0]
    assert found.dreamed > max(found.before, dream.random) + 2.0
    assert found.real > max(found.before, dream.random) + 2.0
    again = SeededDream(seed).learn((), 30)
    assert (again.dreamed, again.real) == (found.dreamed, found.real)


def test_the_same_push_for_ever_earns_nothing() -> None:
    dream = SeededDream(1)
    sizes = (controller((), 1).num_parameters,)
    parameters = controller((), 1).get_parameters() * 0.0
    assert parameters.shape == sizes
    constant = dream._real(controller((), 1, parameters).act)
    assert abs(constant) < 5.0


def test_a_comparison_and_a_benchmark_show_all_three(tmp_path: Path) -> None:
    run = commands_in(tmp_path)
    done = run("demo", "--benchmark", env={"COLUMNS": "100"})
    assert done.code == 0, done.err
    for size in ("1,734", "9,446", "37,766"):
        assert size in done.out
