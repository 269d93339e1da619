"""A run's curves stand beside its report where they can be drawn; nothing else misses them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from curriculum.figures.curve import Curve, Point
from curriculum.figures.pictures import FEWEST_POINTS, draw_curves, write_illustrated

HERE = {"task": "pong", "mode": "FULL", "round": 0, "stage": "controller"}
FILE = "media/curve-pong.svg"


def events(points: int = FEWEST_POINTS, score: float | None = 19.0) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"t": 1.0, "event": "run_started", "name": "x"}]
    for n in range(points):
        values = {"env_steps": 1000.0 * n, "score": float(n)}
        found.append({"t": 2.0 + n, "event": "metrics", **HERE, "step": n, "values": values})
    found.append({"t": 99.0, "event": "check", **HERE, "generation": 9, "score": 17, "target": 18})
    if score is not None:
        verdict = {"task": "pong", "mode": "FULL", "score": score, "target": 18.0}
        found.append({"t": 100.0, "event": "verdict", **verdict})
    return found


def words(picture: Path) -> set[str]:
    return {
        (e.text or "").strip() for e in ElementTree.parse(picture).iter() if e.tag[-4:] == "text"
    }


@pytest.fixture(autouse=True)
def plots() -> None:
    pytest.importorskip("matplotlib")


def test_the_report_shows_what_was_drawn(tmp_path: Path) -> None:
    write_illustrated(tmp_path, events())
    assert f"![{FILE}]({FILE})" in (tmp_path / "report.md").read_text()
    shown = words(tmp_path / FILE)
    assert {"real steps", "score", "evaluation", "checks of what is deployed"} <= shown


def test_a_run_without_a_verdict_has_its_curve_and_no_evaluation(tmp_path: Path) -> None:
    assert draw_curves(tmp_path, events(score=None)) == [FILE]
    assert "evaluation" not in words(tmp_path / FILE)


def test_few_points_are_left_to_the_table(tmp_path: Path) -> None:
    assert draw_curves(tmp_path, events(FEWEST_POINTS - 2)) == []
    assert not (tmp_path / "media").exists()


def test_without_matplotlib_the_report_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "curriculum.figures.learning", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    write_illustrated(tmp_path, events())
    assert "| pong | FULL |" in (tmp_path / "report.md").read_text()
    assert "svg" not in (tmp_path / "report.md").read_text()


def test_equal_ledgers_give_equal_pictures_that_follow_the_readers_theme(tmp_path: Path) -> None:
    pictures = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        draw_curves(tmp_path / name, events())
        pictures.append((tmp_path / name / FILE).read_bytes())
    assert pictures[0] == pictures[1]
    assert b"prefers-color-scheme: dark" in pictures[0] and b"#010203" not in pictures[0]


def test_a_curve_of_checks_alone_is_drawn(tmp_path: Path) -> None:
    from curriculum.figures.learning import learning_picture

    curve = Curve(checks=(Point(0.0, 1.0), Point(10.0, 2.0)))
    (tmp_path / "x.svg").write_bytes(learning_picture(curve, None, None))
    shown = words(tmp_path / "x.svg")
    assert "checks of what is deployed" in shown and "training episodes, exploring" not in shown
