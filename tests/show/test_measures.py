"""Every number that V or M is measured by has a meaning, and one only."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from models.normaliser import StateVision
from models.numeric.measures import HELD_OUT, MEASURES, Measure, measure_of
from models.pca import PCAVision

REPORTS = Path(__file__).resolve().parents[2] / "assets" / "reports"


@pytest.mark.parametrize("stage", ["vision", "memory"])
def test_what_reports_tell_is_known(stage: str) -> None:
    """The kept reports are of real runs: pixels, states, key points, recurrent and ridge."""
    told = set()
    for path in REPORTS.glob("*.md"):
        told |= set(re.findall(rf"\| {stage} \| ([a-z][^|]+) \| ", path.read_text()))
    assert told
    for name in (words.strip().replace(" ", "_") for words in told):
        assert measure_of(stage, name).meaning, name


def test_what_numpy_models_tell_is_known() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (12, 64, 64, 1), np.uint8)
    pca = PCAVision((64, 64, 1), 4)
    told = {**pca.update(frames, frames[::-1], rng), **pca.finish()}
    states, seen = StateVision(3), rng.normal(size=(9, 3)).astype(np.float32)
    told |= {**states.update(seen, seen, rng), **states.finish()}
    for name in told:
        assert measure_of("vision", name).meaning, name


def test_measures_of_what_was_not_learned_from_say_so() -> None:
    plain, held_out = measure_of("memory", "nll"), measure_of("memory", f"{HELD_OUT}nll")
    assert held_out.good == plain.good == "less"
    assert held_out.meaning == f"{plain.meaning}; on data not learned from"


def test_what_is_not_known_says_nothing() -> None:
    assert measure_of("vision", "of_a_plugin") == measure_of("evaluate", "nll") == Measure("")
    assert measure_of("vision", f"{HELD_OUT}of_a_plugin") == Measure("")


def test_which_way_is_good_is_said_in_few_words() -> None:
    ways = {measure.good for of_stage in MEASURES.values() for measure in of_stage.values()}
    assert ways == {"more", "less", "", "0", "1", "the rate"}
