"""What makes an environment: factories, limits of episodes, and Gymnasium's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import register
from gymnasium.wrappers import TimeLimit

from curriculum.envs import registry
from curriculum.envs.aliases import DEFAULT_EPISODE_STEPS
from curriculum.envs.registry import make_env, register_env
from curriculum.errors import ConfigError, EnvironmentFault
from tests.envs.test_declarations import Says

pytestmark = pytest.mark.gym


@pytest.fixture(autouse=True)
def _fresh_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_REGISTERED", {})


@pytest.mark.faults("a factory returns no environment, or raises", expect="a sentence")
@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda **kw: None, ConfigError, "made as NoneType"),
        (lambda **kw: object(), ConfigError, "made as object"),
        (lambda **kw: gymnasium.Env(), ConfigError, "observation_space"),
        (lambda **kw: Says(space=None), ConfigError, "observation_space"),  # type: ignore[arg-type]
        (lambda **kw: 1 // 0, EnvironmentFault, "ZeroDivisionError.*as it was built"),
    ],
)
def test_what_cannot_be_built_is_told(make: Any, error: type[Exception], text: str) -> None:
    register_env("Odd-v0", make)
    with pytest.raises(error, match=text):
        make_env("Odd-v0", "state", 1)


@pytest.fixture
def endless() -> Iterator[str]:
    register("EndlessHere-v0", lambda **kw: Says())
    yield "EndlessHere-v0"
    gymnasium.registry.pop("EndlessHere-v0")


@pytest.mark.faults(
    "episodes without end", expect="truncated after 10,000 steps, told at the start"
)
def test_episodes_without_end_get_one(endless: str) -> None:
    notices: list[str] = []
    env = make_env(endless, "state", 1, notice=notices.append)
    assert any("no limit of its episodes" in text and "10,000" in text for text in notices)
    assert env.spec.max_episode_steps == DEFAULT_EPISODE_STEPS
    env.reset([0])
    ends = [env.step(np.array([0])) for _ in range(DEFAULT_EPISODE_STEPS)]
    assert [bool(step.truncated[0]) for step in ends[-2:]] == [False, True]
    assert not ends[-1].terminated[0]


def test_a_limit_of_ones_own_or_of_the_task_is_kept(endless: str) -> None:
    notices: list[str] = []
    assert make_env("CartPole-v1", "state", 1, notice=notices.append).spec.max_episode_steps == 500
    register_env("Odd-v0", lambda **kw: TimeLimit(Says(), 9))
    assert make_env("Odd-v0", "state", 1, notice=notices.append).spec.max_episode_steps == 9
    env = make_env(endless, "state", 1, max_episode_steps=4, notice=notices.append)
    assert env.spec.max_episode_steps == 4
    assert not notices


@pytest.mark.parametrize(
    "env_id",
    [
        "Acrobot-v1",
        "BipedalWalker-v3",
        "Blackjack-v1",
        "CartPole-v1",
        "CliffWalking-v1",
        "FrozenLake-v1",
        "LunarLanderContinuous-v3",
        "MountainCar-v0",
        "MountainCarContinuous-v0",
        "Pendulum-v1",
        "Taxi-v4",
    ],
)
def test_gymnasiums_own_environments_keep_their_declarations(env_id: str) -> None:
    env = make_env(env_id, "state", 8)
    rng = np.random.default_rng(0)
    for turn in range(3):
        env.reset([turn * 8 + row for row in range(8)])
        for _ in range(30):
            env.step(np.stack([env.spec.action.sample(rng) for _ in range(8)]))
    env.close()
