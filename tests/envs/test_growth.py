"""Environments stepped for long do not grow; 100,000 steps of each: `diagnostics bench growth`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from curriculum.envs.interface import VectorEnv
from curriculum.envs.registry import make_env
from curriculum.envs.simulation import SIMULATIONS, make_simulation
from diagnostics.bench.growth import grow

CASES: dict[str, tuple[Callable[[], VectorEnv], int]] = {
    "lunarlander": (lambda: make_env("LunarLander-v3", "state", 16), 30_000),
    "carracing": (
        lambda: make_env("CarRacing-v3", "pixels", 2, frame_skip=4, max_episode_steps=40),
        400,
    ),
    "pong": (lambda: make_env("PongNoFrameskip-v4", "pixels", 4, frame_skip=4), 4_000),
}


@pytest.mark.gym
@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_real_environments_do_not_grow(name: str) -> None:
    make, steps = CASES[name]
    env = make()
    growth = grow(name, env, steps, warm_up=steps // 4)
    env.close()
    assert growth.within_noise, f"grew by {growth.growth_mib:.1f} MiB in {steps} steps"


@pytest.mark.parametrize("name", SIMULATIONS)
def test_simulations_do_not_grow(name: str) -> None:
    growth = grow(name, make_simulation(name, 16), 8_000, warm_up=2_000)
    assert growth.within_noise, f"grew by {growth.growth_mib:.1f} MiB"
