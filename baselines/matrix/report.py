"""The report over the trainings of a matrix: every seed, and what they say together."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from baselines.results import CONFIDENCE, BaselineResult, examinations, results_in
from curriculum.seeds import generator
from curriculum.show.markdown import bullets, cell, code, table
from curriculum.show.words import NOTHING, count, duration, interval, number
from curriculum.statistics import (
    FEWEST_RUNS,
    Reach,
    bootstrap_interval,
    first_reach,
    interval_over_runs,
    iqm,
    mean,
    median_reach,
    spread,
)


@dataclass(frozen=True)
class Trained:
    """One finished training.

    Attributes:
        result: what it came to.
        reach: when its evaluations came to the target and stayed there, in steps; None without
            evaluations.
    """

    result: BaselineResult
    reach: Reach | None


def trained_in(out: Path, targets: Mapping[str, float]) -> list[Trained]:
    """Returns the finished trainings of a directory, random play left out.

    Args:
        out: parent of their directories.
        targets: scores that count as reached, by task; of others no reach is told.

    Raises:
        ConfigError: there is no baseline, or a result was not written by this program.
        RunIOError: a ledger cannot be read.
    """
    found = {path: r for path, r in results_in(out).items() if r.algo != "random"}
    return [
        Trained(result, _reach(path, targets.get(result.task))) for path, result in found.items()
    ]


def report_of(trained: Sequence[Trained], arguments: Sequence[str]) -> str:
    """Returns the report as Markdown.

    Args:
        trained: in any order.
        arguments: of `python -m baselines` that made them.
    """
    groups: dict[tuple[str, str, str], list[Trained]] = {}
    for one in sorted(trained, key=lambda t: (*_kind(t.result), t.result.seed)):
        groups.setdefault(_kind(one.result), []).append(one)
    parts = ["# Learners of Stable-Baselines3\n"]
    for (task, algo, setting), those in groups.items():
        parts += _section(task, algo, setting, those)
    words = shlex.join(["python", "-m", "baselines", *arguments])
    return "\n".join([*parts, "## How to make it again\n", code([words])])


def _reach(directory: Path, target: float | None) -> Reach | None:
    curve = examinations(directory)
    if target is None or not curve:
        return None
    return first_reach([e.steps for e in curve], [e.score for e in curve], target)


def _kind(result: BaselineResult) -> tuple[str, str, str]:
    return result.task, result.algo, result.setting


def _section(task: str, algo: str, setting: str, those: Sequence[Trained]) -> list[str]:
    header = ["seed", "policy", "score", f"{CONFIDENCE:.0%} interval", "median", "steps", "time"]
    rows = [_row(one) for one in those]
    groups = [np.array(one.result.scores) for one in those]
    scores = np.array([one.result.score for one in those])
    rng = generator(0, "baselines", task, algo)
    within, differ = interval_over_runs([scores], iqm, CONFIDENCE, rng), spread(groups)
    lines = [
        f"the interquartile mean of {len(those)} runs is {number(float(iqm(scores)))}"
        + (f", {CONFIDENCE:.0%} interval over runs {interval(within)}" if within else ""),
        f"scores of seeds differ by {number(differ.between)} (standard deviation), those of "
        f"episodes inside a run by {number(differ.within)}",
    ]
    if not within:
        lines.append(
            f"no interval over runs is told: {len(those)} of them say too little of how much seeds "
            f"differ, {FEWEST_RUNS} are the fewest"
        )
    lines += _reached(one.reach for one in those)
    whose = "" if setting == "same" else f", {setting} environments"
    title = f"## {cell(task)}, {algo.upper()}{whose}\n"
    return [title, table([*header, "target from"], rows), bullets(lines)]


def _row(one: Trained) -> list[str]:
    result, scores = one.result, np.array(one.result.scores)
    rng = generator(result.seed, "baselines", "row")
    within = bootstrap_interval([scores], mean, CONFIDENCE, rng)
    return [
        str(result.seed),
        result.policy,
        number(result.score),
        interval(within),
        number(float(np.median(scores))),
        count(result.env_steps),
        duration(result.seconds),
        NOTHING if one.reach is None else _from(one.reach),
    ]


def _from(reach: Reach) -> str:
    return f"{count(reach.at)} steps" if reach.reached else f"not by {count(reach.at)}"


def _reached(reaches: Iterable[Reach | None]) -> list[str]:
    known = [reach for reach in reaches if reach is not None]
    if not known:
        return []
    reached, middle = sum(reach.reached for reach in known), median_reach(known)
    median = (
        f"by {count(middle.at)} steps half of them had"
        if middle.reached
        else f"half of them had not by {count(middle.at)} steps"
    )
    return [f"{reached} of {len(known)} came to the target and stayed there; {median}"]
