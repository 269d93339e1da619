"""Every statistic of scores: of the episodes of a run, of several runs, and of targets reached.

Few runs of few episodes are told by intervals and by an interquartile mean (Agarwal et al. 2021,
"Deep Reinforcement Learning at the Edge of the Statistical Precipice").
"""

from curriculum.statistics.curves import Band, carried, curve_band
from curriculum.statistics.episodes import (
    RESAMPLES,
    Statistic,
    bootstrap_interval,
    improvement_interval,
    iqm,
    mean,
    probability_of_improvement,
    standard_error,
)
from curriculum.statistics.reaching import (
    Ratio,
    Reach,
    first_reach,
    median_reach,
    times_sooner,
)
from curriculum.statistics.runs import (
    FEWEST_RUNS,
    Profile,
    Spread,
    improvement_over_runs,
    interval_over_runs,
    normalised,
    optimality_gap,
    performance_profile,
    run_scores,
    spread,
)

__all__ = [
    "FEWEST_RUNS",
    "RESAMPLES",
    "Band",
    "Profile",
    "Ratio",
    "Reach",
    "Spread",
    "Statistic",
    "bootstrap_interval",
    "carried",
    "curve_band",
    "first_reach",
    "improvement_interval",
    "improvement_over_runs",
    "interval_over_runs",
    "iqm",
    "mean",
    "median_reach",
    "normalised",
    "optimality_gap",
    "performance_profile",
    "probability_of_improvement",
    "run_scores",
    "spread",
    "standard_error",
    "times_sooner",
]
