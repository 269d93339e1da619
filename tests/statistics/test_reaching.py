"""Targets reached, or not yet: known answers, with runs whose end was not seen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from curriculum.statistics import Reach, first_reach, median_reach, times_sooner

reaches = st.lists(
    st.builds(Reach, st.integers(1, 20).map(float), st.booleans()), min_size=1, max_size=9
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def reached(*at: float) -> list[Reach]:
    return [Reach(each, True) for each in at]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([1, 5, 6, 7], Reach(20.0, True)),
        ([5, 5, 0, 0], Reach(10.0, True)),
        ([1, 9, 2, 9], Reach(40.0, False)),  # once, and not again: luck
        ([1, 2, 3, 9], Reach(40.0, False)),  # the last one has nothing after it
        ([1, 2, 3, 4], Reach(40.0, False)),
    ],
)
def test_a_target_is_reached_where_evaluations_stay_at_it(
    scores: list[float], expected: Reach
) -> None:
    assert first_reach([10, 20, 30, 40], scores, 5.0) == expected


def test_one_evaluation_may_be_enough_if_asked() -> None:
    assert first_reach([10, 20], [0, 5], 5.0, stays=1) == Reach(20.0, True)
    assert first_reach([10], [9], 5.0) == Reach(10.0, False)


@pytest.mark.parametrize(("at", "scores"), [([], []), ([1], [1, 2])])
def test_a_curve_without_evaluations_is_refused(at: list[float], scores: list[float]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        first_reach(at, scores, 0.0)
    with pytest.raises(ValueError, match="at least one"):
        median_reach([])


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (reached(3, 1, 2), Reach(2.0, True)),
        (reached(1, 2, 3, 4), Reach(2.0, True)),
        ([*reached(1, 2), Reach(9.0, False)], Reach(2.0, True)),
        ([*reached(1), Reach(9.0, False), Reach(9.0, False)], Reach(9.0, False)),
        # One that was watched only until 1 says nothing of later: of the other three, two by 3.
        ([Reach(1.0, False), *reached(2, 3, 4)], Reach(3.0, True)),
        ([Reach(5.0, False)], Reach(5.0, False)),
    ],
)
def test_the_median_counts_runs_whose_end_was_not_seen(runs: list[Reach], expected: Reach) -> None:
    assert median_reach(runs) == expected


@given(reaches)
def test_the_median_is_where_scipys_survival_function_falls_to_a_half(runs: list[Reach]) -> None:
    seen = [run.at for run in runs if run.reached]
    unseen = [run.at for run in runs if not run.reached]
    found = median_reach(runs)
    if not seen:
        assert not found.reached
        return
    survival = stats.ecdf(stats.CensoredData(uncensored=seen, right=unseen)).sf
    below = survival.quantiles[survival.probabilities <= 0.5 + 1e-9]
    assert found.reached == bool(len(below))
    assert found.at == (below[0] if len(below) else max(run.at for run in runs))


def test_a_ratio_is_that_of_medians_and_tells_apart_where_its_interval_leaves_out_one() -> None:
    ratio = times_sooner(reached(1, 2, 3), reached(4, 5, 6), 0.95, rng())
    assert ratio is not None and (ratio.value, ratio.at_least) == (2.5, False)
    assert ratio.interval == pytest.approx((4 / 3, 6.0)) and ratio.told_apart
    alike = times_sooner(reached(1, 2, 3), reached(1, 2, 3), 0.95, rng())
    assert alike is not None and alike.value == 1.0 and not alike.told_apart


def test_of_few_runs_there_is_no_interval_and_nothing_is_told_apart() -> None:
    ratio = times_sooner(reached(1, 1), reached(9, 9), 0.95, rng())
    assert ratio is not None and ratio == (9.0, False, None) and not ratio.told_apart


def test_theirs_that_never_reach_it_are_a_bound() -> None:
    never = [Reach(8.0, False)] * 3
    ratio = times_sooner(reached(1, 2, 4), never, 0.95, rng())
    assert ratio is not None and (ratio.value, ratio.at_least) == (4.0, True)
    assert ratio.interval == (2.0, math.inf) and ratio.told_apart
    short = times_sooner(reached(1, 2, 4), [Reach(2.0, False)] * 3, 0.95, rng())
    assert short is not None and short.interval == (0.5, math.inf) and not short.told_apart
    assert times_sooner(never, reached(1, 2, 4), 0.95, rng()) is None


def test_where_neither_side_reaches_it_nothing_is_known() -> None:
    """Both sides come to it in two runs of three: in a few resamples neither does."""
    half = [*reached(1, 2), Reach(8.0, False)]
    ratio = times_sooner(half, half, 0.99, rng())
    assert ratio is not None and ratio.interval == (0.0, math.inf) and not ratio.told_apart


@given(reaches, reaches, st.sampled_from([0.25, 2.0, 8.0]))
def test_what_takes_them_longer_by_a_factor_is_that_much_in_all_of_it(
    ours: list[Reach], theirs: list[Reach], factor: float
) -> None:
    slower = [Reach(run.at * factor, run.reached) for run in theirs]
    ratio, other = (times_sooner(ours, runs, 0.9, rng(), 100) for runs in (theirs, slower))
    if ratio is None or other is None:
        assert ratio is None and other is None
        return
    assert (other.value, other.at_least) == (factor * ratio.value, ratio.at_least)
    if ratio.interval is None or other.interval is None:
        assert ratio.interval is None and other.interval is None
        return
    assert other.interval == (factor * ratio.interval[0], factor * ratio.interval[1])
