"""What a baseline leaves behind: a directory with its ledger and `result.json`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from curriculum.config.schema import TaskConfig
from curriculum.config.writing import plain_of
from curriculum.errors import ConfigError
from curriculum.records.evaluation import Evaluation
from curriculum.records.facts import WrongFact, entry, finite
from curriculum.records.files import read_json, write_json
from curriculum.records.ledger import Ledger
from curriculum.seeds import generator
from curriculum.statistics import bootstrap_interval, iqm, mean

CONFIDENCE = 0.95
RESULT = "result.json"


@dataclass(frozen=True)
class BaselineResult:
    """How well a baseline plays a task.

    Attributes:
        algo: `random` or `ppo`.
        task, env_id: what was asked for; `playing` is the environment that really ran.
        env: the rules it was played by, those of the task's `env` section.
        seed: root of all randomness.
        policy: `random`, `greedy` or `sampled`.
        scores: of full episodes on seeds that training never saw, true and unclipped.
        env_steps: environment steps of the training, evaluation not included.
        seconds: wall time of the training, evaluation not included.
        settings: hyper-parameters.
        machine: hardware and versions.
    """

    algo: Literal["random", "ppo"]
    task: str
    env_id: str
    playing: str
    env: dict[str, Any]
    seed: int
    policy: str
    scores: tuple[float, ...]
    env_steps: int
    seconds: float
    settings: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """The mean over all episodes."""
        return float(mean(np.array(self.scores)))


def describe(algo: str, task: TaskConfig, playing: str, seed: int) -> dict[str, Any]:
    """Returns the part of a result that is known before anything is played."""
    return {
        "algo": algo,
        "task": task.name,
        "env_id": task.env_id,
        "playing": playing,
        "env": plain_of(task.env),
        "seed": seed,
    }


def open_ledger(out: Path, algo: str, task: str, seed: int) -> Ledger:
    """Starts the ledger of a baseline in a directory of its own, `<out>/<algo>-<task>-seed<n>`.

    A baseline that was killed is begun anew.

    Raises:
        ConfigError: a finished one is there already.
    """
    directory = out / f"{algo}-{task}-seed{seed}"
    if (directory / RESULT).exists():
        raise ConfigError(
            f"{directory} holds a finished baseline already: choose another --seed or --out, "
            f"or remove it"
        )
    ledger = Ledger(directory / "events.jsonl")
    ledger.truncate(0)
    return ledger


def finish(ledger: Ledger, result: BaselineResult) -> None:
    """Writes `result.json` with the statistics of its scores, and closes the account."""
    rng = generator(result.seed, "bootstrap")
    scores = np.array(result.scores)
    evaluation = Evaluation.of(scores, policy=result.policy, confidence=CONFIDENCE, rng=rng)
    summary = {
        "score": evaluation.score,
        "interval": evaluation.interval,
        "iqm": float(iqm(scores)),
        "iqm_interval": bootstrap_interval([scores], iqm, CONFIDENCE, rng),
        "confidence": CONFIDENCE,
        "episodes": len(scores),
    }
    write_json(ledger.path.parent / RESULT, {**asdict(result), **summary})
    ledger.append("baseline_done", env_steps=result.env_steps, seconds=result.seconds, **summary)


def load_results(directory: Path) -> list[BaselineResult]:
    """Reads every finished baseline in a directory and below.

    Raises:
        ConfigError: there is none, or a result was not written by this program.
    """
    paths = sorted(directory.rglob(RESULT)) if directory.is_dir() else []
    # The stages of a run keep files of the same name under its `tasks`.
    paths = [path for path in paths if "tasks" not in path.relative_to(directory).parts]
    if not paths:
        raise ConfigError(
            f"there is no baseline in {directory}: make one with "
            f"`python -m baselines random --task lunarlander --out {directory}`"
        )
    return [_parse(path, read_json(path)) for path in paths]


def _parse(path: Path, found: Any) -> BaselineResult:
    try:
        result = entry(BaselineResult, found)
        if not result.scores or not all(map(finite, result.scores)):
            raise WrongFact("`scores` holds no scores, expected a list of finite numbers")
    except WrongFact as e:
        names = ", ".join(BaselineResult.__dataclass_fields__)
        raise ConfigError(
            f"{path} is no result of a baseline: {e}; expected the keys {names}"
        ) from e
    return result
