"""What is told of episodes: each step's facts and actions, and what C read before it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np

from curriculum.agent.agent import Player
from curriculum.agent.told import tell_episodes
from curriculum.agent.work import EpisodesUnit, Workbench
from curriculum.envs.interface import Step
from models.controller_cpu import CPUController
from tests.collecting.test_pushed_collector import Plain
from tests.curriculum.counting_env import CountingEnv


class Told(CountingEnv):
    """Tells what it shows."""

    def recv(self) -> Step:
        step = super().recv()
        return step._replace(facts=step.observations.astype(np.float32))


def test_each_episode_has_its_own_steps_in_order() -> None:
    """There are more episodes than slots, and their lengths differ."""
    controller = CPUController(2, "discrete", 3)
    agent = SimpleNamespace(
        load=lambda learned: None, player=lambda slots, rng: Player(Plain(), controller, rng)
    )
    task = SimpleNamespace(env=SimpleNamespace(num_envs=3))
    bench = SimpleNamespace(env=Told, agent=agent, spec=SimpleNamespace(task=task, seed=0))
    seeds = (3, 11, 7, 2, 5, 8)
    told = tell_episodes(cast(Workbench, bench), EpisodesUnit({}, seeds))
    assert [one.episode.seed for one in told] == list(seeds)
    assert len({one.episode.steps for one in told}) > 1
    for seed, one in zip(seeds, told, strict=True):
        steps = one.episode.steps
        assert one.actions.shape == (steps,) and one.features.shape == (steps, 2)
        # It shows its seed and how many steps were made.
        assert (one.features[:, 0] == seed).all() and (one.facts[:, 0] == seed).all()
        assert one.features[:, 1].tolist() == list(range(steps))
        assert one.facts[:, 1].tolist() == list(range(1, steps + 1))
