"""What a baseline leaves behind: a directory with its ledger and `result.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

from curriculum.config.schema import TaskConfig
from curriculum.config.writing import plain_of
from curriculum.errors import ConfigError, RunIOError
from curriculum.figures.curve import Point
from curriculum.records.commit import Commit, CommitStore
from curriculum.records.evaluation import Evaluation
from curriculum.records.facts import WrongFact, entry, finite
from curriculum.records.files import read_json, refused, to_json, write_json
from curriculum.records.ledger import Ledger, read_events
from curriculum.records.lock import DirectoryLock
from curriculum.seeds import generator
from curriculum.show import words
from curriculum.statistics import bootstrap_interval, iqm, mean

CONFIDENCE = 0.95
LEDGER, RESULT = "events.jsonl", "result.json"

Algorithm = Literal["ppo", "dqn", "sac"]
Setting = Literal["same", "stock"]
"""Our own environments, so that only the learning differs; or those of SB3 and its zoo."""

_NAMED = ("algo", "setting", "task", "env_id", "playing", "env", "seed", "settings")
"""What a training is, as its ledger has it: it goes on as it was begun, or not at all."""


@dataclass(frozen=True)
class BaselineResult:
    """How well a baseline plays a task.

    Attributes:
        algo: `random`, or what learned.
        task, env_id: what was asked for; `playing` is the environment that really ran.
        env: the rules it was played by, in the words of a task's `env` section.
        seed: root of all randomness.
        policy: `random`, `greedy` or `sampled`.
        scores: of full episodes on seeds that training never saw, true and unclipped.
        env_steps: environment steps of the training, evaluation not included.
        seconds: wall time of the training, evaluation not included.
        settings: hyper-parameters.
        machine: hardware and versions.
        setting: whose environments; those that tell of none are ours.
    """

    algo: Literal["random", "ppo", "dqn", "sac"]
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
    setting: Setting = "same"

    @property
    def score(self) -> float:
        """The mean over all episodes."""
        return float(mean(np.array(self.scores)))


def name_of(algo: str, task: str, seed: int, setting: str = "same") -> str:
    """Returns what a baseline, and its directory, is called."""
    return f"{algo}{'' if setting == 'same' else f'-{setting}'}-{task}-seed{seed}"


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


class BaselineHome:
    """The directory of one baseline, locked while it is open.

    Args:
        out: parent directory.
        name: see `name_of`.

    Attributes:
        path: of the directory.
        ledger: of the baseline.
        store: its commits.

    Raises:
        ConfigError: a finished baseline is there already.
        RunLocked: another process works on it.
        RunIOError: the disk refused.
    """

    def __init__(self, out: Path, name: str) -> None:
        self.path = out / name
        if (self.path / RESULT).exists():
            raise ConfigError(
                f"{self.path} holds a finished baseline already: choose another --seed or --out, "
                f"or remove it"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise refused(e, "make the baseline's directory", self.path) from e
        self._lock = DirectoryLock(self.path, self.path)
        self._lock.take()
        self.ledger = Ledger(self.path / LEDGER)
        self.store = CommitStore(self.path, identity=self.path.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def begin(self, known: Mapping[str, Any]) -> Commit | None:
        """Begins the account, or goes on with it at the newest commit.

        Args:
            known: facts of `baseline_started`.

        Returns:
            The commit, if there is one. What the ledger has beyond it is cut off.

        Raises:
            ConfigError: it was begun as another training.
            RunIOError: the disk refused, or the ledger lacks what the commit knows.
        """
        damage: list[str] = []
        kept = self.store.latest(damage.append)
        length = kept.appended.get(LEDGER, 0) if kept else 0
        if length > self.ledger.length():
            raise RunIOError(
                f"{self.ledger.path} is shorter than when it was committed: remove {self.path} to "
                f"begin anew"
            )
        self.ledger.truncate(length)
        if kept is None:
            self.ledger.append("baseline_started", **known)
        else:
            self._require_the_same(known)
            self.ledger.append("baseline_resumed", steps=kept.meta["steps"])
        for text in damage:
            place = {"task": known["task"], "mode": known["algo"], "round": 0, "stage": "training"}
            self.ledger.append("commit_rejected", **place, reason=text)
        return kept

    def _require_the_same(self, known: Mapping[str, Any]) -> None:
        begun, now = self.ledger.events("baseline_started")[0], to_json(dict(known))
        different = [
            f"{name}: {was!r} -> {is_now!r}"
            for name in _NAMED
            for name, was, is_now in _differences(name, begun.get(name), now.get(name))
        ]
        if different:
            listed = "\n  ".join(different[:20])
            raise ConfigError(
                f"{self.path} was begun as another training:\n  {listed}\n"
                f"repeat the command it was begun with, choose another --out, or remove it"
            )


def _differences(name: str, was: Any, is_now: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yields what differs, of mappings each key."""
    if isinstance(was, dict) and isinstance(is_now, dict):
        for key in sorted(was.keys() | is_now.keys()):
            yield from _differences(f"{name}.{key}", was.get(key), is_now.get(key))
    elif was != is_now:
        yield name, was, is_now


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
    return list(results_in(directory).values())


def results_in(directory: Path) -> dict[Path, BaselineResult]:
    """Reads every finished baseline in a directory and below, by its own directory.

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
    return {path.parent: read_result(path) for path in paths}


def examinations(directory: Path) -> list[Point]:
    """Returns what a training's ledger tells of its learning curve, oldest first.

    The evaluation at its end is the last point.

    Raises:
        RunIOError: the ledger cannot be read.
    """
    found, episodes = [], 0
    for event in read_events(directory / LEDGER):
        episodes += event["event"] == "episode"
        counted = {"evaluation": "step", "baseline_done": "env_steps"}.get(event["event"])
        if counted is None:
            continue
        told = [event.get(name) for name in (counted, "score", "seconds")]
        steps, score, seconds = map(words.finite, told)
        if steps is not None and score is not None:
            found.append(Point(steps, score, seconds, float(episodes) if episodes else None))
    return found


def read_result(path: Path) -> BaselineResult:
    """Reads one `result.json`.

    Raises:
        ConfigError: it is not there, or was not written by this program.
    """
    if not path.is_file():
        raise ConfigError(f"{path.parent} holds no finished baseline: {path.name} is not there")
    try:
        result = entry(BaselineResult, read_json(path))
        if not result.scores or not all(map(finite, result.scores)):
            raise WrongFact("`scores` holds no scores, expected a list of finite numbers")
    except WrongFact as e:
        names = ", ".join(BaselineResult.__dataclass_fields__)
        raise ConfigError(
            f"{path} is no result of a baseline: {e}; expected the keys {names}"
        ) from e
    return result
