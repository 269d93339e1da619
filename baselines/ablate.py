"""What each part of the agent is worth: runs with one of them changed, at one step budget.

Every run is an ordinary one, with a ledger of its own, that can be stopped and gone on with. What
an ablation does not touch is taken over from the full run of the same seed, so that it differs in
that one thing alone.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from baselines.results import CONFIDENCE
from curriculum.config.schema import TaskConfig
from curriculum.errors import ConfigError, ExitCode
from curriculum.records.ledger import read_events
from curriculum.records.rundir import RunDir
from curriculum.seeds import generator
from curriculum.show.markdown import code, table
from curriculum.show.summary import summarise
from curriculum.show.words import count, interval, number
from curriculum.statistics import FEWEST_RUNS, interval_over_runs, mean, run_scores, spread
from curriculum.tasks import load_config

FULL = "full"
POLICIES = ("greedy", "sampled")
NO_INTERVAL = "too few seeds"


def _always(task: TaskConfig) -> bool:
    return True


def _sees_pixels(task: TaskConfig) -> bool:
    return task.observation == "pixels"


def _reads_memory(task: TaskConfig) -> bool:
    return "h" in task.controller.features


def _reuses(task: TaskConfig) -> bool:
    return task.training.reuse > 1


def _explores_in_long_moves(task: TaskConfig) -> bool:
    return task.training.noise_persistence > 0


@dataclass(frozen=True)
class Ablation:
    """One thing that is changed.

    Attributes:
        what: in words.
        sets: keys of the task and their values, as for `--set`.
        fits: whether it makes sense for a task.
    """

    what: str
    sets: Mapping[str, str]
    fits: Callable[[TaskConfig], bool] = _always


ABLATIONS: Mapping[str, Ablation] = {
    FULL: Ablation("nothing: the full agent", {}),
    "no-coarse": Ablation("V without coarser scales", {"vae.coarse_weight": "0"}, _sees_pixels),
    "plain-mse": Ablation(
        "V with a plain squared error",
        {"vae.coarse_weight": "0", "vae.motion_weight": "0"},
        _sees_pixels,
    ),
    "no-memory": Ablation(
        "no M: C reads [z, dz]", {"controller.features": "[z, dz]"}, _reads_memory
    ),
    "random-memory": Ablation(
        "M's weights stay random", {"mdnrnn.trained": "false"}, _reads_memory
    ),
    "linear": Ablation("C is linear", {"controller.hidden_sizes": "[]"}),
    "fresh-noise": Ablation(
        "each step draws its own noise",
        {"training.noise_persistence": "0"},
        _explores_in_long_moves,
    ),
    "no-reuse": Ablation(
        "each update learns from its own rollout alone, and so from fewer gradients",
        {"training.reuse": "1"},
        _reuses,
    ),
}


@dataclass(frozen=True)
class Study:
    """The runs of a study: which parts are changed, on which seeds, at what budget.

    Attributes:
        config: path of the configuration.
        task: the task of it that is learned.
        names: ablations; the full agent is always run.
        seeds: roots of the runs.
        steps: real steps of C's practice, for every run; it neither stops earlier nor chooses
            among checks.
        episodes: of each evaluation, greedy and sampled.
        out: parent of the run directories.
    """

    config: Path
    task: str
    names: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: int
    episodes: int
    out: Path

    def directory(self, name: str, seed: int) -> Path:
        """Returns where a run is kept."""
        return self.out / f"{self.task}-{name}-seed{seed}"

    def command(self, name: str, seed: int) -> list[str]:
        """Returns the arguments of `python -m curriculum` that make a run, or go on with it."""
        directory = self.directory(name, seed)
        sets = {
            "training.total_steps": str(self.steps),
            # Out of reach: the one check comes when all steps are taken.
            "training.check_margin": "10",
            "evaluate.episodes": str(self.episodes),
            "evaluate.both": "true",
            **ABLATIONS[name].sets,
        }
        given = [f"tasks.{self.task}.{key}={value}" for key, value in sets.items()]
        fork = [] if name == FULL else ["--fork", str(self.directory(FULL, seed))]
        return [
            *("run", str(self.config), "--tasks", self.task, "--seed", str(seed)),
            *("--run-dir", str(directory), *fork),
            *(word for pair in given for word in ("--set", pair)),
        ]


def study_of(
    config: Path,
    task: str,
    names: Sequence[str],
    seeds: Sequence[int],
    steps: int,
    episodes: int,
    out: Path,
) -> Study:
    """Checks what was asked for.

    Raises:
        ConfigError: there is no such task or ablation, or its C does not learn by PPO.
    """
    known = {t.name: t for t in load_config(config).tasks}
    if task not in known:
        raise ConfigError(f"{config} has no task {task!r}: it has {', '.join(known)}")
    there = _fitting(known[task])
    unknown = [name for name in names if name not in there]
    if unknown:
        raise ConfigError(f"{task} has no ablation {unknown[0]!r}: it has {', '.join(there)}")
    if known[task].controller.solver != "ppo":
        raise ConfigError(
            f"C of {task} does not learn by PPO, whose steps are what ablations are given: set "
            f"tasks.{task}.controller.solver: ppo in {config}"
        )
    chosen = tuple(name for name in there if name == FULL or not names or name in names)
    return Study(config, task, chosen, tuple(dict.fromkeys(seeds)), steps, episodes, out)


def ablate(study: Study, start: Callable[[Sequence[str]], int]) -> ExitCode:
    """Makes all runs that are not finished yet, one after the other, seed by seed.

    Args:
        study: what to run.
        start: runs `python -m curriculum` with these arguments and returns its exit code.

    Returns:
        The exit code of the first run that did not come to its end, else OK.
    """
    for seed in study.seeds:
        for name in study.names:
            code = start(_begun_or_new(study, name, seed))
            if code not in (ExitCode.OK, ExitCode.TARGET_MISSED):
                return ExitCode(code)
    return ExitCode.OK


def run_curriculum(arguments: Sequence[str]) -> int:
    """Runs `python -m curriculum` in a process of its own and returns its exit code.

    Ctrl-C reaches it too; it is waited for, because it commits first.
    """
    print(f"$ python -m curriculum {shlex.join(arguments)}", file=sys.stderr, flush=True)
    with subprocess.Popen([sys.executable, "-m", "curriculum", *arguments]) as child:
        try:
            return child.wait()
        except KeyboardInterrupt:
            return child.wait()


def ablation_text(study: Study) -> str:
    """Returns what the runs' ledgers tell, as Markdown."""
    level = f"{CONFIDENCE:.0%} interval over seeds"
    header = ["changed", "policy", "score of each seed", "mean", level, "deviation", "real steps"]
    rows = [row for name in study.names for row in _rows(study, name)]
    commands = [_again(study)]
    return "\n".join(
        [
            f"# What the parts of {study.task}'s agent are worth\n",
            table(header, rows),
            f"Each C practised for {count(study.steps)} real steps and was then judged on "
            f"{study.episodes} full episodes with true rewards. Intervals are of the mean, with "
            f"seeds resampled; of fewer than {FEWEST_RUNS} there is none, because they say too "
            "little of how much seeds differ. The deviations are between seeds' means, and of "
            "episodes within a seed. Real steps are means over seeds, data for V and M and checks "
            "included.\n",
            code(commands),
        ]
    )


