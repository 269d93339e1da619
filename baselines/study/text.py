"""A study as Markdown and as JSON-compatible data: the same words and numbers as its page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from baselines.results import CONFIDENCE
from baselines.study.keeping import Outcome, span
from baselines.study.sides import Contest, Trial
from baselines.study.verdicts import Judged, Standing, Verdict
from curriculum.show.insights import MEASURED
from curriculum.show.markdown import bullets, cell, code, escape, table
from curriculum.show.words import NOTHING, count, duration, interval, number
from curriculum.statistics import FEWEST_RUNS, Ratio, Reach

LEVEL = f"{CONFIDENCE:.0%} interval over runs"
STANDINGS = ("task", "agent", "runs", "IQM", LEVEL, "runs differ by", "episodes within by")
STANDINGS += ("real steps", "time", "half at the target from", "and in")
VERDICTS = ("task", "than", "verdict", "a run of ours scores more", LEVEL, "fewer steps", LEVEL)
VERDICTS += ("less time", LEVEL, "usually claimed (steps)")
CLAIMS = ("claim", "task", "what was claimed", "it was", "because")
CLAIMED = "Claimed before the runs began"
AGAINST = "Ours against the others"
UNCLAIMED = f"{AGAINST}: what was not claimed before"
TOO_FEW = f"fewer than {FEWEST_RUNS} runs"
NOTES = (
    "Scores are means of full episodes with true rewards, one number a run; IQM is the "
    "interquartile mean of runs. Real steps are all that an agent ever saw of the environment, "
    "data for V and M and checks included, evaluation not, and so is time.",
    "Ours are at the target where a check of their practice and then the evaluation are; a "
    "baseline where two examinations in a row are, the first of which counts and the evaluation is "
    "the last. A run that never is counts as that, not as one left out.",
    "The word better, or worse, is only said where the interval over runs leaves out equality.",
)


def standing_row(contest: Contest, found: Standing) -> list[str]:
    """Returns the cells of one side, after `STANDINGS`."""
    if found.iqm is None:
        return [contest.task, found.agent, "0", *[NOTHING] * (len(STANDINGS) - 3)]
    minutes = found.minutes_to_target
    return [
        contest.task,
        found.agent,
        count(len(found.scores)),
        number(found.iqm),
        interval(found.interval) if found.interval else TOO_FEW,
        number(found.spread.between),
        number(found.spread.within),
        count(found.env_steps),
        duration(found.seconds),
        reach_words(found.steps_to_target),
        NOTHING if minutes is None else _by(duration(60.0 * minutes.at), minutes.reached),
    ]


def reach_words(reach: Reach | None) -> str:
    """Returns when half of the runs are at the target."""
    return NOTHING if reach is None else _by(f"{count(reach.at)} steps", reach.reached)


def verdict_row(contest: Contest, found: Verdict) -> list[str]:
    """Returns the cells of ours against one side, after `VERDICTS`."""
    if found.improvement is None:
        why = f"not measured: {found.why_not}"
        return [contest.task, found.agent, why, *[NOTHING] * (len(VERDICTS) - 3)]
    share, within = found.improvement
    return [
        contest.task,
        found.agent,
        found.word,
        number(share, 2),
        span(within) if within else TOO_FEW,
        *_ratio(found.steps),
        *_ratio(found.minutes),
        NOTHING if found.claimed is None else f"{found.claimed}×",
    ]


def claim_row(found: Outcome) -> list[str]:
    """Returns the cells of what became of a claim, after `CLAIMS`."""
    why = "; ".join(found.why)
    return [found.name, found.task, found.sentence, found.word, found.told or why or NOTHING]


def markdown(
    title: str, found: Sequence[Judged], commands: Sequence[str], claims: Sequence[Outcome] = ()
) -> str:
    """Returns the study as Markdown.

    Args:
        title: above it.
        found: the tasks.
        commands: that make it again.
        claims: what became of those made before the runs.
    """
    first = [line for judged in found for line in judged.headlines]
    parts = [f"# {escape(title)}\n", bullets(first) if first else ""]
    rows = [standing_row(j.contest, standing) for j in found for standing in j.standings]
    parts += ["## Where each stands\n", table(STANDINGS, rows)]
    if claims:
        rows = [list(map(cell, claim_row(claim))) for claim in claims]
        parts += [
            f"## {CLAIMED}\n",
            table(CLAIMS, rows),
            "SHA-256 of the plans:\n",
            code(hash_lines(claims)),
        ]
    against = [verdict_row(j.contest, verdict) for j in found for verdict in j.verdicts]
    if against:
        parts += [f"## {UNCLAIMED if claims else AGAINST}\n", table(VERDICTS, against)]
    parts += [*(f"{note}\n" for note in NOTES), "## Every run\n", table(RUNS, run_rows(found))]
    parts += ["## Where the time went\n", table(TIMES, time_rows(found))]
    known = [[j.contest.task, *row] for j in found for row in known_rows(j.contest)]
    if known:
        parts += ["## What V and M know\n", table(("task", *KNOWN), known)]
    different = [line for judged in found for line in judged.contest.differences]
    parts += ["## Rules that differ\n", bullets(different)]
    parts += ["## How to make it again\n", code(commands)]
    return "\n".join(parts)


RUNS = ("task", "agent", "run", "seed", "mode", "policy", "score", "episodes", "real steps", "time")
RUNS += ("at the target from", "counted")


def run_rows(found: Sequence[Judged]) -> list[list[str]]:
    """Returns a row for every run there is, counted or not, after `RUNS`."""
    return [
        [judged.contest.task, side.agent, *_trial(trial)]
        for judged in found
        for side in judged.contest.sides
        for trial in side.trials
    ]


def hash_lines(claims: Sequence[Outcome]) -> list[str]:
    """Returns the hash of each claim's plan."""
    return [f"{n}: {h}" for n, h in dict.fromkeys((claim.name, claim.hash) for claim in claims)]


