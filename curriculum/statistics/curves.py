"""What the learning curves of several runs say together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from curriculum.statistics.episodes import iqm
from curriculum.statistics.runs import FEWEST_RUNS


class Band(NamedTuple):
    """The interquartile mean of runs along an axis, `[k]`, and its interval at each place."""

    at: np.ndarray
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray


def carried(at: np.ndarray, values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Returns the last value of a curve up to each place, NaN before its first.

    Args:
        at: `[n]`, where its values stand, rising.
        values: `[n]`.
        places: `[k]`.
    """
    last = np.searchsorted(at, places, side="right") - 1
    return np.where(last >= 0, np.asarray(values, np.float64)[np.maximum(last, 0)], np.nan)


def curve_band(
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
    confidence: float,
    rng: np.random.Generator,
    *,
    places: int = 200,
    resamples: int = 2000,
) -> Band | None:
    """Returns the interquartile mean of curves with bootstrap intervals over runs.

    A run that is over keeps its last value: what it deployed does not change any more.

    Args:
        curves: of each run where its values stand `[n_i]`, rising, and the values `[n_i]`.
        confidence: level of the intervals, each for itself.
        rng: of the resampling of runs.
        places: k, from where the last curve begins to where the longest ends.
        resamples: bootstrap samples.

    Returns:
        None of fewer than three runs, or if nothing is left where all have begun.
    """
    curves = [curve for curve in curves if len(curve[0])]
    if len(curves) < FEWEST_RUNS:
        return None
    first, last = max(at[0] for at, _ in curves), max(at[-1] for at, _ in curves)
    if not last > first:
        return None
    where = np.linspace(first, last, places)
    values = np.stack([carried(at, value, where) for at, value in curves])
    drawn = values[rng.integers(len(values), size=(resamples, len(values)))]
    means = iqm(np.moveaxis(drawn, 1, 2))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail], axis=0)
    return Band(where, iqm(values.T), low, high)
