"""When runs reach a target, in steps or minutes, and how many times sooner than others.

A run that never does was watched up to some point and may have done so later: it is censored there.
It is neither left out, which would flatter, nor taken to have reached the target where it ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from curriculum.statistics.episodes import RESAMPLES
from curriculum.statistics.runs import FEWEST_RUNS

STAYS = 2
"""Evaluations in a row that have to be at the target, for one may be luck."""


class Reach(NamedTuple):
    """When a run reached its target.

    Attributes:
        at: steps, or any other unit; where it is censored, how far it was watched.
        reached: whether it did.
    """

    at: float
    reached: bool


class Ratio(NamedTuple):
    """How many times as long theirs take as ours.

    Attributes:
        value: of the medians; above 1, ours are sooner.
        at_least: theirs did not reach the target by the median, and the value is what they were
            watched for by ours.
        interval: over runs; where theirs often do not reach it, from how long they were watched to
            infinity, where ours do not, from 0; None if either side has fewer than three runs.
    """

    value: float
    at_least: bool
    interval: tuple[float, float] | None

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves out 1."""
        return self.interval is not None and not self.interval[0] <= 1.0 <= self.interval[1]


def first_reach(
    at: Sequence[float], scores: Sequence[float], target: float, stays: int = STAYS
) -> Reach:
    """Returns when a run's evaluations came to the target and stayed there.

    Args:
        at: of each evaluation, growing, `[k]`, k >= 1.
        scores: their means, `[k]`.
        target: that counts as reached.
        stays: evaluations in a row that it takes; the first of them is when.

    Raises:
        ValueError: there are no evaluations, or not as many scores.
    """
    if not at or len(at) != len(scores):
        raise ValueError(f"{len(at)} times and {len(scores)} scores, expected as many, at least 1")
    there = np.asarray(scores, np.float64) >= target
    for first in range(len(there) - stays + 1):
        if there[first : first + stays].all():
            return Reach(float(at[first]), True)
    return Reach(float(at[-1]), False)


def median_reach(runs: Sequence[Reach]) -> Reach:
    """Returns when half of the runs have reached the target (Kaplan & Meier 1958).

    Returns:
        The first time by which the estimated share of runs that have not is at most a half;
        censored at the longest watch if there is none.

    Raises:
        ValueError: there are no runs.
    """
    if not runs:
        raise ValueError("the median of no runs was asked for, expected at least one")
    at, reached = (np.array(column) for column in zip(*runs, strict=True))
    found = _medians(at[None], reached[None])[0]
    return Reach(float(found), True) if np.isfinite(found) else Reach(float(at.max()), False)


def times_sooner(
    ours: Sequence[Reach],
    theirs: Sequence[Reach],
    confidence: float,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Ratio | None:
    """Returns the ratio of their median to ours: the sample efficiency, if counted in steps.

    Args:
        ours, theirs: of every run.
        confidence: level of the interval.
        rng: of the resampling of both sides' runs.
        resamples: bootstrap samples.

    Returns:
        None if ours did not reach the target by the median, and nothing is known but that. In a
        resample whose median does not, it lies anywhere beyond the longest watch.
    """
    mine, other = median_reach(ours), median_reach(theirs)
    if not mine.reached:
        return None
    interval = None
    if min(len(ours), len(theirs)) >= FEWEST_RUNS:
        tail = (1.0 - confidence) / 2.0
        left, right = (_drawn_medians(runs, rng, resamples) for runs in (ours, theirs))
        low = np.quantile(right.earliest / left.latest, tail, method="lower")
        high = np.quantile(right.latest / left.earliest, 1.0 - tail, method="higher")
        interval = (float(low), float(high))
    return Ratio(other.at / mine.at, not other.reached, interval)


class _Drawn(NamedTuple):
    """Medians of resamples: the same twice, or the longest watch and infinity, `[resamples]`."""

    earliest: np.ndarray
    latest: np.ndarray


def _drawn_medians(runs: Sequence[Reach], rng: np.random.Generator, resamples: int) -> _Drawn:
    at, reached = (np.array(column) for column in zip(*runs, strict=True))
    drawn = rng.integers(len(runs), size=(resamples, len(runs)))
    medians = _medians(at[drawn], reached[drawn])
    longest = at[drawn].max(axis=1).astype(np.float64)
    return _Drawn(np.where(np.isinf(medians), longest, medians), medians)


def _medians(at: np.ndarray, reached: np.ndarray) -> np.ndarray:
    """Returns Kaplan-Meier medians of rows `[rows, n]`, infinite where the estimate stays above.

    Of runs at one time those that reached the target come first, as is usual.
    """
    order = np.lexsort((~reached, at), axis=1)
    at, reached = (np.take_along_axis(each, order, axis=1) for each in (at, reached))
    watched = np.arange(at.shape[1], 0, -1)
    left = np.cumprod(1.0 - reached / watched, axis=1)
    half = left <= 0.5 + 1e-12
    first = half.argmax(axis=1)[:, None]
    times = np.take_along_axis(at, first, axis=1)[:, 0].astype(np.float64)
    return np.where(half.any(axis=1), times, np.inf)