TIMES = ("task", "agent", "run", "real steps a second", "what the time went into")


def time_rows(found: Sequence[Judged]) -> list[list[str]]:
    """Returns a row for every run whose time is known, after `TIMES`."""
    return [
        [
            judged.contest.task,
            side.agent,
            cell(trial.name),
            number(trial.env_steps / trial.seconds),
            trial.spent or NOTHING,
        ]
        for judged in found
        for side in judged.contest.sides
        for trial in side.trials
        if trial.seconds
    ]


def known_rows(contest: Contest) -> list[list[str]]:
    """Returns what V and M of each of our runs were measured by, after `KNOWN`."""
    return [
        [cell(trial.name), *measure]
        for side in contest.sides
        for trial in side.trials
        for measure in trial.measures
    ]


KNOWN = ("run", "stage", *MEASURED)


def facts(found: Sequence[Judged], claims: Sequence[Outcome] = ()) -> dict[str, Any]:
    """Returns the study as JSON-compatible data."""
    told = {"confidence": CONFIDENCE, "tasks": [_facts(judged) for judged in found]}
    return _plain({**told, "claims": [asdict(claim) for claim in claims]})


def _facts(judged: Judged) -> dict[str, Any]:
    contest = judged.contest
    sides = zip(judged.standings, contest.sides, strict=True)
    return {
        "task": contest.task,
        "target": contest.target,
        "headlines": judged.headlines,
        "sides": [{**asdict(s), "runs": [asdict(t) for t in side.trials]} for s, side in sides],
        "verdicts": [{**asdict(v), "verdict": v.word} for v in judged.verdicts],
        "differences": contest.differences,
    }


def _trial(trial: Trial) -> list[str]:
    reach = trial.steps_to_target
    return [
        cell(trial.name),
        str(trial.seed),
        trial.mode or NOTHING,
        trial.policy or NOTHING,
        NOTHING if trial.score is None else number(trial.score),
        count(len(trial.scores)),
        count(trial.env_steps),
        duration(trial.seconds),
        reach_words(reach),
        "no" if trial.apart else "yes",
    ]


def _ratio(ratio: Ratio | None) -> list[str]:
    if ratio is None:
        return [NOTHING, NOTHING]
    least = "at least " if ratio.at_least else ""
    told = f"{least}{number(ratio.value, 2)}×"
    if ratio.interval is None:
        return [told, TOO_FEW]
    return [told, span(ratio.interval)]


def _by(words: str, reached: bool) -> str:
    return words if reached else f"not by {words}"


def _plain(value: Any) -> Any:
    """Turns arrays into lists and what is infinite into text, as JSON knows neither."""
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
