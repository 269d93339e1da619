"""The first four stages of a task whose every number is known in advance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from curriculum.config.schema import (
    CollectConfig,
    EnvConfig,
    MDNRNNConfig,
    TaskConfig,
    VAEConfig,
)
from curriculum.envs import registry
from curriculum.errors import Stopped
from curriculum.records.finished import StageResult
from curriculum.stages import collect, encode, memory, vision
from curriculum.stages.stage import StageContext
from tests.places import place_in, stage_at, stopped_at

EPISODES, ACTIONS = 24, 3
STAGES = {stage.NAME: stage for stage in (collect, vision, encode, memory)}
STARTED: list[int] = []
"""Seeds of the episodes that were begun."""


class Countdown(gymnasium.Env):
    """Shows how many steps are left, `2 + seed % 5` at first; each pays the action taken."""

    observation_space = gymnasium.spaces.Box(0.0, 9.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(ACTIONS)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        assert seed is not None
        STARTED.append(seed)
        self._left = length(seed)
        return np.array([self._left], np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self._left -= 1
        return np.array([self._left], np.float32), float(action), self._left == 0, False, {}


def length(seed: int) -> int:
    return 2 + seed % 5


@pytest.fixture(autouse=True)
def countdown() -> Iterator[None]:
    before = dict(registry.registered())
    registry.register_env("Countdown", Countdown)
    STARTED.clear()
    yield
    registry._REGISTERED.clear()
    registry._REGISTERED.update(before)


def stage_of(path: Path, name: str, stop_at: float = np.inf, **mdnrnn: Any) -> StageContext:
    """A stage of the run at a path; it is asked to stop once it has done so much."""
    task = TaskConfig(
        name="countdown",
        env_id="Countdown",
        observation="state",
        env=EnvConfig(num_envs=2),
        collect=CollectConfig(
            num_random_rollouts=EPISODES, num_policy_rollouts=4, random_fraction=0.0
        ),
        vae=VAEConfig(batch_size=4),
        mdnrnn=MDNRNNConfig(**{"sequence_length": 2, "batch_size": 1, **mdnrnn}),
    )
    barrier, listener = stopped_at(stop_at)
    where = (path, task.name, "GYM_ONLY", name)
    return stage_at(place_in(*where, barrier=barrier, listener=listener), task)


def done(path: Path, name: str, stop_at: float = np.inf) -> tuple[StageContext, StageResult]:
    """Runs a stage to its end through its three functions, stopped once on the way if asked."""
    stage = STAGES[name]
    if np.isfinite(stop_at):
        with pytest.raises(Stopped):
            stage.run(stage_of(path, name, stop_at))
    ctx = stage_of(path, name)
    stage.verify_inputs(ctx)
    result = stage.run(ctx)
    stage.verify_outputs(ctx, result)
    commit = ctx.place.store.latest()
    assert commit is not None and commit.complete
    return ctx, result


def done_before(path: Path, name: str) -> Path:
    """Runs all stages before one; returns the path."""
    for before in STAGES:
        if before == name:
            break
        done(path, before)
    return path


def learned(ctx: StageContext) -> dict[str, np.ndarray]:
    """The arrays of a stage's last commit."""
    commit = ctx.place.store.latest()
    assert commit is not None
    return commit.arrays
