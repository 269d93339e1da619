"""What of Stable-Baselines3 learns beside ours: each kind plays its turns and changes by them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

pytest.importorskip("stable_baselines3")

from baselines.sb3.rivals import rival_of
from curriculum.envs.interface import VectorEnv
from curriculum.envs.registry import make_env

pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.gym]


@pytest.mark.parametrize(
    ("solver", "env_id", "observation", "given", "name"),
    [
        ("ppo", "LunarLander-v3", "state", {}, "SB3 PPO, MlpPolicy, 16 environments"),
        ("qrdqn", "LunarLander-v3", "state", {}, "SB3 DQN, MlpPolicy, 1 environment"),
        ("sac", "Pendulum-v1", "state", {}, "SB3 SAC, MlpPolicy, 1 environment"),
        ("qrdqn", "BreakoutNoFrameskip-v4", "pixels", {}, "SB3 DQN, CnnPolicy, 1 environment"),
        (
            "qrdqn",
            "CarRacing-v3",
            "pixels",
            {"actions": ((0.0, 0.5, 0.0), (0.0, 0.0, 0.5))},
            "SB3 DQN, CnnPolicy, 1 environment",
        ),
    ],
)
def test_a_turn_is_so_many_steps_and_a_rival_learns_in_it(
    solver: str, env_id: str, observation: str, given: dict, name: str
) -> None:
    def build(num_envs: int) -> VectorEnv:
        return make_env(env_id, observation, num_envs, **given)

    env = build(1)
    env.close()
    with ExitStack() as held:
        rival = rival_of(solver, env.spec, build, held)
        assert rival.name == name
        model: Any = rival.model
        steps, updates = model.num_timesteps, model._n_updates
        before = {n: w.clone() for n, w in model.policy.state_dict().items()}
        rival.learn()
        assert model.num_timesteps == steps + rival.steps
        assert model._n_updates > updates
        after = model.policy.state_dict()
        assert any((after[n] != before[n]).any() for n in before)
