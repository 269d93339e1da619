"""The floor: uniform random actions in the very environments that agents are judged in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from baselines.results import BaselineResult, describe, finish
from curriculum.agent.episodes import run_episodes
from curriculum.agent.policies import RandomPolicy
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import VectorEnv
from curriculum.records.ledger import Ledger
from curriculum.seeds import env_seed, generator

MakeEnv = Callable[[int], VectorEnv]
"""Builds a batch of so many environments."""


def play_random(
    task: TaskConfig,
    make_env: MakeEnv,
    ledger: Ledger,
    *,
    episodes: int,
    seed: int,
    machine: dict[str, Any] | None = None,
) -> BaselineResult:
    """Plays full episodes with uniform random actions and writes down their true scores.

    Args:
        task: what is played.
        make_env: builds its environments.
        ledger: of this baseline; one that was killed is begun anew.
        episodes: how many.
        seed: root of the episodes' seeds and of the actions.
        machine: hardware and versions, for the record.
    """
    env = make_env(min(task.env.num_envs, episodes))
    try:
        known = describe("random", task, env.spec.env_id, seed)
        ledger.truncate(0)
        ledger.append("baseline_started", **known, episodes=episodes, machine=machine or {})
        streams = [generator(seed, task.name, "random", "actions", n) for n in range(episodes)]
        seeds = [env_seed(seed, task.name, "random", "episodes", n) for n in range(episodes)]
        played = run_episodes(env, RandomPolicy(env.spec.action, 0.0, streams), seeds)
    finally:
        env.close()
    for number, episode in enumerate(played):
        ledger.append("episode", number=number, score=episode.score, steps=episode.steps)
    result = BaselineResult(
        **known,
        policy="random",
        scores=tuple(e.score for e in played),
        env_steps=0,
        seconds=0.0,
        machine=machine or {},
    )
    finish(ledger, result)
    return result
