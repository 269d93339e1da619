"""What a study holds against each other: the runs of ours, and those of each baseline, by task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from baselines.results import BaselineResult, examinations, results_in
from curriculum.config.schema import EnvConfig, TaskConfig
from curriculum.config.writing import plain_of
from curriculum.errors import ConfigError
from curriculum.figures.curve import Curve, Point, curve_of, modes_of
from curriculum.mode import LADDER
from curriculum.records.evaluation import Evaluation
from curriculum.records.ledger import Event, effective, read_events
from curriculum.records.rundir import RunDir
from curriculum.series import exists as is_series
from curriculum.series.plan import Series
from curriculum.show.insights import measured
from curriculum.show.summary import RunSummary, StageRow, summarise
from curriculum.show.words import duration, finite, plain
from curriculum.statistics import Reach, first_reach
from curriculum.tasks import load_config

OURS, PPO, RANDOM = "ours", "PPO (SB3)", "random"
PPO_STOCK = "PPO (SB3, stock)"
AGENTS: Mapping[tuple[str, str], str] = {
    ("ppo", "same"): PPO,
    ("ppo", "stock"): PPO_STOCK,
    ("dqn", "same"): "DQN (SB3)",
    ("dqn", "stock"): "DQN (SB3, stock)",
    ("sac", "same"): "SAC (SB3)",
    ("sac", "stock"): "SAC (SB3, stock)",
    ("random", "same"): RANDOM,
}
"""What learners are called, by algorithm and setting."""
IGNORED_RULES = frozenset({"num_envs", "simulation"})
"""Keys of a task's `env` section that do not change the game."""
_BEST = str(LADDER[0])


@dataclass(frozen=True)
class Trial:
    """One training of one agent on one task.

    Attributes:
        name: of its directory.
        seed, policy, mode, env_id: of the training, and how it was judged.
        scores: of the episodes that judge it; empty where there is no score.
        env_steps: in the environment, data for V and M and checks included, evaluation not.
        seconds: wall time of the same.
        steps_to_target, minutes_to_target: None where there is no target.
        curve: scores of checks or examinations.
        training: mean scores of training episodes, of ours.
        apart: why it is set apart and counted in nothing; empty if it is not.
        settings: hyper-parameters, of a baseline.
        machine: hardware and versions.
        command: that made it.
        where: the directory it is in.
        began: when, in unix seconds; None where that is not told.
        forked: whether it took over what another run had learned.
        spent: what its time went into, in words.
        measures: what its V and M were measured by, rows of part, name, value, meaning, good.
        pictures: files that show what V sees and M dreams.
    """

    name: str
    seed: int
    policy: str
    mode: str
    env_id: str
    scores: tuple[float, ...]
    env_steps: float
    seconds: float
    steps_to_target: Reach | None
    minutes_to_target: Reach | None
    curve: tuple[Point, ...] = ()
    training: tuple[Point, ...] = ()
    apart: str = ""
    settings: Mapping[str, Any] | None = None
    machine: Mapping[str, Any] | None = None
    command: str = ""
    where: str = ""
    began: float | None = None
    forked: bool = False
    spent: str = ""
    measures: tuple[tuple[str, ...], ...] = ()
    pictures: tuple[str, ...] = ()

    @property
    def score(self) -> float | None:
        """The mean of its episodes."""
        return float(np.mean(self.scores)) if self.scores else None


@dataclass(frozen=True)
class Side:
    """An agent on a task: its trials, those set apart among them."""

    agent: str
    trials: tuple[Trial, ...]

    @property
    def counted(self) -> tuple[Trial, ...]:
        """The trials that statistics count."""
        return tuple(trial for trial in self.trials if not trial.apart and trial.scores)


@dataclass(frozen=True)
class Contest:
    """One task: what each agent made of it.

    Attributes:
        task: its name.
        target: that passes; None where no run of ours names one.
        sides: ours first.
        differences: rules by which a baseline played otherwise.
    """

    task: str
    target: float | None
    sides: tuple[Side, ...]
    differences: tuple[str, ...] = ()


def contests(runs: Sequence[Path], baselines: Sequence[Path]) -> list[Contest]:
    """Reads run directories, series of them, and directories of baselines.

    Args:
        runs: each a run directory or a series of runs.
        baselines: each holds finished baselines, at any depth.

    Raises:
        ConfigError: one of them holds nothing of the kind.
        RunIOError: a ledger cannot be read.
    """
    paths = [path for run in runs for path in _single(run)]
    tasks: dict[str, TaskConfig] = {}
    ours: dict[str, list[Trial]] = {}
    for path in paths:
        rundir = RunDir.open(path)
        events = list(read_events(rundir.ledger_path))
        summary, told = summarise(events), effective(events)
        for task in load_config(rundir.config_path).tasks:
            tasks.setdefault(task.name, task)
            ours.setdefault(task.name, []).append(_trial_of_ours(path, summary, told, task))
    results = [found for where in baselines for found in results_in(where).items()]
    names = [*tasks, *dict.fromkeys(r.task for _, r in results if r.task not in tasks)]
    return [_contest(name, tasks.get(name), ours.get(name, []), results) for name in names]


def _single(run: Path) -> list[Path]:
    """Returns the run itself, or the runs of a series that were begun."""
    if not is_series(run):
        return [run]
    series = Series.open(run)
    found = [path for path in map(series.run_dir, series.seeds) if RunDir.exists(path)]
    if not found:
        raise ConfigError(f"{run} is a series of which no run was begun: resume it first")
    return found


