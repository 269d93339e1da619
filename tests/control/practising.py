"""A controller stage with real parts, small enough to be practised in by a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curriculum.backends.backend import load_backend
from curriculum.config.schema import (
    Config,
    ControllerConfig,
    DreamConfig,
    EnvConfig,
    MDNRNNConfig,
    PPOConfig,
    TaskConfig,
)
from curriculum.pool import Pool
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.stages import controller as stage
from curriculum.stages.stage import StageContext
from curriculum.stops import Barrier

ENVS, STEPS = 3, 8


def context(path: Path, task: TaskConfig, barrier: Barrier | None = None) -> StageContext:
    """A controller stage of a new run, or of the one that is there."""
    there = RunDir.exists(path)
    rundir = RunDir.open(path) if there else RunDir.create(path, "", {"id": "any"})
    backend = load_backend("FULL", {})
    env = backend.make_env(task, 1, lambda text: None)
    env.close()
    return StageContext(
        config=Config(tasks=(task,)),
        task=task,
        backend=backend,
        states={},
        spec=env.spec,
        round=0,
        stage=stage.NAME,
        rundir=rundir,
        ledger=Ledger(rundir.ledger_path),
        pool=Pool(0, initializer="curriculum.stages.work:build"),
        listener=lambda progress: None,
        barrier=barrier or Barrier(1e9),
    )


def pole(
    *,
    polish: int = 0,
    updates: int = 5,
    features: tuple[str, ...] = ("z", "dz", "h"),
    dream_steps: int = 0,
    **ppo: Any,
) -> TaskConfig:
    """CartPole, practised in for so many updates and polished for so many generations.

    With `dream_steps` it is practised in dreams of that length.
    """
    settings = {
        "num_envs": ENVS,
        "num_steps": STEPS,
        "total_steps": updates * ENVS * STEPS,
        "minibatch_size": 16,
        "epochs": 2,
        "reseed_steps": 20,
        "final_rate": 1.0,
        **ppo,
    }
    return TaskConfig(
        name="pole",
        env_id="CartPole-v1",
        observation="state",
        target=500.0,
        env=EnvConfig(num_envs=4, max_episode_steps=40),
        mdnrnn=MDNRNNConfig(rnn_size=4, num_mixtures=2, sequence_length=6, batch_size=8),
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
        ppo=PPOConfig(**settings),
    )
