"""A learner that draws from a replay fits the loop as PPO does, exact resume included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.collecting.collector import Transition
from curriculum.errors import Stopped
from curriculum.learning.replay import Replay
from curriculum.learning.selection import Selection
from curriculum.stages import controller as stage
from curriculum.stages.stage import StageContext
from models.interfaces import Metrics, State
from tests.learning.practising import ENVS, Killed, context, life, pole

POLE = pole(updates=12, features=("z", "dz"), num_steps=4, total_steps=12 * ENVS * 4)
TASK = replace(POLE, controller=replace(POLE.controller, hidden_sizes=()))
GAMMA, BATCH = 0.9, 16


class LinearQ:
    """Semi-gradient Q-learning, linear in the features (Sutton & Barto 2018, section 9.4)."""

    model = None
    steps_per_update = 4

    def __init__(self, ctx: StageContext, num_features: int) -> None:
        directory = ctx.place.directory / "replay"
        self.replay = Replay(directory, ENVS, num_features, ctx.spec.action, capacity=30)
        self.weights = np.zeros((num_features, ctx.spec.action.size), np.float32)

    def observe(self, transition: Transition) -> None:
        self.replay.add(transition)

    def update(self, number: int, rate: float, rng: np.random.Generator) -> Metrics:
        batch = self.replay.sample(BATCH, rng, gamma=GAMMA, num_steps=2)
        rows = np.arange(BATCH)
        best = (batch.following @ self.weights).max(axis=1)
        error = (
            batch.returns
            + batch.discounts * best
            - (batch.features @ self.weights)[rows, batch.actions]
        )
        for row in rows:
            step = np.float32(rate) * error[row] * batch.features[row]
            self.weights[:, batch.actions[row]] += step.astype(np.float32)
        return {"loss": float(np.square(error).mean())}

    def learned(self) -> State:
        bias = np.zeros(self.weights.shape[1], np.float32)
        return {"parameters": np.concatenate([self.weights.ravel(), bias])}

    def state(self) -> State:
        kept = {f"replay/{name}": array for name, array in self.replay.state().items()}
        return {**kept, "learner/weights": self.weights.copy()}

    def load_state(self, part: Callable[[str], State]) -> None:
        self.weights = part("learner")["weights"]
        self.replay.load_state(part("replay"))

    def appended(self) -> Mapping[str, int]:
        return self.replay.lengths()

    def sync(self) -> None:
        self.replay.sync()

    def cut(self, appended: Mapping[str, int]) -> None:
        self.replay.cut(appended)


def learned(path: Path, ticks: int | None, killed: bool = False) -> tuple[StageContext, int]:
    """Runs the loop to its end in lives of so many ticks; returns the last one and their number."""
    for number in range(1, 60):
        ctx = context(path, TASK, life(ticks, killed))
        agent = ctx.agent({})
        bare: dict[str, Any] = {"target": 1e9, "margin": 0.0, "episodes": 1}
        selection = Selection(ctx.place, lambda *given: [], agent.state(), **bare)
        selection.check = lambda *given, **options: 0.0  # type: ignore[method-assign]
        loop = stage.new_loop(ctx, agent, LinearQ(ctx, agent.num_features), selection)
        try:
            loop.begin()
            loop.run()
            loop.save(complete=True)
        except (Stopped, Killed):
            continue
        finally:
            loop.close()
            ctx.executor.close()
        return ctx, number
    raise AssertionError("it never ended")


@pytest.mark.gym
@pytest.mark.parametrize(("ticks", "killed"), [(9, False), (25, False), (30, True)])
def test_a_replay_learner_resumed_is_the_same(tmp_path: Path, ticks: int, killed: bool) -> None:
    whole, _ = learned(tmp_path / "whole", None)
    parts, lives = learned(tmp_path / "parts", ticks, killed)
    assert lives > 2
    expected, found = (ctx.place.completed(stage.NAME) for ctx in (whole, parts))
    assert expected.arrays["learner/weights"].any(), "it has learned"
    assert found.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)
    assert found.meta == expected.meta and found.appended == expected.appended
    for name, length in expected.appended.items():
        files = [ctx.place.directory / "replay" / name for ctx in (whole, parts)]
        assert files[0].read_bytes()[:length] == files[1].read_bytes()[:length], name
