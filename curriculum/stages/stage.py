"""The contract of a stage, and all that a stage is handed.

A stage is a module with three functions: `verify_inputs(ctx)` and `verify_outputs(ctx, result)`
raise `StageFailure`, and `run(ctx)` works, commits at barriers and returns a `StageResult`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from curriculum.agent.agent import Agent
from curriculum.agent.work import WorkSpec
from curriculum.backends.backend import Backend
from curriculum.config.schema import Config, TaskConfig
from curriculum.datasets.episodes import Dataset
from curriculum.datasets.sequences import Latents
from curriculum.envs.interface import EnvSpec
from curriculum.errors import require
from curriculum.place import Place
from curriculum.pool import Executor
from curriculum.records.agent_state import as_part, learned_part
from curriculum.records.commit import Commit
from curriculum.records.facts import finite
from curriculum.records.finished import StageResult
from curriculum.world.dream import DreamStarts
from models.interfaces import Memory, Metrics, State, Vision

LEARNING = ("vision", "memory", "controller")
"""Stages that learn a part of the agent."""

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
    """What a stage works with; it knows neither the order of stages nor other tasks.

    Attributes:
        place: where in the run this is, with its seeds, commits, ledger and stops.
        config, task: the whole configuration, and the task as its backend can learn it.
        backend: builds everything.
        states: of the components that were probed, by name; workers are told them.
        spec: of the task's environments.
        executor: does units of work.
        inherited: weights that the model of this stage begins from in the first round of an
            attempt, in place of its own initial ones; none where it begins anew.
    """

    place: Place
    config: Config
    task: TaskConfig
    backend: Backend
    states: Mapping[str, str]
    spec: EnvSpec
    executor: Executor
    inherited: State = field(default_factory=dict)

    def at(self, stage: str, round: int | None = None) -> StageContext:
        """Returns the same context seen from another stage or round."""
        return replace(self, place=self.place.at(stage, round))

    @property
    def target(self) -> float:
        """The score that passes in this backend's environments."""
        return self.task.target_of(simulated=self.backend.environment == "simulation")

    def data(self) -> Dataset:
        """Opens the collected data of all rounds of this attempt up to this one."""
        rounds = self.place.rounds
        return Dataset([self.place.at("collect", r).directory / "data" for r in rounds])

    def latents(self) -> Latents:
        """Opens V's latents of the collected data."""
        return Latents.open(self.place.at("encode").directory / "data")

    def new_vision(self) -> Vision:
        """Builds V with its initial weights."""
        return self.backend.make_vision(self.task, self.spec, self.place.model_seed("vision"))

    def vision(self) -> Vision:
        """Builds V and loads what the vision stage of this round learned."""
        vision = self.new_vision()
        vision.load_state(self.place.completed("vision").arrays)
        return vision

    def new_memory(self) -> Memory:
        """Builds M with its initial weights."""
        latents = self.new_vision().latent_size
        seed = self.place.model_seed("memory")
        return self.backend.make_memory(self.task, latents, self.spec.action.size, seed)

    def learned(self, *stages: str, round: int | None = None) -> State:
        """Returns what stages of a round have learned of the agent, see `Agent.state`.

        Args:
            stages: of `vision`, `memory` and `controller`; all of them if none is named. What the
                controller's has learned of V or M is what counts.
            round: this one if None.
        """
        found: State = {}
        for stage in stages or LEARNING:
            arrays = self.place.completed(stage, round).arrays
            found |= learned_part(arrays) if stage == "controller" else as_part(stage, arrays)
        return found

    def agent(
        self, learned: Mapping[str, np.ndarray], rng: np.random.Generator | None = None
    ) -> Agent:
        """Builds the task's agent; see `Agent.build`."""
        return Agent.build(self.backend, self.task, self.spec, learned, rng=rng)

    def work(self, learned: State | None = None, starts: DreamStarts | None = None) -> WorkSpec:
        """Describes this task's work for worker processes.

        Args:
            learned: what of the agent was learned; None where the work does without one.
            starts: where dreams begin, if there are any.
        """
        return WorkSpec(
            task=self.task,
            mode=self.backend.mode.value,
            states=dict(self.states),
            plugins=self.config.curriculum.plugins,
            seed=self.config.seed,
            learned=learned or {},
            starts=starts,
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


def require_finite(metrics: Metrics, stage: str) -> None:
    """Raises a StageFailure if a metric is NaN or infinite."""
    bad = {name: str(value) for name, value in metrics.items() if not np.isfinite(value)}
    require(not bad, f"stage {stage} ended with metrics that are not finite: {sorted(bad)}", **bad)