def _fitting(task: TaskConfig) -> list[str]:
    return [name for name, ablation in ABLATIONS.items() if ablation.fits(task)]


def _begun_or_new(study: Study, name: str, seed: int) -> list[str]:
    """Leaves `--fork` away where the run has begun: it goes on by itself then."""
    words = study.command(name, seed)
    if "--fork" in words and RunDir.exists(study.directory(name, seed)):
        at = words.index("--fork")
        return words[:at] + words[at + 2 :]
    return words


def _rows(study: Study, name: str) -> Iterable[list[str]]:
    found = {seed: _scores(study.directory(name, seed), study.task) for seed in study.seeds}
    steps = [found[seed][1] for seed in study.seeds if found[seed][0]]
    for policy in POLICIES:
        groups = [found[s][0][policy] for s in study.seeds if policy in found[s][0]]
        if not groups:
            yield [ABLATIONS[name].what, policy, "not run", *[""] * 4]
            continue
        rng = generator(0, "ablate", study.task, name, policy)
        scores, differ = run_scores(groups), spread(groups)
        within = interval_over_runs([scores], mean, CONFIDENCE, rng)
        yield [
            ABLATIONS[name].what,
            policy,
            ", ".join(number(float(score)) for score in scores),
            number(float(mean(scores))),
            interval(within) if within else NO_INTERVAL,
            f"{number(differ.between)}, {number(differ.within)}",
            count(float(np.mean(steps))),
        ]


def _scores(directory: Path, task: str) -> tuple[dict[str, np.ndarray], float]:
    """Returns a finished run's scores by policy, and its real steps; none of one not finished."""
    if not RunDir.exists(directory):
        return {}, 0.0
    summary = summarise(read_events(RunDir.open(directory).ledger_path))
    verdict = next((v for v in summary.verdicts if v.get("task") == task), None)
    evaluations = summary.evaluations(task)
    if verdict is None or not evaluations:
        return {}, 0.0
    told = evaluations[-1].evaluation
    scores = {e.policy: np.array(e.scores) for e in (told.both if told else ()) if e.scores}
    return scores, float(verdict.get("env_steps") or 0)


def _again(study: Study) -> str:
    words = ["python", "-m", "baselines", "ablate", *(n for n in study.names if n != FULL)]
    words += ["--config", str(study.config), "--task", study.task]
    words += ["--seeds", ",".join(map(str, study.seeds)), "--steps", str(study.steps)]
    return shlex.join([*words, "--episodes", str(study.episodes), "--out", str(study.out)])
