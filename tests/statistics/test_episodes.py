"""Statistics with known answers and known properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curriculum.statistics import (
    bootstrap_interval,
    improvement_interval,
    iqm,
    mean,
    probability_of_improvement,
    standard_error,
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


RARE = np.array([0.0] * 9 + [10.0])
"""The mean of ten draws is a number of Binomial(10, 0.1), whose tails differ."""


@pytest.mark.parametrize(
    ("confidence", "low", "high"),
    [
        (0.999, 0.0, 5.0),  # P(X <= 4) = 0.9984, P(X <= 5) = 0.99985
        (0.95, 0.0, 3.0),  # P(X <= 2) = 0.930, P(X <= 3) = 0.987
        (0.8, 0.0, 2.0),  # P(X <= 1) = 0.736, P(X <= 2) = 0.930
        (0.2, 1.0, 1.0),  # P(X = 0) = 0.349, P(X <= 1) = 0.736
    ],
)
def test_both_tails_are_those_of_the_binomial_distribution(
    confidence: float, low: float, high: float
) -> None:
    rng = np.random.default_rng(1)
    assert bootstrap_interval([RARE], mean, confidence, rng) == (low, high)
    mirrored = bootstrap_interval([-RARE], mean, confidence, np.random.default_rng(1))
    assert mirrored == (-high, -low)


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_scores_from_0_to_9_have_the_interval_of_their_exact_distribution(
    confidence: float,
) -> None:
    sums = np.ones(1)
    for _ in range(10):
        sums = np.convolve(sums, np.full(10, 0.1))  # of ten draws, each 0 to 9
    below = np.cumsum(sums)
    tail = (1.0 - confidence) / 2.0
    exact = [np.searchsorted(below, p) / 10 for p in (tail, 1.0 - tail)]
    found = bootstrap_interval([np.arange(10.0)], mean, confidence, np.random.default_rng(0))
    np.testing.assert_allclose(found, exact, atol=0.1 + 1e-9)  # a step of the mean


def test_the_interval_of_a_fixed_generator_is_what_it_was() -> None:
    rng = np.random.default_rng(0)
    assert bootstrap_interval([np.arange(10.0)], mean, 0.95, rng) == (2.7, 6.3)
    assert bootstrap_interval([np.arange(10.0)], iqm, 0.95, rng) == (7 / 3, 41 / 6)


def test_it_is_the_quantiles_of_means_of_draws_in_one_go() -> None:
    values = np.random.default_rng(3).normal(size=300)  # 10,000 of them take three blocks
    found = bootstrap_interval([values], mean, 0.9, np.random.default_rng(7))
    drawn = np.random.default_rng(7).integers(300, size=(10_000, 300))
    means = np.sort(values[drawn].mean(axis=1))
    places = 0.05 * 9_999, 0.95 * 9_999
    exact = [np.interp(place, np.arange(10_000), means) for place in places]
    np.testing.assert_allclose(found, exact, rtol=1e-12)


@pytest.mark.parametrize("values", [[7.5], [-3.0] * 12])
def test_one_score_or_equal_ones_have_an_interval_without_width(values: list[float]) -> None:
    for statistic in (mean, iqm):
        found = bootstrap_interval([np.array(values)], statistic, 0.95, np.random.default_rng(0))
        assert found == (values[0], values[0])


@given(scores, st.sampled_from([0.5, 0.8, 0.95, 0.999]))
def test_an_interval_lies_within_the_scores_and_grows_with_its_level(
    values: np.ndarray, confidence: float
) -> None:
    def at(level: float) -> tuple[float, float]:
        return bootstrap_interval([values], mean, level, np.random.default_rng(0), 200)

    (low, high), (lower, higher) = at(confidence / 2), at(confidence)
    slack = 1e-9 * max(1.0, float(np.abs(values).max()))
    assert values.min() - slack <= lower <= low <= high <= higher <= values.max() + slack


@pytest.mark.parametrize("groups", [[], [np.array([])], [np.ones(2), np.array([])]])
def test_an_interval_of_nothing_is_refused(groups: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval(groups, mean, 0.95, np.random.default_rng(0))


def test_the_standard_error_is_the_sample_deviation_by_the_root_of_their_number() -> None:
    assert standard_error(np.array([1.0, 3.0])) == 1.0  # deviation sqrt(2), by sqrt(2)
    assert standard_error(np.array([2.0, 4.0, 4.0, 6.0])) == pytest.approx((8 / 3) ** 0.5 / 2)
