"""What several runs say together: runs are resampled, and the episodes of each stay with it.

Trainings differ by chance, and only other seeds tell how much; the episodes of a run tell how
exactly that one was judged. So a run counts by one number, the mean of its episodes, and resamples
draw runs. To draw episodes within them as well would count their chance twice, as it is in the
means already (Davison & Hinkley 1997, "Bootstrap Methods and their Application", section 3.8).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from curriculum.statistics.episodes import (
    RESAMPLES,
    Statistic,
    bootstrap_interval,
    drawn_with_replacement,
    percentiles,
    probability_of_improvement,
)

FEWEST_RUNS = 3
"""An interval over fewer says nothing: of two runs, all that can be told is the two."""


class Spread(NamedTuple):
    """How much scores differ, as standard deviations.

    Attributes:
        between: of the runs' means; 0 of one run.
        within: of episodes inside a run, by the runs' mean variance; 0 if each has one.
    """

    between: float
    within: float


class Profile(NamedTuple):
    """Shares of runs that score more than thresholds, `[k]` each, and their intervals."""

    shares: np.ndarray
    low: np.ndarray
    high: np.ndarray


def run_scores(episodes: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the scores of runs `[n]`, each the mean of its episodes `[m_i]`, m_i >= 1."""
    return np.array([np.mean(scores) for scores in episodes], np.float64)


def spread(episodes: Sequence[np.ndarray]) -> Spread:
    """Returns how much runs differ, and how much episodes do inside a run.

    Args:
        episodes: scores `[m_i]` of each run.
    """
    means = run_scores(episodes)
    between = float(np.std(means, ddof=1)) if len(means) > 1 else 0.0
    variances = [np.var(scores, ddof=1) for scores in episodes if len(scores) > 1]
    return Spread(between, float(np.sqrt(np.mean(variances))) if variances else 0.0)


def interval_over_runs(
    tasks: Sequence[np.ndarray],
    statistic: Statistic,
    confidence: float,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> tuple[float, float] | None:
    """Returns a stratified bootstrap interval over runs (Agarwal et al. 2021, section 4.1).

    Args:
        tasks: scores of runs `[n_t]` per task; each task's runs are resampled by themselves, then
            all are pooled. Of several tasks they have to be `normalised`.
        statistic: of the pooled scores.
        confidence: level, in (0, 1).
        rng: of the resampling.
        resamples: bootstrap samples.

    Returns:
        None if a task has fewer than three runs.
    """
    if not tasks or min(map(len, tasks)) < FEWEST_RUNS:
        return None
    return bootstrap_interval(tasks, statistic, confidence, rng, resamples)


def normalised(scores: np.ndarray, floor: float, target: float) -> np.ndarray:
    """Returns scores with `floor`, that of random play, at 0 and `target` at 1.

    Raises:
        ValueError: the target is not above the floor.
    """
    if not target > floor:
        raise ValueError(f"the target is {target}, expected more than the floor of {floor}")
    return (np.asarray(scores, np.float64) - floor) / (target - floor)


def optimality_gap(scores: np.ndarray) -> np.ndarray:
    """Returns by how much normalised scores `[..., n]` miss 1 on average; more than 1 is 1.

    Returns:
        `[...]`. Agarwal et al. 2021, section 4.3.
    """
    return np.mean(1.0 - np.minimum(scores, 1.0), axis=-1)


def performance_profile(
    tasks: Sequence[np.ndarray],
    thresholds: np.ndarray,
    confidence: float,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> Profile:
    """Returns the shares of runs that score more than each threshold, tasks counting alike.

    Args:
        tasks: scores of runs `[n_t]` per task, n_t >= 1, normalised if there are several.
        thresholds: `[k]`.
        confidence: level of the intervals, each for itself.
        rng: of the resampling of runs within tasks.
        resamples: bootstrap samples.

    Returns:
        Agarwal et al. 2021, section 4.2.
    """

    def shares(drawn: Sequence[np.ndarray]) -> np.ndarray:
        """Maps scores `[rows, n_t]` per task to `[rows, k]`."""
        above = [(task[:, :, None] > thresholds).mean(axis=1) for task in drawn]
        return np.mean(above, axis=0)

    found = shares([np.asarray(task, np.float64)[None] for task in tasks])[0]
    drawn = shares([drawn_with_replacement(task, rng, resamples) for task in tasks])
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail], axis=0)
    return Profile(found, low, high)


def improvement_over_runs(
    ours: Sequence[np.ndarray],
    theirs: Sequence[np.ndarray],
    confidence: float,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> tuple[float, tuple[float, float] | None]:
    """Returns the probability that a run of ours scores more than one of theirs, and its interval.

    Args:
        ours: scores of runs `[n_t]` per task.
        theirs: `[m_t]` per task, the same tasks.
        confidence: level.
        rng: of the resampling of both sides' runs within tasks.
        resamples: bootstrap samples.

    Returns:
        The mean of the tasks' probabilities, ties counting half (Agarwal et al. 2021, section 4.3);
        no interval if either side has a task with fewer than three runs.
    """
    pairs = list(zip(ours, theirs, strict=True))
    found = float(np.mean([probability_of_improvement(x, y) for x, y in pairs]))
    if min(len(runs) for pair in pairs for runs in pair) < FEWEST_RUNS:
        return found, None
    drawn = np.zeros(resamples)
    for x, y in pairs:
        left, right = (drawn_with_replacement(runs, rng, resamples) for runs in (x, y))
        more = left[:, :, None] - right[:, None, :]
        drawn += (0.5 + 0.5 * np.sign(more)).mean(axis=(1, 2)) / len(pairs)
    return found, percentiles(drawn, confidence)
