"""What a contest says: scores of each side, and what runs tell of one against another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from baselines.results import CONFIDENCE
from baselines.study.sides import OURS, PPO, PPO_STOCK, RANDOM, Contest, Side
from curriculum.seeds import generator
from curriculum.statistics import (
    FEWEST_RUNS,
    Ratio,
    Reach,
    Spread,
    improvement_over_runs,
    interval_over_runs,
    iqm,
    median_reach,
    normalised,
    run_scores,
    spread,
    times_sooner,
)

USUALLY_CLAIMED: Mapping[str, float] = {
    "pong": 2.3,
    "lunarlander": 1.8,
    "breakout": 2.1,
    "carracing": 2.7,
}
"""How many times fewer steps world models are usually said to need than PPO."""

ZOO_STEPS: Mapping[str, float] = {"pong": 1.97e6, "lunarlander": 0.44e6, "breakout": 5.31e6}
"""Steps at which the logs of rl-baselines3-zoo's published PPO agents came to our targets."""
RANDOM_SCORES: Mapping[str, float] = {"pong": -20.7, "lunarlander": -180.0, "breakout": 1.7}
"""What random play scores, about, where no run of it is at hand."""

_BROKEN, _HALFWAY = 2.0, 0.5


@dataclass(frozen=True)
class Standing:
    """One side of a contest.

    Attributes:
        agent: whose.
        scores: of each counted run, `[n]`.
        iqm: of them; None without any.
        interval: of the interquartile mean over runs; None of fewer than three.
        spread: how much runs differ, and episodes inside them.
        episodes: of all counted runs.
        env_steps, seconds: means over runs.
        steps_to_target, minutes_to_target: medians; None where there is no target.
    """

    agent: str
    scores: np.ndarray
    iqm: float | None
    interval: tuple[float, float] | None
    spread: Spread
    episodes: int
    env_steps: float
    seconds: float
    steps_to_target: Reach | None
    minutes_to_target: Reach | None


@dataclass(frozen=True)
class Verdict:
    """Ours against one other side.

    Attributes:
        agent: whose the other side is.
        why_not: why nothing can be said; empty if something can.
        improvement: probability that a run of ours scores more, and its interval over runs.
        steps, minutes: how many times sooner ours come to the target; None where that is unknown.
        claimed: the ratio of steps that is usually claimed against PPO; None of others.
        warnings: what makes the other side no fair rival.
    """

    agent: str
    why_not: str = ""
    improvement: tuple[float, tuple[float, float] | None] | None = None
    steps: Ratio | None = None
    minutes: Ratio | None = None
    claimed: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """Returns `better` or `worse` where the interval over runs leaves out equality."""
        if self.why_not or self.improvement is None:
            return "not measured"
        interval = self.improvement[1]
        if interval is None or interval[0] <= 0.5 <= interval[1]:
            return "not told apart by these runs"
        return "better" if interval[0] > 0.5 else "worse"


@dataclass(frozen=True)
class Judged:
    """A contest with all that is said of it, worked out once.

    Attributes:
        contest: what was held against each other.
        standings: of its sides, in their order.
        verdicts: ours against each other side.
        headlines: what a reader must know before any number.
    """

    contest: Contest
    standings: tuple[Standing, ...]
    verdicts: tuple[Verdict, ...]
    headlines: tuple[str, ...]


def judged(contest: Contest) -> Judged:
    """Works out what a contest says."""
    found = tuple(verdicts(contest))
    standings = tuple(standing(contest, side) for side in contest.sides)
    return Judged(contest, standings, found, tuple(headlines(contest, found)))


def standing(contest: Contest, side: Side) -> Standing:
    """Returns what the counted runs of a side say together."""
    counted = side.counted
    groups = [np.array(trial.scores, np.float64) for trial in counted]
    scores = run_scores(groups)
    rng = generator(0, "study", contest.task, side.agent)
    return Standing(
        agent=side.agent,
        scores=scores,
        iqm=float(iqm(scores)) if len(scores) else None,
        interval=interval_over_runs([scores], iqm, CONFIDENCE, rng),
        spread=spread(groups) if groups else Spread(0.0, 0.0),
        episodes=sum(map(len, groups)),
        env_steps=float(np.mean([t.env_steps for t in counted])) if counted else 0.0,
        seconds=float(np.mean([t.seconds for t in counted])) if counted else 0.0,
        steps_to_target=_median(trial.steps_to_target for trial in counted),
        minutes_to_target=_median(trial.minutes_to_target for trial in counted),
    )


