"""The contract of a stage, and all that a stage is handed.

A stage is a module with three functions: `verify_inputs(ctx)` and `verify_outputs(ctx, result)`
raise `StageFailure`, and `run(ctx)` works, commits at barriers and returns a `StageResult`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from curriculum.agent.perception import num_features
from curriculum.agent.work import WorkSpec
from curriculum.backends.backend import Backend
from curriculum.config.schema import Config, TaskConfig
from curriculum.datasets.episodes import Dataset
from curriculum.envs.interface import EnvSpec
from curriculum.errors import ConfigError, NoCheckpoint, StageFailure
from curriculum.pool import Executor
from curriculum.progress import Listener, Progress
from curriculum.records.commit import Commit, CommitStore
from curriculum.records.facts import finite
from curriculum.records.finished import StageResult
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.seeds import env_seed, generator
from curriculum.stops import Barrier
from models.interfaces import Memory, Metrics, Vision

_PROGRESS = ("updates", "rollbacks", "generation", "checked", "episodes", "rows")
"""What the stages' commits call how far they have come."""


class Stage(Protocol):
    """One step of the pipeline inside a task; implemented by the modules of this folder."""

    @property
    def NAME(self) -> str:
        """The stage's name."""
        ...

    def verify_inputs(self, ctx: StageContext) -> None: ...

    def run(self, ctx: StageContext) -> StageResult: ...

    def verify_outputs(self, ctx: StageContext, result: StageResult) -> None: ...


@dataclass(frozen=True)
class StageContext:
    """Everything a stage may use; it knows neither the order of stages nor other tasks."""

    config: Config
    task: TaskConfig
    backend: Backend
    states: Mapping[str, str]
    spec: EnvSpec
    round: int
    stage: str
    rundir: RunDir
    ledger: Ledger
    pool: Executor
    listener: Listener
    barrier: Barrier

    def at(self, stage: str, round: int | None = None) -> StageContext:
        """Returns the same context seen from another stage or round."""
        return replace(self, stage=stage, round=self.round if round is None else round)

    @property
    def directory(self) -> Path:
        """Where this stage keeps its artefacts; data belong to the environment, not to the mode."""
        of_environment = self.stage == "collect" and self.backend.environment == "real"
        mode = "REAL" if of_environment else self.backend.mode.value
        return self.rundir.stage_dir(self.task.name, mode, self.round, self.stage)

    @property
    def target(self) -> float:
        """The score that passes in this backend's environments."""
        simulated = self.backend.environment == "simulation"
        return self.task.simulation_target if simulated else self.task.target

    @property
    def store(self) -> CommitStore:
        """This stage's commits; one that is damaged or from elsewhere is told to the ledger."""
        self.rundir.require_there()
        return CommitStore(
            self.directory,
            identity=self.rundir.identity(self.directory),
            report=lambda text: self.record("commit_rejected", reason=text),
            on_saved=self.barrier.committed,
        )

    def rng(self, *path: int | str) -> np.random.Generator:
        """Returns the random stream of a place in this stage."""
        return generator(self.config.seed, self.task.name, self.round, self.stage, *path)

    def env_seeds(self, *path: int | str, count: int) -> list[int]:
        """Returns the seeds of `count` episodes at a place in this stage."""
        root, here = self.config.seed, (self.task.name, self.round, self.stage, *path)
        return [env_seed(root, *here, episode) for episode in range(count)]

    def model_seed(self, name: str) -> int:
        """Returns the seed of a model's initial weights: the same in every round."""
        return env_seed(self.config.seed, self.task.name, "model", name)

    def say(self, done: int, total: int, unit: str, **facts: float) -> None:
        """Reports progress to whoever shows it."""
        mode = self.backend.mode.value
        self.listener(
            Progress(self.task.name, mode, self.round, self.stage, done, total, unit, facts)
        )

    def record(self, event: str, **facts: Any) -> None:
        """Appends an event of this stage to the ledger."""
        self.ledger.append(
            event,
            task=self.task.name,
            mode=self.backend.mode.value,
            round=self.round,
            stage=self.stage,
            **facts,
        )

    def completed(self, stage: str, round: int | None = None) -> Commit:
        """Returns the final commit of another stage.

        Raises:
            ConfigError: it never finished.
            NoCheckpoint: it did, but nothing of it verifies any more.
        """
        there = self.at(stage, round)
        damaged: list[str] = []
        commit = there.store.latest(damaged.append)
        for text in damaged:
            there.record("commit_rejected", reason=text)
        if commit is not None and commit.complete:
            return commit
        if damaged:
            raise NoCheckpoint(
                f"the result of stage {stage} is damaged: {damaged[0]}; remove {there.directory} "
                f"to have it done again"
            )
        raise ConfigError(
            f"{self.task.name}: stage {self.stage} needs the result of stage {stage}, which is not "
            f"in {there.directory}: run the stages in order, or leave --stage away"
        )

    def data(self) -> Dataset:
        """Opens the collected data of all rounds up to this one."""
        return Dataset([self.at("collect", r).directory / "data" for r in range(self.round + 1)])

    def new_vision(self) -> Vision:
        """Builds V with its initial weights."""
        return self.backend.make_vision(self.task, self.spec, self.model_seed("vision"))

    def vision(self) -> Vision:
        """Builds V and loads what the vision stage of this round learned."""
        vision = self.new_vision()
        vision.load_state(self.completed("vision").arrays)
        return vision

    def new_memory(self) -> Memory:
        """Builds M with its initial weights."""
        latents = self.new_vision().latent_size
        seed = self.model_seed("memory")
        return self.backend.make_memory(self.task, latents, self.spec.action.size, seed)

    def memory(self) -> Memory:
        """Builds M and loads what the memory stage of this round learned."""
        memory = self.new_memory()
        memory.load_state(self.completed("memory").arrays)
        return memory

    def num_features(self, vision: Vision, memory: Memory) -> int:
        """Returns F, the length of the vector that the controller reads."""
        return num_features(self.task.controller.features, vision.latent_size, memory.hidden_size)

    def work(self, **learned: Any) -> WorkSpec:
        """Describes this stage's work for worker processes; `learned` are the states of V and M."""
        return WorkSpec(
            task=self.task,
            mode=self.backend.mode.value,
            states=dict(self.states),
            plugins=self.config.curriculum.plugins,
            seed=self.config.seed,
            **learned,
        )


def reached(commit: Commit | None) -> dict[str, int] | None:
    """Returns how far a stage had come in a commit, for `resumed_at`; None if there is none.

    `step` and `generation` are the last ones whose events were told before the commit.
    """
    if commit is None:
        return None
    words = {"updates": "step", "generation": "step", "checked": "generation"}
    inner = (commit.meta.get(name) for name in ("counters", "practice"))
    meta = dict(commit.meta)
    for facts in inner:
        meta |= facts if isinstance(facts, dict) else {}
    return {words.get(name, name): int(meta[name]) for name in _PROGRESS if finite(meta.get(name))}


def require(condition: bool, reason: str, **evidence: Any) -> None:
    """Raises a StageFailure with a reason and its evidence unless the condition holds."""
    if not condition:
        raise StageFailure(reason, evidence)


def require_finite(metrics: Metrics, stage: str) -> None:
    """Raises a StageFailure if a metric is NaN or infinite."""
    bad = {name: str(value) for name, value in metrics.items() if not np.isfinite(value)}
    require(not bad, f"stage {stage} ended with metrics that are not finite: {sorted(bad)}", **bad)
