"""Statistics over runs: known answers, known properties, and scipy's word on the intervals."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from curriculum.statistics import (
    improvement_over_runs,
    interval_over_runs,
    iqm,
    mean,
    normalised,
    optimality_gap,
    performance_profile,
    run_scores,
    spread,
)

runs = arrays(np.float64, st.integers(3, 12), elements=st.floats(-10.0, 10.0, width=32))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_run_counts_by_its_mean_however_many_episodes_it_has() -> None:
    np.testing.assert_array_equal(run_scores([np.array([1.0, 3.0]), np.full(50, 7.0)]), [2.0, 7.0])


def test_runs_differ_between_and_episodes_within() -> None:
    found = spread([np.array([1.0, 3.0]), np.array([5.0, 7.0])])
    assert found.between == pytest.approx(8.0**0.5)  # of 2 and 6
    assert found.within == pytest.approx(2.0**0.5)  # of either
    assert spread([np.array([4.0])]) == (0.0, 0.0)


def test_an_interval_of_fewer_than_three_runs_is_not_told() -> None:
    assert interval_over_runs([np.array([1.0, 2.0])], mean, 0.95, rng()) is None
    assert interval_over_runs([np.arange(9.0), np.arange(2.0)], mean, 0.95, rng()) is None
    assert interval_over_runs([], mean, 0.95, rng()) is None
    assert interval_over_runs([np.array([1.0, 2.0, 3.0])], mean, 0.95, rng()) == (1.0, 3.0)


def test_many_episodes_do_not_make_few_runs_sure() -> None:
    """What episodes alone would tell is the chance of judging, not that of training."""
    means = np.array([-7.4, 5.0, 17.4])
    low, high = interval_over_runs([means], mean, 0.95, rng()) or (0.0, 0.0)
    assert (low, high) == pytest.approx((-7.4, 17.4))


@pytest.mark.parametrize("statistic", [mean, iqm, lambda x: np.median(x, axis=-1)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_it_agrees_with_the_bootstrap_of_scipy(statistic: object, confidence: float) -> None:
    scores = rng(4).normal(10.0, 3.0, 12)
    found = interval_over_runs([scores], statistic, confidence, rng(1), 40_000)  # type: ignore[arg-type]
    theirs = stats.bootstrap(
        (scores,),
        lambda x, axis: statistic(np.moveaxis(x, axis, -1)),  # type: ignore[operator]
        n_resamples=40_000,
        confidence_level=confidence,
        method="percentile",
        rng=rng(2),
    ).confidence_interval
    assert found is not None
    np.testing.assert_allclose(found, (theirs.low, theirs.high), atol=0.1)


def test_tasks_are_strata() -> None:
    apart = [np.full(3, 0.0), np.full(3, 1.0)]
    assert interval_over_runs(apart, mean, 0.95, rng()) == (0.5, 0.5)


def test_an_interval_over_runs_covers_the_truth_about_as_often_as_it_says() -> None:
    """Of ten runs; of three a percentile interval is too narrow, as everybody's is."""
    chance, covered = rng(), 0
    for _ in range(200):
        low, high = interval_over_runs([chance.normal(3.0, 2.0, 10)], mean, 0.9, chance, 400) or (
            0.0,
            0.0,
        )
        covered += low <= 3.0 <= high
    assert 0.75 <= covered / 200 <= 0.95


def test_scores_are_normalised_between_chance_and_the_target() -> None:
    np.testing.assert_allclose(normalised(np.array([-20.7, 18.0, 21.0]), -20.7, 18.0)[:2], [0, 1])
    assert normalised(np.array([21.0]), -20.7, 18.0)[0] > 1.0
    with pytest.raises(ValueError, match="more than the floor"):
        normalised(np.ones(2), 3.0, 3.0)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([1.0, 2.0], 0.0), ([0.0], 1.0), ([0.5, 3.0], 0.25), ([-1.0, 1.0], 1.0)],
)
def test_the_gap_counts_what_is_missed_and_no_surplus(scores: list[float], expected: float) -> None:
    assert optimality_gap(np.array(scores)) == pytest.approx(expected)


def test_a_profile_is_the_share_above_each_threshold() -> None:
    tasks = [np.array([0.0, 1.0, 2.0, 3.0]), np.array([10.0, 10.0])]
    found = performance_profile(tasks, np.array([-1.0, 1.0, 2.5, 10.0]), 0.95, rng())
    np.testing.assert_allclose(found.shares, [1.0, 0.75, 0.625, 0.0])
    assert (found.low <= found.shares).all() and (found.shares <= found.high).all()
    assert found.low[0] == 1.0 and found.high[3] == 0.0
    assert found.low[1] < 0.75 < found.high[1]


@given(runs)
def test_a_profile_falls_from_one_to_nothing(scores: np.ndarray) -> None:
    thresholds = np.linspace(-10.5, 10.5, 12)
    found = performance_profile([scores], thresholds, 0.9, rng(), 50)
    assert found.shares[0] == 1.0 and found.shares[-1] == 0.0
    for curve in found:
        assert (np.diff(curve) <= 1e-12).all()
    # Its area is the mean, as the mean is what a distribution's tail integrates to.
    fine = np.linspace(-10.5, 10.5, 4201)
    area = performance_profile([scores], fine, 0.9, rng(), 1).shares[:-1].sum() * (
        fine[1] - fine[0]
    )
    assert area - 10.5 == pytest.approx(scores.mean(), abs=0.01)


def test_improvement_is_that_of_every_task_and_needs_three_runs_for_an_interval() -> None:
    ours, theirs = [np.array([2.0, 3.0]), np.array([1.0])], [np.array([1.0]), np.array([1.0])]
    assert improvement_over_runs(ours, theirs, 0.95, rng()) == (0.75, None)
    better = [np.arange(10.0) + 20.0]
    assert improvement_over_runs(better, [np.arange(5.0)], 0.95, rng()) == (1.0, (1.0, 1.0))
    found, interval = improvement_over_runs([np.arange(8.0)], [np.arange(8.0)], 0.95, rng())
    assert found == 0.5 and interval is not None
    assert interval[0] < 0.35 and interval[1] > 0.65


@given(runs, runs)
def test_its_probability_is_that_of_mann_and_whitney(x: np.ndarray, y: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy has no p value for ties; the count is right
        pairs = stats.mannwhitneyu(x, y, method="asymptotic").statistic
    found, interval = improvement_over_runs([x], [y], 0.9, rng(), 200)
    assert found == pytest.approx(pairs / (len(x) * len(y)))
    assert interval is not None and 0.0 <= interval[0] <= interval[1] <= 1.0
