from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from curriculum.errors import ConfigError
from diagnostics import bench


def run(tmp_path: Path, *suites: str, repeats: int = 1) -> dict:
    out = tmp_path / "figures.json"
    code = bench.main(argparse.Namespace(suites=suites, repeats=repeats, json=str(out)))
    assert code == 0
    return json.loads(out.read_text(encoding="utf-8"))


@pytest.mark.parametrize("suite", ["controller", "dream"])
def test_every_figure_is_a_median_between_its_extremes(tmp_path: Path, suite: str, monkeypatch):
    monkeypatch.setattr(bench, "MIN_SECONDS", 0.01)
    figures = run(tmp_path, suite, repeats=3)["figures"]
    assert figures
    for figure in figures:
        assert 0 < figure["lowest"] <= figure["median"] <= figure["highest"]
        assert figure["runs"] == 3 and figure["suite"] == suite


def test_controllers_are_measured_side_by_side_with_their_parameters(tmp_path, monkeypatch):
    monkeypatch.setattr(bench, "MIN_SECONDS", 0.01)
    figures = run(tmp_path, "controller")["figures"]
    assert {f["implementation"] for f in figures} >= {"numpy"}
    names = " ".join(f["name"] for f in figures)
    assert all(count in names for count in ("1,734", "9,446", "37,766"))


def test_a_rate_is_items_per_second() -> None:
    import time

    case = bench.Case("s", "n", "i", "items", 10, lambda: time.sleep(0.02))
    (figure,) = bench.measure([case], 3)
    assert 350 < figure.median < 500


@pytest.mark.parametrize(("suites", "repeats"), [(("nope",), 1), ((), 0)])
def test_wrong_usage_is_told(tmp_path: Path, suites: tuple, repeats: int) -> None:
    with pytest.raises(ConfigError):
        run(tmp_path, *suites, repeats=repeats)
