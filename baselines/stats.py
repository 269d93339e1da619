"""Statistics for few runs of few episodes: interquartile mean, bootstrap intervals, improvement."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Statistic = Callable[[np.ndarray], np.ndarray]
"""Maps `[..., n]` to `[...]`."""

RESAMPLES = 10_000


def mean(scores: np.ndarray) -> np.ndarray:
    """Returns the mean over the last axis, `[..., n]` to `[...]`."""
    return np.mean(scores, axis=-1)


def iqm(scores: np.ndarray) -> np.ndarray:
    """Returns the interquartile mean: the mean without the lowest and the highest quarter.

    A quarter of n scores is rounded down, so with fewer than four nothing is left out.

    Args:
        scores: `[..., n]`, n >= 1.

    Returns:
        `[...]`. Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
        Precipice", section 4.3.
    """
    ordered = np.sort(np.asarray(scores, np.float64), axis=-1)
    size = ordered.shape[-1]
    if size == 0:
        raise ValueError("the interquartile mean of no scores was asked for, expected at least one")
    cut = size // 4
    return np.mean(ordered[..., cut : size - cut], axis=-1)


def bootstrap_interval(
    groups: Sequence[np.ndarray],
    statistic: Statistic,
    confidence: float,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Returns a stratified percentile bootstrap interval (Agarwal et al. 2021, section 4.1).

    Args:
        groups: scores `[n_i]` per seed; each group is resampled by itself, then all are pooled.
        statistic: of the pooled scores.
        confidence: level, in (0, 1).
        rng: of the resampling.
        resamples: bootstrap samples.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}, expected a number between 0 and 1")
    samples = np.concatenate([_resampled(group, rng, resamples) for group in groups], axis=1)
    return _percentiles(statistic(samples), confidence)


def probability_of_improvement(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Returns the probability that an episode of ours scores more than one of theirs.

    Ties count half (Mann & Whitney 1947; Agarwal et al. 2021, section 4.3).

    Args:
        ours: scores `[n]`.
        theirs: scores `[m]`.
    """
    ordered = np.sort(np.asarray(theirs, np.float64))
    below = np.searchsorted(ordered, ours, side="left")
    not_above = np.searchsorted(ordered, ours, side="right")
    return float(np.mean(below + not_above) / (2.0 * len(ordered)))


def improvement_interval(
    ours: np.ndarray,
    theirs: np.ndarray,
    confidence: float,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> tuple[float, float]:
    """Returns a percentile bootstrap interval of the probability of improvement."""
    left, right = _resampled(ours, rng, resamples), _resampled(theirs, rng, resamples)
    drawn = [probability_of_improvement(x, y) for x, y in zip(left, right, strict=True)]
    return _percentiles(np.array(drawn), confidence)


def _resampled(scores: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    """Draws `[resamples, n]` scores with replacement."""
    values = np.asarray(scores, np.float64)
    return values[rng.integers(len(values), size=(resamples, len(values)))]


def _percentiles(drawn: np.ndarray, confidence: float) -> tuple[float, float]:
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return float(low), float(high)