def _contest(
    name: str,
    task: TaskConfig | None,
    ours: Sequence[Trial],
    results: Iterable[tuple[Path, BaselineResult]],
) -> Contest:
    mine = [(where, result) for where, result in results if result.task == name]
    target = task.target if task else None
    sides = [Side(OURS, tuple(ours))]
    for kind, shown in AGENTS.items():
        those = [(where, r) for where, r in mine if (r.algo, r.setting) == kind]
        trials = [_trial_of_baseline(where, r, target) for where, r in those]
        sides += [Side(shown, tuple(trials))] if trials else []
    told = _differences(task, [r for _, r in mine]) if task else []
    return Contest(name, target, tuple(sides), tuple(told))


def _trial_of_ours(
    path: Path, summary: RunSummary, events: Sequence[Event], task: TaskConfig
) -> Trial:
    verdict: Mapping[str, Any] = next(
        (v for v in summary.verdicts if v.get("task") == task.name), {}
    )
    told = [row for row in summary.evaluations(task.name) if row.mode == verdict.get("mode")]
    evaluation = told[-1].evaluation if told else None
    steps, seconds = (finite(verdict.get(key)) or 0.0 for key in ("env_steps", "seconds"))
    passed = verdict.get("verdict") == "passed"
    curve = curve_of(events, task.name, modes_of(events).get(task.name, ""))
    rows = [r for r in summary.stages if (r.task, r.mode) == (task.name, verdict.get("mode"))]
    return Trial(
        name=path.name,
        seed=int(summary.started.get("seed") or 0),
        policy=plain(verdict.get("policy")),
        mode=plain(verdict.get("mode")),
        env_id=plain(verdict.get("env_id")),
        scores=evaluation.scores if evaluation else (),
        env_steps=steps,
        seconds=seconds,
        steps_to_target=Reach(steps, passed),
        minutes_to_target=Reach(seconds / 60.0, passed),
        curve=_points(curve, evaluation, steps, seconds),
        training=curve.training,
        apart=_apart(summary, verdict, task.name),
        machine={
            "hardware": summary.started.get("hardware"),
            "versions": summary.started.get("versions"),
        },
        command=plain(summary.started.get("command")),
        where=str(path),
        began=summary.first_s,
        forked=bool(summary.forks),
        spent=_spent(rows),
        measures=tuple((r.stage, *cells) for r in rows for cells in measured(r.stage, r.metrics)),
        pictures=_pictures(path, rows),
    )


def _spent(rows: Sequence[StageRow]) -> str:
    """Returns the time of each stage, and what practice took it for."""
    stages = ", ".join(f"{row.stage} {duration(row.seconds)}" for row in rows if row.seconds)
    shares: dict[str, float] = {}
    for row in rows:
        for name, seconds in row.spent_s.items():
            shares[name] = shares.get(name, 0.0) + seconds
    whole = sum(shares.values())
    if not whole:
        return stages
    largest = sorted(shares.items(), key=lambda item: -item[1])
    practice = ", ".join(f"{plain(name)} {seconds / whole:.0%}" for name, seconds in largest)
    return f"{stages}; of practice: {practice}"


def _pictures(path: Path, rows: Sequence[StageRow]) -> tuple[str, ...]:
    directories = [
        path / "tasks" / r.task / r.mode / f"round-{r.round:02d}" / r.stage for r in rows
    ]
    return tuple(str(file) for one in directories for file in sorted(one.glob("*.png")))


def _apart(summary: RunSummary, verdict: Mapping[str, Any], task: str) -> str:
    if not verdict or verdict.get("score") is None:
        return "it has no verdict yet: it is not finished"
    if verdict.get("mode") != _BEST:
        stepped = any(down.get("task") == task for down in summary.step_downs)
        how = "stepped down to" if stepped else "ran in"
        return f"it {how} {plain(verdict.get('mode'))}"
    return ""


def _points(
    curve: Curve, evaluation: Evaluation | None, env_steps: float, seconds: float
) -> tuple[Point, ...]:
    """Returns a run's checks, and its evaluation where its practice ended."""
    if evaluation is None:
        return curve.checks
    episodes = next((p.episodes for p in reversed((*curve.checks, *curve.training))), None)
    return (*curve.checks, Point(env_steps, evaluation.score, seconds, episodes))


def _trial_of_baseline(directory: Path, result: BaselineResult, target: float | None) -> Trial:
    curve = examinations(directory)
    steps = minutes = None
    if target is not None and curve:
        scores = [point.score for point in curve]
        steps = first_reach([point.steps for point in curve], scores, target)
        seconds = [point.seconds for point in curve if point.seconds is not None]
        if len(seconds) == len(curve):
            minutes = first_reach([second / 60.0 for second in seconds], scores, target)
    return Trial(
        name=directory.name,
        seed=result.seed,
        policy=result.policy,
        mode="real environment",
        env_id=result.env_id,
        scores=result.scores,
        env_steps=result.env_steps,
        seconds=result.seconds,
        steps_to_target=steps,
        minutes_to_target=minutes,
        curve=tuple(curve),
        settings=result.settings,
        machine=result.machine,
        where=str(directory),
        spent=f"training {duration(result.seconds)}, examinations not counted",
    )


def _differences(task: TaskConfig, results: Sequence[BaselineResult]) -> list[str]:
    """Says where a baseline played by other rules than the run."""
    said: dict[str, None] = {}
    for result in results:
        # A result that is older than a rule was played by the rule's default.
        ours, theirs = plain_of(task.env), plain_of(EnvConfig()) | result.env
        for key in sorted(ours.keys() - IGNORED_RULES):
            if theirs.get(key) != ours[key]:
                said[
                    f"{result.task}: env.{key} was {theirs.get(key)!r} for "
                    f"{AGENTS[result.algo, result.setting]}, {ours[key]!r} for us"
                ] = None
    return list(said)
