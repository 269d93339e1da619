"""Runs as a page: curves along every axis that ledgers tell, with a band from three runs on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from baselines.__main__ import main as compare
from baselines.study.sides import OURS, PPO, Contest, Side, Trial, contests
from curriculum.cli.main import main
from curriculum.figures.curve import Point
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from tests.baselines.test_study import baseline, make_run

pytest.importorskip("matplotlib")

CURVE = (Point(1e3, 10.0, 60.0, 4.0), Point(2e3, 30.0, 90.0, 9.0))


def run(name: str, *curve: Point, apart: str = "") -> Trial:
    kept = Trial(name, 0, "greedy", "FULL", "E-v0", (30.0,), 2e3, 90.0, None, None, curve=curve)
    return replace(kept, apart=apart)


def drawn(axis: str, *sides: Side) -> str:
    from baselines.study.figures import AXES, learning_curves

    (chosen,) = [a for a in AXES if a.label == axis]
    return learning_curves(Contest("lander", 200.0, sides), chosen)


@pytest.mark.parametrize("axis", ["real steps", "minutes", "episodes"])
def test_three_runs_have_a_mean_and_a_band_along_every_axis(axis: str) -> None:
    figure = drawn(axis, Side(OURS, tuple(run(str(n), *CURVE) for n in range(3))))
    assert "ours, interquartile mean of 3" in figure and axis in figure
    assert "FillBetween" in figure or "PolyCollection" in figure


def test_two_runs_are_two_lines() -> None:
    figure = drawn("real steps", Side(OURS, (run("a", *CURVE), run("b", *CURVE))))
    assert "ours, each run" in figure and "interquartile" not in figure


def test_a_run_that_is_set_apart_is_in_no_mean() -> None:
    trials = (*(run(str(n), *CURVE) for n in range(2)), run("x", *CURVE, apart="simulated"))
    assert "interquartile" not in drawn("real steps", Side(OURS, trials))


def test_what_a_ledger_does_not_tell_is_not_drawn() -> None:
    silent = Side(PPO, (run("old", *(point._replace(episodes=None) for point in CURVE)),))
    assert drawn("episodes", silent) == ""
    both = drawn("episodes", silent, Side(OURS, (run("new", *CURVE),)))
    assert "PPO" not in both and "ours, each run" in both


def test_report_writes_runs_as_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = tmp_path / "<b>run &amp;"
    make_run(hostile, [250.0, 260.0])
    other = make_run(tmp_path / "other", [150.0], mode="SIMULATION")
    file = tmp_path / "page.html"
    assert main(["report", str(hostile), str(other), "--html", str(file)]) == 0
    page = file.read_text()
    assert "&lt;b&gt;run &amp;amp;" in page and "<b>run" not in page
    assert "SIMULATION" in page and page.count("<svg") == 2
    assert "Runs side by side" in capsys.readouterr().out
    assert main(["report", str(other), "--html", str(file), "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == [str(other)]
    assert "set apart" in file.read_text()


def test_a_page_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "run", [250.0])
    assert main(["report", str(tmp_path / "run"), "--html", str(tmp_path)]) != 0
    assert "directory" in capsys.readouterr().err
    assert not (tmp_path / "run" / "report.md").exists()


def test_an_unfinished_run_shows_its_practice_alone(tmp_path: Path) -> None:
    path = make_run(tmp_path / "run", [250.0], over=False)
    Ledger(RunDir.open(path).ledger_path).append("run_stopped", reason="", exit_code=6, resume="")
    (trial,) = contests([path], [])[0].sides[0].trials
    assert trial.apart and [point.score for point in trial.curve] == [150.0]


def test_compare_writes_its_figures_as_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [str(make_run(tmp_path / f"run-{n}", [250.0], seed=n)) for n in range(3)]
    curve = ((300_000, 201.0), (400_000, 205.0))
    for seed in range(3):
        baseline(tmp_path / "b", "ppo", seed, [230.0], curve)
    figures = tmp_path / "figures"
    words = [*runs, "--baseline", str(tmp_path / "b"), "--figures", str(figures)]
    assert compare(["compare", *words]) == 0
    names = sorted(path.name for path in figures.iterdir())
    assert names == ["lunarlander-minutes.svg", "lunarlander-steps.svg", "ratios.svg"]
    for path in figures.iterdir():
        root = ElementTree.parse(path).getroot()
        assert root.tag.endswith("svg") and root.attrib["width"].endswith("pt")
        assert "prefers-color-scheme: dark" in path.read_text()
    assert f"--figures {figures}" in capsys.readouterr().out
