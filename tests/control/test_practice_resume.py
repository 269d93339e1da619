"""Practice and polish, real parts: stopped anywhere and resumed, they end where they would."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.config.schema import TaskConfig
from curriculum.errors import Stopped
from curriculum.records.data import EpisodeWriter
from curriculum.records.ledger import effective
from curriculum.records.sequences import LatentWriter
from curriculum.stages import controller as stage
from curriculum.stages.stage import StageContext, reached
from curriculum.stops import Barrier
from models.interfaces import Metrics, NonFiniteLoss, Rollout
from tests.control.practising import context, pole

pytest.importorskip("torch")
pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models as small as these spend their time on waking threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def refused_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every update is refused until the learning rate is lower."""
    from models.ppo import PPO

    update = PPO.update

    def refusing(self: PPO, rollouts: Sequence[Rollout], rng: np.random.Generator) -> Metrics:
        if self.learning_rate > 0.9 * REAL.ppo.learning_rate:
            raise NonFiniteLoss("NaN")
        return update(self, rollouts, rng)

    monkeypatch.setattr(PPO, "update", refusing)


class Killed(Exception):
    """The process is gone; nothing was saved."""


def life(ticks: int | None, killed: bool) -> Barrier:
    """A barrier that stops the run after so many looks at the clock, or kills it.

    Each step of the environments takes one look. Who can be killed commits every 12 looks.
    """
    looks = itertools.count()

    def clock() -> float:
        now = next(looks)
        if killed and ticks is not None and now > ticks:
            raise Killed
        return float(now)

    return Barrier(12 if killed else 1e9, 1e12 if killed or ticks is None else ticks, clock)


def learned(
    path: Path, task: TaskConfig, ticks: int | None, killed: bool = False
) -> tuple[StageContext, int]:
    """Runs the stage to its end in lives of so many ticks; returns it and its ends in a search."""
    ctx = context(path, task)
    rng = np.random.default_rng(0)
    vision, memory = ctx.new_vision(), ctx.new_memory()
    states = rng.standard_normal((64, 4)).astype(np.float32)
    vision.update(states, states, rng)
    vision.finish()
    ctx.at("vision").store.save(vision.state(), {}, complete=True)
    ctx.at("memory").store.save(memory.state(), {}, complete=True)
    if task.controller.train_in_dream:
        collected(ctx, vision.encode(states))
    ends_in_search = 0
    for _ in range(40):
        ctx = context(path, task, life(ticks, killed))
        ctx.record("stage_started", attempt=0, resumed_at=reached(ctx.store.latest()))
        try:
            result = stage.run(ctx)
        except (Stopped, Killed):
            commit = ctx.store.latest()
            ends_in_search += commit is not None and bool(commit.meta.get("practised"))
            continue
        finally:
            ctx.pool.close()
        ctx.record("done", steps=[result.env_steps, result.dream_steps], **result.facts)
        return ctx, ends_in_search
    raise AssertionError("it never ended")


def collected(ctx: StageContext, latents: np.ndarray) -> None:
    """Leaves one episode where dreams can begin."""
    writer = EpisodeWriter(
        ctx.at("collect").directory / "data",
        observation_shape=(4,),
        observation_dtype="float32",
        action_size=2,
    )
    steps = len(latents) - 1
    actions, rewards = np.eye(2, dtype=np.float32)[np.arange(steps) % 2], np.ones(steps, np.float32)
    writer.append_episode(latents, actions, rewards, terminated=True, seed=0)
    encoded = LatentWriter(ctx.at("encode").directory / "data", 4)
    encoded.append(latents, np.zeros_like(latents))


def told(ctx: StageContext) -> list[dict[str, Any]]:
    """What a reader of the ledger takes as having happened, without the times."""
    events = effective(ctx.ledger.events())
    return [{k: v for k, v in e.items() if k != "t"} for e in events if e["event"] != "notice"]


REAL = pole()
BRANCHES = pole(branches=4, branch_steps=3, branch_updates=2, branch_after=30)
RECALL = pole(features=("z", "dz"), branches=4, memory_updates=2, recall_steps=20)
REUSE = pole(reuse=3, updates=7)
LASTING = pole(noise_persistence=0.7, updates=5)
POLISH = pole(polish=12, updates=2)
DREAMED = pole(dream_steps=6, patience=2, noise_persistence=0.7)


@pytest.mark.parametrize(
    ("task", "ticks", "killed"),
    [
        (REAL, 17, False),
        (REAL, 40, True),
        (REUSE, 17, False),
        (REUSE, 40, True),
        (LASTING, 17, False),
        (LASTING, 40, True),
        (BRANCHES, 40, False),
        (RECALL, 30, False),
        (POLISH, 17, False),
        (POLISH, 36, True),
        (DREAMED, 13, False),
        (DREAMED, 30, True),
    ],
    ids=[
        "real",
        "real killed",
        "reuse",
        "reuse killed",
        "lasting noise",
        "lasting noise killed",
        "branches",
        "recall",
        "polish",
        "polish killed",
        "dreamed",
        "dreamed killed",
    ],
)
def test_stopped_or_killed_and_resumed_is_the_same_practice(
    tmp_path: Path, task: TaskConfig, ticks: int, killed: bool
) -> None:
    whole, _ = learned(tmp_path / "whole", task, None)
    parts, ends_in_search = learned(tmp_path / "parts", task, ticks, killed)
    assert (ends_in_search > 0) == (task is POLISH)
    lives = sum(event["event"] == "stage_started" for event in parts.ledger.events())
    assert lives > 1
    expected, found = whole.completed(stage.NAME), parts.completed(stage.NAME)
    assert found.meta == expected.meta
    assert found.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)
    assert ("noise/last" in expected.arrays) == (task in (LASTING, DREAMED))
    assert told(parts) == told(whole)
    events = [event["event"] for event in told(whole)]
    assert events.count("metrics") >= 5 and events.count("rolled_back") == 1
