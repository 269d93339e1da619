"""A controller stage with real parts, small enough to be practised in by a test."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.config.practice import TrainingConfig
from curriculum.config.schema import (
    ControllerConfig,
    DreamConfig,
    EnvConfig,
    MDNRNNConfig,
    TaskConfig,
)
from curriculum.datasets.episodes import EpisodeWriter
from curriculum.datasets.sequences import LatentWriter
from curriculum.errors import Stopped
from curriculum.records.ledger import effective
from curriculum.stages import controller as stage
from curriculum.stages.stage import StageContext, reached
from curriculum.stops import Barrier
from models.settings.mdnrnn import MDNRNNSettings
from models.settings.ppo import PPOSettings
from tests.places import place_in, stage_at
from tests.records.samples import facts_of

ENVS, STEPS = 3, 8


def context(path: Path, task: TaskConfig, barrier: Barrier | None = None) -> StageContext:
    """A controller stage of a new run, or of the one that is there."""
    return stage_at(place_in(path, task.name, "FULL", stage.NAME, barrier=barrier), task)


def pole(
    *,
    polish: int = 0,
    updates: int = 5,
    features: tuple[str, ...] = ("z", "dz", "h"),
    dream_steps: int = 0,
    learning_rate: float = 1e-3,
    **training: Any,
) -> TaskConfig:
    """CartPole, practised in for so many updates and polished for so many generations.

    With `dream_steps` it is practised in dreams of that length.
    """
    settings = {
        "num_envs": ENVS,
        "num_steps": STEPS,
        "total_steps": updates * ENVS * STEPS,
        "reseed_steps": 20,
        "final_rate": 1.0,
        **training,
    }
    return TaskConfig(
        name="pole",
        env_id="CartPole-v1",
        observation="state",
        target=500.0,
        env=EnvConfig(num_envs=4, max_episode_steps=40),
        mdnrnn=MDNRNNConfig(
            MDNRNNSettings(rnn_size=4, num_mixtures=2), sequence_length=6, batch_size=8
        ),
        controller=ControllerConfig(
            solver="ppo",
            hidden_sizes=(4,),
            features=features,
            polish_generations=polish,
            population_size=4,
            rollouts_per_candidate=1,
            check_every=1,
            check_episodes=2,
            train_in_dream=dream_steps > 0,
        ),
        dream=DreamConfig(max_steps=max(dream_steps, 1)),
        ppo=PPOSettings(minibatch_size=16, epochs=2, learning_rate=learning_rate),
        training=TrainingConfig(**settings),
    )


class Killed(Exception):
    """The process is gone; nothing was saved."""


def life(ticks: int | None, killed: bool) -> Barrier:
    """A barrier that stops the run after so many ticks of its clock, or kills it.

    Each step of the environments takes about one tick, in three looks at the clock: at the barrier
    two, and one where the step begins that may be broken off. Who can be killed commits every 12.
    """
    looks = itertools.count()

    def clock() -> float:
        now = next(looks) / 3
        if killed and ticks is not None and now > ticks:
            raise Killed
        return now

    return Barrier(12 if killed else 1e9, 1e12 if killed or ticks is None else ticks, clock)


def learned(
    path: Path, task: TaskConfig, ticks: int | None, killed: bool = False
) -> tuple[StageContext, int]:
    """Runs the stage to its end in lives of so many ticks; returns it and its ends in a search."""
    ctx = context(path, task)
    rng = np.random.default_rng(0)
    vision, memory = ctx.new_vision(), ctx.new_memory()
    states = rng.standard_normal((64, *ctx.spec.shape)).astype(np.float32)
    vision.update(states, states, rng)
    vision.finish()
    ctx.place.at("vision").store.save(vision.state(), {}, complete=True)
    ctx.place.at("memory").store.save(memory.state(), {}, complete=True)
    if task.controller.train_in_dream:
        collected(ctx, vision.encode(states))
    ends_in_search = 0
    for _ in range(40):
        ctx = context(path, task, life(ticks, killed))
        ctx.place.record("stage_started", attempt=0, resumed_at=reached(ctx.place.store.latest()))
        try:
            result = stage.run(ctx)
        except (Stopped, Killed):
            commit = ctx.place.store.latest()
            ends_in_search += commit is not None and bool(commit.meta.get("practised"))
            continue
        finally:
            ctx.executor.close()
        used = {"env_steps": result.env_steps, "dream_steps": result.dream_steps}
        ctx.place.ledger.append("stage_done", **facts_of("stage_done", **used, facts=result.facts))
        return ctx, ends_in_search
    raise AssertionError("it never ended")


def collected(ctx: StageContext, latents: np.ndarray) -> None:
    """Leaves one episode where dreams can begin."""
    writer = EpisodeWriter(
        ctx.place.at("collect").directory / "data",
        observation_shape=(4,),
        observation_dtype="float32",
        action_size=2,
    )
    steps = len(latents) - 1
    actions, rewards = np.eye(2, dtype=np.float32)[np.arange(steps) % 2], np.ones(steps, np.float32)
    writer.append_episode(latents, actions, rewards, terminated=True, seed=0)
    encoded = LatentWriter(ctx.place.at("encode").directory / "data", 4)
    encoded.append(latents, np.zeros_like(latents))


def told(ctx: StageContext) -> list[dict[str, Any]]:
    """What a reader of the ledger takes as having happened, without the times."""
    events = effective(ctx.place.ledger.events())
    return [{k: v for k, v in e.items() if k != "t"} for e in events if e["event"] != "notice"]
