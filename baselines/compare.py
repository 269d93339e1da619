"""Our agents beside the baselines, as Markdown; what was not measured is not invented."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from baselines.results import CONFIDENCE, BaselineResult, load_results
from curriculum.config.schema import EnvConfig, TaskConfig
from curriculum.config.writing import plain_of
from curriculum.records.facts import finite
from curriculum.records.ledger import read_events
from curriculum.records.rundir import RunDir
from curriculum.seeds import generator
from curriculum.show.markdown import bullets, code, escape, table
from curriculum.show.summary import RunSummary, StageRow, summarise
from curriculum.show.words import count, duration, interval, number, outcome, plain
from curriculum.statistics import (
    bootstrap_interval,
    improvement_interval,
    iqm,
    mean,
    probability_of_improvement,
)
from curriculum.tasks import load_config

NOT_MEASURED = "not measured"
ALGORITHMS = {"ppo": "PPO (SB3)", "random": "random"}
IGNORED_RULES = frozenset({"num_envs", "simulation"})
"""Keys of a task's `env` section that do not change the game."""


@dataclass(frozen=True)
class Contender:
    """One row: an agent's measured play of one task.

    Attributes:
        name, mode, env_id, policy: who played, and what.
        groups: scores per seed.
        env_steps, seconds: of its training, the mean over seeds.
        speed: environment steps a second while its controller learns; of a baseline that is all of
            its training. None where nothing was timed.
        ending: whether it reached the target, in words.
    """

    name: str
    mode: str
    env_id: str
    policy: str
    groups: tuple[np.ndarray, ...]
    env_steps: float
    seconds: float
    speed: float | None
    ending: str

    @property
    def scores(self) -> np.ndarray:
        """All scores, pooled."""
        return np.concatenate(self.groups)


def compare(run: Path, baseline: Path) -> str:
    """Returns the comparison of a run with the baselines of a directory, as Markdown.

    Args:
        run: a run directory.
        baseline: holds finished baselines, at any depth.

    Raises:
        ConfigError: either holds nothing of the kind.
    """
    rundir = RunDir.open(run)
    tasks = {task.name: task for task in load_config(rundir.config_path).tasks}
    summary = summarise(read_events(rundir.ledger_path))
    results = load_results(baseline)
    names = [*tasks, *dict.fromkeys(r.task for r in results if r.task not in tasks)]
    rows: list[Sequence[str]] = []
    improvements: list[Sequence[str]] = []
    for name in names:
        ours = our_agent(summary, name)
        rows.append(_row(name, "ours", ours))
        for algo, shown in ALGORITHMS.items():
            theirs = baseline_agent([r for r in results if (r.task, r.algo) == (name, algo)], tasks)
            rows.append(_row(name, shown, theirs))
            improvements.append([name, shown, *_improvement(ours, theirs)])
    return _markdown(run, baseline, rows, improvements, _differences(tasks, results))


def our_agent(summary: RunSummary, task: str) -> Contender | None:
    """Returns a run's agent from its last evaluation, or None if it has no score."""
    verdict = next((v for v in summary.verdicts if v.get("task") == task), None)
    if verdict is None or verdict.get("score") is None:
        return None
    evaluations = [e for e in summary.evaluations(task) if e.mode == verdict.get("mode")]
    if not evaluations:
        return None
    place = (task, verdict.get("mode"))
    told = evaluations[-1].evaluation
    scores = np.array(told.scores if told else ())
    if not scores.size and not finite(verdict["score"]):
        return None
    scores = scores if scores.size else np.array([verdict["score"]])
    return Contender(
        name="ours",
        mode=plain(verdict.get("mode")),
        env_id=plain(verdict.get("env_id")),
        policy=plain(verdict.get("policy")),
        groups=(scores.astype(np.float64),),
        env_steps=float(verdict.get("env_steps") or 0),
        seconds=float(verdict.get("seconds") or 0),
        speed=_speed([s for s in summary.stages if (s.task, s.mode) == place]),
        ending=outcome(verdict.get("verdict"), verdict.get("mode")),
    )


