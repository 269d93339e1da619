"""Curves of several runs together: known answers, and what has to hold of any curves."""

from __future__ import annotations

import numpy as np
import pytest

from curriculum.statistics import carried, curve_band, iqm

AT = np.array([0.0, 10.0, 20.0])


def test_the_last_value_is_carried_on_and_nothing_comes_before_the_first() -> None:
    found = carried(AT, np.array([1.0, 5.0, 3.0]), np.array([-1.0, 0.0, 9.9, 10.0, 99.0]))
    np.testing.assert_array_equal(found, [np.nan, 1.0, 1.0, 5.0, 3.0])


@pytest.mark.parametrize("runs", [0, 1, 2])
def test_fewer_than_three_runs_have_no_band(runs: int) -> None:
    curves = [(AT, AT)] * runs + [(np.array([]), np.array([]))] * 3
    assert curve_band(curves, 0.95, np.random.default_rng(0)) is None


def test_runs_that_never_overlap_have_no_band() -> None:
    curves = [(np.array([10.0]), np.array([x])) for x in (1.0, 2.0, 3.0)]
    assert curve_band(curves, 0.95, np.random.default_rng(0)) is None


def test_equal_runs_leave_no_doubt() -> None:
    band = curve_band([(AT, np.array([1.0, 5.0, 3.0]))] * 4, 0.95, np.random.default_rng(0))
    assert band is not None
    np.testing.assert_array_equal(band.low, band.middle)
    np.testing.assert_array_equal(band.high, band.middle)
    assert band.middle[0] == 1.0 and band.middle[-1] == 3.0


def test_a_run_that_is_over_keeps_its_last_score_while_others_go_on() -> None:
    short = (np.array([0.0, 5.0]), np.array([0.0, 100.0]))
    long = (np.array([2.0, 50.0]), np.array([0.0, 10.0]))
    band = curve_band([short, long, long], 0.95, np.random.default_rng(0), places=49)
    assert band is not None
    assert (band.at[0], band.at[-1]) == (2.0, 50.0), "from where all have begun"
    assert band.middle[0] == 0.0 and band.middle[10] == pytest.approx(100.0 / 3.0)
    assert band.middle[-1] == pytest.approx(40.0)


def test_the_interval_is_that_of_resampled_runs() -> None:
    rng = np.random.default_rng(5)
    ends = rng.normal(size=7)
    curves = [(np.array([0.0, 1.0]), np.array([0.0, end])) for end in ends]
    band = curve_band(curves, 0.9, np.random.default_rng(1), places=2)
    assert band is not None
    drawn = iqm(np.random.default_rng(2).choice(ends, size=(200_000, 7)))
    expected = np.quantile(drawn, [0.05, 0.95])
    np.testing.assert_allclose([band.low[-1], band.high[-1]], expected, atol=0.06)
    assert band.low[-1] <= band.middle[-1] <= band.high[-1]
    assert band.middle[-1] == pytest.approx(float(iqm(ends)))
