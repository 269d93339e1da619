"""A walk whose stages do nothing but score what they are told to, so that its course is plain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from curriculum.config.loading import dump
from curriculum.config.schema import Config, CurriculumConfig, TaskConfig
from curriculum.mode import Mode
from curriculum.records.evaluation import Evaluation
from curriculum.records.finished import StageResult
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.records.verdict import Verdict
from curriculum.runs import runner
from curriculum.runs.imports import Machine
from curriculum.runs.runner import STAGE_NAMES, Runner
from curriculum.stages.stage import StageContext
from curriculum.stops import Barrier

TARGET = 10.0
STEPS = 100
"""What each stage of a scripted walk is said to have taken."""

Played = Callable[[StageContext], float]


@dataclass
class Walk:
    """A run whose evaluations score what a script says; every process of it is a new `Runner`.

    Attributes:
        path: of the run.
        scores: task to the scores of its rounds; an exception is raised by the round's evaluation.
        settings: of the curriculum section.
    """

    path: Path
    scores: Mapping[str, Sequence[float | BaseException]]
    settings: dict[str, Any] = field(default_factory=dict)
    seen: list[tuple[str, int, str]] = field(default_factory=list)
    """Task, round and stage of all that ran, in order."""
    drawn: list[float] = field(default_factory=list)
    """A number from the stream of each stage that ran."""

    @property
    def config(self) -> Config:
        tasks = tuple(
            TaskConfig(name, f"{name}-v0", "state", target=TARGET, simulation_target=TARGET)
            for name in self.scores
        )
        curriculum = CurriculumConfig(mode="SIMULATION", max_retries=0, **self.settings)
        return Config(name="walk", curriculum=curriculum, tasks=tasks)

    @property
    def rundir(self) -> RunDir:
        there = RunDir.exists(self.path)
        return RunDir.open(self.path) if there else RunDir.create(self.path, dump(self.config))

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.path / "events.jsonl")

    def live(self, stages: Sequence[str] = STAGE_NAMES) -> list[Verdict]:
        """Is one process of the run."""
        machine, barrier = Machine({"controller_cpu": "ok"}), Barrier(1e9)
        rundir = self.rundir
        walker = Runner(self.config, rundir, self.ledger, machine, barrier, stages=stages)
        try:
            return walker.walk()
        finally:
            walker.close()

    def result(self, ctx: StageContext) -> StageResult:
        """Does what a stage does in a scripted walk."""
        place = ctx.place
        self.seen.append((place.task, place.round, place.stage))
        self.drawn.append(float(place.rng("any").random()))
        if place.stage != "evaluate":
            return StageResult("done", env_steps=STEPS)
        score = self.scores[place.task][place.round]
        if isinstance(score, BaseException):
            raise score
        played = Evaluation(score, (score - 1, score + 1), scores=(score, score), policy="greedy")
        return StageResult(f"{score}", env_steps=STEPS, facts=played.to_facts())

    def staged(self, monkeypatch: pytest.MonkeyPatch) -> Walk:
        """Puts the script in the place of the real stages and backends."""

        def nothing(*args: Any) -> None: ...

        def stage(name: str) -> Any:
            return SimpleNamespace(
                NAME=name, verify_inputs=nothing, run=self.result, verify_outputs=nothing
            )

        backend = SimpleNamespace(mode=Mode.SIMULATION, environment="simulation")
        monkeypatch.setattr(runner, "STAGES", tuple(map(stage, STAGE_NAMES)))
        monkeypatch.setattr(runner, "fitted", lambda task, backend: task)
        monkeypatch.setattr(Runner, "_load", lambda *args: backend)
        monkeypatch.setattr(Runner, "_look_at", lambda *args: None)
        needs = SimpleNamespace(of=lambda mode: (), simulated=True)
        for module in ("curriculum.runs.history", "curriculum.runs.runner"):
            monkeypatch.setattr(f"{module}.needs_of", lambda task: needs)
        return self
