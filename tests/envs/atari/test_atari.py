"""Atari games: true scores, whole games, the id's own rules."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from curriculum.envs.interface import VectorEnv
from curriculum.envs.registry import make_env
from curriculum.errors import ComponentMissing, ConfigError

pytestmark = pytest.mark.gym


def play(env: VectorEnv, seed: int, steps: int) -> np.ndarray:
    """Plays random actions and returns the observations of the only environment."""
    actions = np.random.default_rng(0).integers(0, env.spec.action.size, steps)
    seen = [env.reset([seed])]
    seen += [env.step(np.array([action])).observations for action in actions]
    return np.concatenate(seen)


def test_a_new_ball_is_served_after_each_lost_life_and_the_game_ends_once() -> None:
    env = make_env("BreakoutNoFrameskip-v4", "pixels", 1, frame_skip=4)
    env.reset([3])
    idle = np.zeros(1, np.int64)
    over = [env.step(idle).terminated[0] for _ in range(200)]
    env.close()
    assert sum(over) == 1
    assert over.index(True) > 50, "the first of five lives must not end the game"


def test_rewards_are_true_and_unclipped() -> None:
    env = make_env("ALE/SpaceInvaders-v5", "pixels", 1)
    rng = np.random.default_rng(0)
    env.reset([1])
    rewards = [float(env.step(rng.integers(0, 6, 1)).rewards[0]) for _ in range(150)]
    env.close()
    assert max(rewards) >= 5
    assert env.spec.frames_per_step == 4


def test_sticky_actions_belong_to_the_id_and_can_be_set() -> None:
    def differs(env_id: str, **options) -> bool:
        env = make_env(env_id, "pixels", 1, frame_skip=4, noop_max=0, **options)
        first, second = play(env, 1, 40), play(env, 2, 40)
        env.close()
        return not np.array_equal(first, second)

    assert not differs("PongNoFrameskip-v4")
    assert differs("PongNoFrameskip-v4", repeat_action_probability=0.5)
    assert differs("ALE/Pong-v5")
    assert not differs("ALE/Pong-v5", kwargs={"repeat_action_probability": 0.0})


def test_an_episode_is_truncated_at_its_limit_and_the_default_is_half_an_hour() -> None:
    env = make_env("PongNoFrameskip-v4", "pixels", 2, frame_skip=3, max_episode_steps=5)
    env.reset([1, 2])
    steps = [env.step(np.zeros(2, np.int64)) for _ in range(6)]
    env.close()
    assert [step.truncated.all() for step in steps] == [False] * 4 + [True, False]
    assert not any(step.terminated.any() for step in steps)
    whole = make_env("PongNoFrameskip-v4", "pixels", 1, frame_skip=4)
    whole.close()
    assert whole.spec.max_episode_steps == 27_000


def test_colours_and_noops_are_as_asked_for() -> None:
    colour = make_env("PongNoFrameskip-v4", "pixels", 1, frame_skip=4, grayscale=False)
    frame = colour.reset([4])[0]
    colour.close()
    assert frame.shape == (64, 64, 3)
    assert (frame[..., 0] != frame[..., 2]).any()
    grey = make_env("BreakoutNoFrameskip-v4", "pixels", 1)
    beginnings = {grey.reset([seed]).tobytes() for seed in range(8)}
    repeated = {grey.reset([seed]).tobytes() for seed in (0, 2**31, 2**62)}
    grey.close()
    assert len(beginnings) > 1, "episodes begin after different numbers of idle frames"
    assert len(repeated) > 1, "seeds beyond 31 bits are seeds too"


def test_what_an_atari_game_cannot_do_is_said() -> None:
    with pytest.raises(ConfigError, match="observation: pixels"):
        make_env("PongNoFrameskip-v4", "state", 1)
    with pytest.raises(ConfigError, match=r"render_mode.*frameskip"):
        make_env("PongNoFrameskip-v4", "pixels", 1, kwargs={"render_mode": "human"})


def test_a_closed_game_says_so() -> None:
    env = make_env("PongNoFrameskip-v4", "pixels", 1)
    env.reset([1])
    env.close()
    with pytest.raises(RuntimeError, match="closed"):
        env.step(np.zeros(1, np.int64))


def test_without_ale_py_only_atari_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ale_py", None)
    monkeypatch.delitem(sys.modules, "curriculum.envs.atari", raising=False)
    with pytest.raises(ComponentMissing, match="pip install ale-py"):
        make_env("PongNoFrameskip-v4", "pixels", 1)
    make_env("LunarLander-v3", "state", 1).close()