def baseline_agent(
    results: Sequence[BaselineResult], tasks: Mapping[str, TaskConfig]
) -> Contender | None:
    """Returns the agent that several seeds of one baseline make, or None if there are none."""
    if not results:
        return None
    first, score = results[0], float(np.mean([r.score for r in results]))
    known = tasks.get(first.task)
    ending = NOT_MEASURED if known is None else "yes" if score >= known.target else "no"
    return Contender(
        name=ALGORITHMS[first.algo],
        mode="real environment",
        env_id=first.env_id,
        policy=first.policy,
        groups=tuple(np.array(r.scores, np.float64) for r in results),
        env_steps=float(np.mean([r.env_steps for r in results])),
        seconds=float(np.mean([r.seconds for r in results])),
        speed=_ratio(sum(r.env_steps for r in results), sum(r.seconds for r in results)),
        ending=ending,
    )


def _speed(stages: Sequence[StageRow]) -> float | None:
    learning = [s for s in stages if s.stage == "controller"]
    return _ratio(sum(s.env_steps or 0 for s in learning), sum(s.seconds or 0 for s in learning))


def _ratio(steps: float, seconds: float) -> float | None:
    return steps / seconds if steps and seconds else None


def _row(task: str, shown: str, agent: Contender | None) -> list[str]:
    if agent is None:
        return [task, shown, *[NOT_MEASURED] * 12]
    rng = generator(0, "compare", task, shown)
    within = bootstrap_interval(agent.groups, mean, CONFIDENCE, rng)
    return [
        task,
        shown,
        agent.mode,
        agent.policy,
        number(float(mean(agent.scores))),
        interval(within),
        number(float(iqm(agent.scores))),
        interval(bootstrap_interval(agent.groups, iqm, CONFIDENCE, rng)),
        count(len(agent.scores)),
        count(len(agent.groups)),
        count(agent.env_steps),
        duration(agent.seconds),
        NOT_MEASURED if agent.speed is None else count(agent.speed),
        agent.ending,
    ]


def _improvement(ours: Contender | None, theirs: Contender | None) -> list[str]:
    """Returns the probability that ours scores higher, or why there is none."""
    if ours is None or theirs is None:
        return [NOT_MEASURED, ""]
    if ours.env_id != theirs.env_id:
        return [f"not comparable: ours played {ours.env_id}, it played {theirs.env_id}", ""]
    rng = generator(0, "compare", "improvement", theirs.name)
    within = improvement_interval(ours.scores, theirs.scores, CONFIDENCE, rng)
    probability = probability_of_improvement(ours.scores, theirs.scores)
    return [number(probability, 2), f"[{number(within[0], 2)}, {number(within[1], 2)}]"]


def _differences(tasks: Mapping[str, TaskConfig], results: Sequence[BaselineResult]) -> list[str]:
    """Says where a baseline played by other rules than the run."""
    said: dict[str, None] = {}
    for result in results:
        if result.task not in tasks:
            continue
        # A result that is older than a rule was played by the rule's default.
        ours, theirs = plain_of(tasks[result.task].env), plain_of(EnvConfig()) | result.env
        for key in sorted(ours.keys() - IGNORED_RULES):
            if theirs.get(key) != ours[key]:
                said[
                    f"{result.task}: env.{key} was {theirs.get(key)!r} for {result.algo}, "
                    f"{ours[key]!r} for us"
                ] = None
    return list(said)


def _markdown(
    run: Path,
    baseline: Path,
    rows: Sequence[Sequence[Any]],
    improvements: Sequence[Sequence[Any]],
    differences: Sequence[str],
) -> str:
    level = f"{CONFIDENCE:.0%} interval"
    again = shlex.join([str(run), "--baseline", str(baseline)])
    header = ["task", "agent", "mode", "policy", "score", level, "IQM", f"IQM {level}"]
    header += ["episodes", "seeds", "env steps", "wall time", "steps/s", "reaches target"]
    return "\n".join(
        [
            f"# {escape(run.name)} beside its baselines\n",
            table(header, rows),
            "Scores are means of full episodes with true rewards. Environment steps and wall time "
            "are those of learning, data for the world model included, evaluation not; of several "
            "seeds, the mean. Steps a second are those while the controller learns, its checks "
            "included.\n",
            "## Probability that an episode of ours scores higher\n",
            table(["task", "than", "probability", level], improvements),
            "## Rules that differ\n",
            bullets(differences),
            "## How to make it again\n",
            code([f"python -m baselines compare {again}"]),
        ]
    )
