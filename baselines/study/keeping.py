"""Whether claims were kept: each is judged by the runs that its plan names, and by no others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from baselines.results import LEDGER, RESULT, read_result
from baselines.study.claims import Claim, pinned
from baselines.study.sides import AGENTS, OURS, Contest, Side, Trial
from baselines.study.verdicts import Verdict, verdicts
from curriculum.config.schema import Config
from curriculum.config.writing import changes
from curriculum.records.files import to_json
from curriculum.records.ledger import read_events
from curriculum.records.rundir import RunDir
from curriculum.show.words import number
from curriculum.statistics import Ratio

KEPT, NOT_KEPT, UNDECIDED, OPEN, VOID = (
    "kept",
    "not kept",
    "not told apart by these runs",
    "open",
    "no claim",
)
_SHOWN = 3


@dataclass(frozen=True)
class Outcome:
    """What became of a claim on one task.

    Attributes:
        name: of the claim.
        hash: of its plan.
        task: it speaks of.
        agent: what ours were held against.
        sentence: the claim in words.
        word: `kept`, `not kept`, `not told apart by these runs`; `open` where runs are missing; `no
            claim` where the plan was changed or was not followed.
        told: the number that decided, with its interval over runs; empty if there is none.
        why: what is missing, or was done otherwise.
    """

    name: str
    hash: str
    task: str
    agent: str
    sentence: str
    word: str
    told: str = ""
    why: tuple[str, ...] = ()


def outcomes(claims: Sequence[Claim], found: Sequence[Contest]) -> list[Outcome]:
    """Judges claims by the runs of a comparison.

    Raises:
        ConfigError: a plan's configuration is not understood.
        RunIOError: a ledger cannot be read.
    """
    by_task = {contest.task: contest for contest in found}
    nothing = Contest("", None, (Side(OURS, ()),))
    return [
        _outcome(claim, by_task.get(task, replace(nothing, task=task)))
        for claim in claims
        for task in claim.plan.tasks
    ]


def _outcome(claim: Claim, contest: Contest) -> Outcome:
    plan, agent = claim.plan, AGENTS[claim.plan.against, claim.plan.setting]
    base = Outcome(
        plan.name, plan.hash, contest.task, agent, plan.sentence(agent), VOID, why=(claim.broken,)
    )
    if claim.broken:
        return base
    sides = {side.agent: side for side in contest.sides}
    ours = _planned(sides.get(OURS), claim)
    theirs = _planned(sides.get(agent), claim)
    config = plan.config()
    otherwise = [
        *(text for trial in ours for text in _ours_otherwise(trial, claim, contest.task, config)),
        *(text for trial in theirs for text in _theirs_otherwise(trial, claim, contest.task)),
        *_twice(OURS, ours),
        *_twice(agent, theirs),
    ]
    if otherwise:
        return replace(base, why=tuple(otherwise))
    missing = [*_missing(OURS, ours, plan.seeds), *_missing(agent, theirs, plan.seeds)]
    if missing:
        return replace(base, word=OPEN, why=tuple(missing))
    only = replace(contest, sides=(Side(OURS, tuple(ours)), Side(agent, tuple(theirs))))
    (verdict,) = verdicts(only)
    return _judged(base, claim, verdict)


def _judged(base: Outcome, claim: Claim, verdict: Verdict) -> Outcome:
    if claim.plan.metric == "score":
        if verdict.improvement is None:
            return replace(base, word=OPEN, why=(verdict.why_not,))
        share, within = verdict.improvement
        told = f"a run of ours scores more with probability {number(share, 2)}"
        if within is None:
            return replace(base, word=UNDECIDED, told=told, why=("too few runs",))
        word = {"better": KEPT, "worse": NOT_KEPT}.get(verdict.word, UNDECIDED)
        return replace(base, word=word, told=f"{told} {span(within)}", why=())
    ratio = verdict.steps if claim.plan.metric == "steps-to-target" else verdict.minutes
    if ratio is None:
        why = verdict.why_not or "the target, or when it was reached, is not known"
        return replace(base, word=OPEN, why=(why,))
    return _by_ratio(base, ratio, claim.plan.times)


def _by_ratio(base: Outcome, ratio: Ratio, times: float) -> Outcome:
    least = "at least " if ratio.at_least else ""
    told = f"{least}{number(ratio.value, 2)} times fewer"
    if ratio.interval is None:
        return replace(base, word=UNDECIDED, told=told, why=("too few runs",))
    low, high = ratio.interval
    word = KEPT if low > times else NOT_KEPT if high < times else UNDECIDED
    return replace(base, word=word, told=f"{told} {span(ratio.interval)}", why=())


def span(ends: tuple[float, float]) -> str:
    """Writes an interval over runs, an end of which may be infinite."""
    low, high = ("∞" if math.isinf(end) else number(end, 2) for end in ends)
    return f"[{low}, {high}]"


def _planned(side: Side | None, claim: Claim) -> list[Trial]:
    """Returns the trials whose seeds the plan names, those set apart among them."""
    return [t for t in side.trials if t.seed in claim.plan.seeds] if side else []


def _missing(agent: str, trials: Iterable[Trial], seeds: Sequence[int]) -> Iterator[str]:
    trials = list(trials)
    left = [str(seed) for seed in seeds if seed not in {trial.seed for trial in trials}]
    if left:
        yield f"of {agent} the seeds {', '.join(left)} are not among the runs"
    yield from (f"{agent}, {trial.name}: {trial.apart}" for trial in trials if trial.apart)


def _twice(agent: str, trials: Sequence[Trial]) -> Iterator[str]:
    seeds = [trial.seed for trial in trials]
    for seed in sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        yield f"of {agent} there are several runs of seed {seed}, and the plan knows of one"


def _ours_otherwise(trial: Trial, claim: Claim, task: str, planned: Config) -> Iterator[str]:
    yield from _too_early(trial, trial.began, claim)
    if trial.forked:
        yield f"{trial.name} took over what another run had learned"
    yield from _listed(trial, _differing(planned, RunDir.open(Path(trial.where)).config(), task))


def _differing(planned: Config, used: Config, task: str) -> list[str]:
    only = [
        replace(config, seed=0, tasks=tuple(t for t in config.tasks if t.name == task))
        for config in (planned, used)
    ]
    return changes(*only)


def _theirs_otherwise(trial: Trial, claim: Claim, task: str) -> Iterator[str]:
    home = Path(trial.where)
    started = (e for e in read_events(home / LEDGER) if e["event"] == "baseline_started")
    yield from _too_early(trial, next((float(e["t"]) for e in started), None), claim)
    result, plan = read_result(home / RESULT), claim.plan
    every = max(plan.steps // plan.evaluations, 1)
    wanted = _flat(
        plan.policy,
        plan.episodes,
        int(plan.theirs[task]["steps"]) // every + 1,  # the evaluation is the last
        plan.theirs[task],
        plan.rules[task],
    )
    was = _flat(
        result.policy,
        len(result.scores),
        len(trial.curve),
        pinned(result.settings),
        to_json(result.env),
    )
    different = [key for key in {**wanted, **was} if wanted.get(key) != was.get(key)]
    yield from _listed(trial, [f"{k}: {wanted.get(k)!r} -> {was.get(k)!r}" for k in different])


def _flat(
    policy: str,
    episodes: int,
    examinations: int,
    settings: Mapping[str, Any],
    rules: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "policy": policy,
        "episodes": episodes,
        "examinations": examinations,
        **{f"settings.{key}": value for key, value in settings.items()},
        **{f"env.{key}": value for key, value in rules.items()},
    }


def _too_early(trial: Trial, began: float | None, claim: Claim) -> Iterator[str]:
    if began is None:
        yield f"{trial.name} does not tell when it began"
    elif began < claim.made:
        yield f"{trial.name} was begun before the claim was made"


def _listed(trial: Trial, differences: Sequence[str]) -> Iterator[str]:
    if differences:
        more = len(differences) - _SHOWN
        told = "; ".join(differences[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
        yield f"{trial.name} is not by the plan: {told}"
