"""Statistics with known answers and known properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from baselines.stats import (
    bootstrap_interval,
    improvement_interval,
    iqm,
    mean,
    probability_of_improvement,
)

scores = arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e4, 1e4))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7.0], 7.0),
        ([1.0, 2.0, 6.0], 3.0),
        ([1.0, 2.0, 3.0, 100.0], 2.5),
        ([5.0, -1e9, 1e9, 6.0, 7.0], 6.0),
        (list(range(1, 9)), 4.5),
        ([0, 0, 1, 2, 3, 4, 9, 9], 2.5),
    ],
)
def test_iqm_leaves_out_a_quarter_at_each_end(values: list[float], expected: float) -> None:
    assert iqm(np.array(values)) == pytest.approx(expected)


def test_iqm_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        iqm(np.array([]))


@given(scores, st.randoms())
def test_iqm_ignores_order_and_stays_in_range(values: np.ndarray, random: st.DataObject) -> None:
    shuffled = values.tolist()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert iqm(np.array(shuffled)) == pytest.approx(float(iqm(values)))
    assert values.min() - 1e-6 <= iqm(values) <= values.max() + 1e-6


@given(scores)
def test_iqm_works_along_the_last_axis(values: np.ndarray) -> None:
    both = np.stack([values, values + 1.0])
    np.testing.assert_allclose(iqm(both), [iqm(values), iqm(values + 1.0)])


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        low, high = bootstrap_interval([rng.normal(3.0, 2.0, 50)], mean, 0.9, rng, 500)
        covered += low <= 3.0 <= high
    assert 0.83 <= covered / 200 <= 0.96


def test_seeds_are_resampled_by_themselves() -> None:
    groups = [np.full(10, 0.0), np.full(10, 100.0)]
    interval = bootstrap_interval(groups, mean, 0.95, np.random.default_rng(0))
    assert interval == (50.0, 50.0), "pooling first would have spread"


def test_the_same_generator_gives_the_same_interval() -> None:
    values = [np.arange(20.0)]
    first, second = (
        bootstrap_interval(values, iqm, 0.95, np.random.default_rng(5)) for _ in range(2)
    )
    assert first == second and first[0] < 9.5 < first[1]


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_a_senseless_level_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        bootstrap_interval([np.ones(3)], mean, confidence, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([2.0], [1.0], 1.0),
        ([1.0], [2.0], 0.0),
        ([1.0], [1.0], 0.5),
        ([1.0, 3.0], [2.0], 0.5),
        ([1.0, 2.0, 3.0], [2.0, 2.0], 0.5),
        ([3.0, 4.0], [1.0, 3.0], 0.875),
    ],
)
def test_probability_of_improvement(
    ours: list[float], theirs: list[float], expected: float
) -> None:
    assert probability_of_improvement(np.array(ours), np.array(theirs)) == expected


@given(scores, scores)
def test_improvement_is_the_complement_of_the_reverse(x: np.ndarray, y: np.ndarray) -> None:
    assert probability_of_improvement(x, y) == pytest.approx(1 - probability_of_improvement(y, x))


@given(scores, scores)
def test_improvement_counts_pairs(x: np.ndarray, y: np.ndarray) -> None:
    pairs = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])
    assert probability_of_improvement(x, y) == pytest.approx(pairs.mean())


def test_its_interval_holds_it() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(1.0, 1.0, 100), rng.normal(0.0, 1.0, 100)
    low, high = improvement_interval(x, y, 0.95, rng)
    assert 0.5 < low < probability_of_improvement(x, y) < high < 1.0