def verdicts(contest: Contest) -> list[Verdict]:
    """Returns ours against each other side of a contest."""
    ours = next(side for side in contest.sides if side.agent == OURS)
    return [_verdict(contest, ours, side) for side in contest.sides if side.agent != OURS]


def _verdict(contest: Contest, ours: Side, theirs: Side) -> Verdict:
    mine, other = ours.counted, theirs.counted
    warnings = tuple(_unfair(contest, theirs))
    if not mine or not other:
        return Verdict(theirs.agent, "ours was not measured" if not mine else "no run is counted")
    played, against = ({trial.env_id for trial in side} for side in (mine, other))
    if played != against:
        listed = " and ".join(sorted(played)), " and ".join(sorted(against))
        return Verdict(theirs.agent, f"not comparable: ours played {listed[0]}, it {listed[1]}")
    rng = generator(0, "study", contest.task, "against", theirs.agent)
    left, right = (run_scores([np.array(t.scores) for t in side]) for side in (mine, other))
    improvement = improvement_over_runs([left], [right], CONFIDENCE, rng)
    ratios: list[Ratio | None] = []
    for name in ("steps_to_target", "minutes_to_target"):
        here, there = (_known(getattr(trial, name) for trial in side) for side in (mine, other))
        told = here and there and theirs.agent != RANDOM
        ratios.append(times_sooner(here, there, CONFIDENCE, rng) if told else None)
    claimed = USUALLY_CLAIMED.get(contest.task) if theirs.agent in (PPO, PPO_STOCK) else None
    return Verdict(theirs.agent, "", improvement, ratios[0], ratios[1], claimed, warnings)


def _unfair(contest: Contest, side: Side) -> list[str]:
    """Says where PPO did not come to what its authors' settings are known to come to."""
    usual = ZOO_STEPS.get(contest.task)
    reaches = _known(trial.steps_to_target for trial in side.counted)
    if side.agent not in (PPO, PPO_STOCK) or usual is None or not reaches:
        return []
    median = median_reach(reaches)
    if median.reached and median.at <= _BROKEN * usual:
        return []
    if not median.reached and median.at >= usual and _lags(contest, side):
        return [
            f"{side.agent} scores no more than halfway from random play to the target of "
            f"{contest.task} after {median.at:,.0f} steps, where rl-zoo's published agent took "
            f"{usual:,.0f} to it: this baseline may be broken"
        ]
    if not median.reached and median.at < usual:
        return [
            f"{side.agent} was trained for {median.at:,.0f} steps on {contest.task}, where "
            f"rl-zoo's published agent took {usual:,.0f} to the target: too few to judge it"
        ]
    if not median.reached and median.at < _BROKEN * usual:
        return []
    return [
        f"{side.agent} did not come to the target of {contest.task} within twice the {usual:,.0f} "
        f"steps that rl-zoo's published agent took: this baseline may be broken"
    ]


def _lags(contest: Contest, side: Side) -> bool:
    """Tells whether a side's runs are nearer to random play than to the target."""
    floor = floor_of(contest)
    floor = RANDOM_SCORES.get(contest.task) if floor is None else floor
    if floor is None or contest.target is None or not contest.target > floor:
        return False
    scores = run_scores([np.array(trial.scores, np.float64) for trial in side.counted])
    return bool(iqm(normalised(scores, floor, contest.target)) < _HALFWAY)


def headlines(contest: Contest, found: Sequence[Verdict]) -> list[str]:
    """Says first what a reader must know before any number.

    Args:
        contest: whose runs may be set apart, or too few.
        found: its verdicts.
    """
    told = []
    for side in contest.sides:
        for trial in side.trials:
            if trial.apart:
                told.append(f"{contest.task}, {side.agent}, {trial.name}: set apart, {trial.apart}")
        few = len(side.counted)
        if side.agent != RANDOM and 0 < few < FEWEST_RUNS:
            those = "one run" if few == 1 else f"{few} runs"
            told.append(
                f"{contest.task}, {side.agent}: {those}, which say too little of how much seeds "
                f"differ; no interval is told"
            )
    return told + [warning for verdict in found for warning in verdict.warnings]


def _known(reaches: Iterable[Reach | None]) -> list[Reach]:
    return [reach for reach in reaches if reach is not None]


def _median(reaches: Iterable[Reach | None]) -> Reach | None:
    known = _known(reaches)
    return median_reach(known) if known else None


def floor_of(contest: Contest) -> float | None:
    """Returns the mean score of random play, if it was measured."""
    scores: Sequence[float] = [
        trial.score
        for side in contest.sides
        if side.agent == RANDOM
        for trial in side.counted
        if trial.score is not None
    ]
    return float(np.mean(scores)) if scores else None
