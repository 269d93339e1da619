"""Statistics of episodes: means, bootstrap intervals, and who scores more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]
"""Maps `[..., n]` to `[...]`."""

RESAMPLES = 10_000

_DRAWN_TOGETHER = 1 << 20
"""Numbers of one seed's bootstrap that are in memory together."""


def mean(scores: np.ndarray) -> np.ndarray:
    """Returns the mean over the last axis, `[..., n]` to `[...]`."""
    return np.mean(scores, axis=-1)


def standard_error(scores: np.ndarray) -> float:
    """Returns the standard error of the mean of scores `[n]`, n >= 2."""
    return float(np.std(scores, ddof=1) / np.sqrt(len(scores)))


def iqm(scores: np.ndarray) -> np.ndarray:
    """Returns the interquartile mean: the mean without the lowest and the highest quarter.

    A quarter of n scores is rounded down, so with fewer than four nothing is left out.

    Args:
        scores: `[..., n]`, n >= 1.

    Returns:
        `[...]`. Agarwal et al. 2021, section 4.3.

    Raises:
        ValueError: there are no scores.
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
    """Returns a percentile bootstrap interval (Efron & Tibshirani 1993, ch. 13).

    Args:
        groups: scores `[n_i]` per seed, n_i >= 1; each group is resampled by itself, then all are
            pooled (Agarwal et al. 2021, section 4.1).
        statistic: of the pooled scores.
        confidence: level, in (0, 1).
        rng: of the resampling.
        resamples: bootstrap samples.

    Raises:
        ValueError: the level is none, or a group has no scores.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}, expected a number between 0 and 1")
    if not groups or not all(len(group) for group in groups):
        raise ValueError("an interval of no scores was asked for, expected at least one of a seed")
    drawn = [statistic(samples) for samples in _resampled(groups, rng, resamples)]
    return percentiles(np.concatenate(drawn), confidence)


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
    left, right = (
        drawn_with_replacement(ours, rng, resamples),
        drawn_with_replacement(theirs, rng, resamples),
    )
    drawn = [probability_of_improvement(x, y) for x, y in zip(left, right, strict=True)]
    return percentiles(np.array(drawn), confidence)


def _resampled(
    groups: Sequence[np.ndarray], rng: np.random.Generator, resamples: int
) -> Iterator[np.ndarray]:
    """Yields bootstrap samples `[rows, n]`, `resamples` rows in all.

    Those of several seeds come at once: the stream gives all of the first seed before the second.
    """
    if len(groups) > 1:
        yield np.concatenate(
            [drawn_with_replacement(group, rng, resamples) for group in groups], axis=1
        )
        return
    (group,) = groups
    rows = max(1, _DRAWN_TOGETHER // len(group))
    for first in range(0, resamples, rows):
        # The same stream as if all were drawn at once, which took 160 kB an episode.
        yield drawn_with_replacement(group, rng, min(rows, resamples - first))


def drawn_with_replacement(scores: np.ndarray, rng: np.random.Generator, rows: int) -> np.ndarray:
    """Draws `[rows, n]` of n scores with replacement."""
    values = np.asarray(scores, np.float64)
    return values[rng.integers(len(values), size=(rows, len(values)))]


def percentiles(drawn: np.ndarray, confidence: float) -> tuple[float, float]:
    """Returns the ends of what lies in the middle with a share of `confidence`."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return float(low), float(high)
