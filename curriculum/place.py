"""A place in a run: where something happens, with its seeds, its commits, its ledger and its stops.

What learns, plays or collects is handed a place and knows neither tasks nor stages: its random
streams, its directory and its events follow from the place alone, so it does the same in a run
that was never stopped and in one that is gone on with.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.datasets.collected import REAL
from curriculum.errors import ConfigError, NoCheckpoint
from curriculum.progress import Listener, Progress, silent
from curriculum.records.commit import Commit, CommitStore
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.seeds import env_seed, generator
from curriculum.stops import Barrier


@dataclass(frozen=True)
class Place:
    """A stage of a round of a task in a mode, inside one run.

    Attributes:
        seed: root of the run's random streams.
        task, mode, round, stage: where this is.
        simulated: whether the environments are numpy re-creations. What was collected in real ones
            belongs to all modes that have them.
        rundir, ledger, barrier, listener: of the run.
        first_round: of the attempt that the round is of. Rounds are counted on through the
            attempts, so that each attempt has directories, seeds and events of its own.
    """

    seed: int
    task: str
    mode: str
    round: int
    stage: str
    simulated: bool
    rundir: RunDir
    ledger: Ledger
    barrier: Barrier
    listener: Listener
    first_round: int = 0

    @classmethod
    def to_look_at(
        cls, rundir: RunDir, task: str, mode: str, round: int, *, seed: int = 0, simulated: bool
    ) -> Place:
        """Returns a place of a run that is only looked at: nobody is told anything."""
        return cls(
            seed=seed,
            task=task,
            mode=mode,
            round=round,
            stage="controller",
            simulated=simulated,
            rundir=rundir,
            ledger=Ledger(Path(os.devnull)),
            barrier=Barrier(commit_seconds=float("inf")),
            listener=silent,
        )

    def at(self, stage: str, round: int | None = None) -> Place:
        """Returns the same place in another stage or round."""
        return replace(self, stage=stage, round=self.round if round is None else round)

    @property
    def fresh(self) -> bool:
        """Whether this is the first round of its attempt, before which nothing was learned."""
        return self.round == self.first_round

    @property
    def rounds(self) -> range:
        """The rounds of this attempt up to this one."""
        return range(self.first_round, self.round + 1)

    @property
    def directory(self) -> Path:
        """Where this stage keeps its artefacts; data belong to the environment, not to the mode."""
        shared = self.stage == "collect" and not self.simulated
        mode = REAL if shared else self.mode
        return self.rundir.stage_dir(self.task, mode, self.round, self.stage)

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
            f"{self.task}: stage {self.stage} needs the result of stage {stage}, which is not in "
            f"{there.directory}: run the stages in order, or leave --stage away"
        )

    def rng(self, *path: int | str) -> np.random.Generator:
        """Returns the random stream of a part of this place."""
        return generator(self.seed, self.task, self.round, self.stage, *path)

    def env_seed(self, *path: int | str) -> int:
        """Returns the seed of an episode, or of what else a part of this place is the seed of."""
        return env_seed(self.seed, self.task, self.round, self.stage, *path)

    def env_seeds(self, *path: int | str, count: int) -> list[int]:
        """Returns the seeds of `count` episodes."""
        return [self.env_seed(*path, episode) for episode in range(count)]

    def model_seed(self, name: str) -> int:
        """Returns the seed of a model's initial weights: the same in every round of an attempt."""
        attempt = (self.first_round,) if self.first_round else ()
        return env_seed(self.seed, self.task, "model", name, *attempt)

    def say(self, done: int, total: int, unit: str, **facts: float) -> None:
        """Reports progress to whoever shows it."""
        where = (self.task, self.mode, self.round, self.stage)
        self.listener(Progress(*where, done, total, unit, facts))

    def record(self, event: str, **facts: Any) -> None:
        """Appends an event of this stage to the ledger."""
        where = {"task": self.task, "mode": self.mode, "round": self.round, "stage": self.stage}
        self.ledger.append(event, **where, **facts)
