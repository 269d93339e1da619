"""PPO in our environments: the adapter keeps their rules, and a tiny training runs to its end."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

import torch
from safetensors.torch import load_file
from stable_baselines3 import PPO

from baselines.results import BaselineHome, load_results, name_of
from baselines.sb3.arena import SameEnvironments
from baselines.sb3.changes import changed
from baselines.sb3.recipes import (
    PIXELS_CONTINUOUS,
    PIXELS_DISCRETE,
    STATE,
    Linear,
    Recipe,
    recipe_for,
)
from baselines.sb3.training import Training, train
from baselines.sb3.vec_env import FrameStack, TrainingVecEnv
from curriculum.collecting.lessons import Ended
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import ActionSpec, EnvSpec, VectorEnv
from curriculum.envs.simulation import make_simulation
from curriculum.errors import ConfigError
from curriculum.tasks import builtin_tasks
from tests.curriculum.counting_env import CountingEnv

pytestmark = pytest.mark.torch
LANDER = TaskConfig("lunarlander", "LunarLander-v3", "state", 200.0)


def simulated(num_envs: int, max_steps: int = 0) -> VectorEnv:
    return make_simulation(
        "lunarlander", num_envs, observation="state", max_episode_steps=max_steps
    )


def seed_of(slot: int) -> int:
    return 1000 * slot


def quick(recipe: Recipe) -> Recipe:
    """The same kind of training with rollouts and updates that take no time."""
    settings = {**recipe.settings, "n_steps": 8, "batch_size": 8, "n_epochs": 1}
    return replace(recipe, num_envs=2, settings=settings)


def test_scores_seeds_and_resets_are_ours() -> None:
    told: list[Ended] = []
    env = TrainingVecEnv(simulated(3), seed_of, clip_rewards=True, on_episode=told.append)
    ours = simulated(3)
    observations = env.reset()
    np.testing.assert_array_equal(observations, ours.reset([0, 1000, 2000]))
    rng = np.random.default_rng(0)
    while len(told) < 7:
        actions = rng.integers(0, 4, 3)
        observations, rewards, dones, infos = env.step(actions)
        step = ours.step(actions)
        np.testing.assert_array_equal(rewards, np.sign(step.rewards))
        for slot in np.flatnonzero(dones).tolist():
            np.testing.assert_array_equal(
                infos[slot]["terminal_observation"], step.observations[slot]
            )
            np.testing.assert_array_equal(ours.reset(None, [slot])[slot], observations[slot])
    assert min(e.score for e in told) < -50, "the ledger sees true scores"
    env.close()


def test_a_lost_life_ends_the_learners_episode_and_not_the_game() -> None:
    told: list[Ended] = []
    game = CountingEnv(1, life=2)
    env = TrainingVecEnv(
        game, lambda slot: 3, end_on_life_loss=True, frame_stack=2, on_episode=told.append
    )
    env.reset()
    stacks, dones, infos = [], [], []
    for _ in range(5):
        stacked, _, done, info = env.step(np.ones(1, np.int64))
        stacks.append(stacked[0].tolist())
        dones.append(bool(done[0]))
        infos.append(info[0].get("TimeLimit.truncated"))
    assert dones == [False, True, False, False, True]
    assert infos == [None, False, None, None, False]
    assert stacks[1] == [0, 0, 3, 2], "the game plays on, and the stack begins anew"
    assert told == [Ended(0, 6.0, 5, True)], "score and length are those of the whole game"


@pytest.mark.parametrize(("limit", "worth"), [(3, 1.0 + 0.9 * 5.0), (100, 1.0)])
def test_ppo_counts_what_follows_a_time_limit_and_nothing_after_an_end(
    limit: int, worth: float
) -> None:
    env = TrainingVecEnv(CountingEnv(1, limit=limit), lambda slot: 1 if limit > 3 else 4)
    model = PPO("MlpPolicy", env, n_steps=4, batch_size=4, n_epochs=1, gamma=0.9, device="cpu")
    with torch.no_grad():
        for parameter in model.policy.value_net.parameters():
            parameter.zero_()
        model.policy.value_net.bias.fill_(5.0)
        model.policy.action_net.weight.zero_()
        model.policy.action_net.bias.copy_(torch.tensor([0.0, 1e6, 0.0]))
    _, callback = model._setup_learn(4)
    model.collect_rollouts(env, callback, model.rollout_buffer, 4)
    np.testing.assert_allclose(model.rollout_buffer.rewards[:, 0], [1.0, 1.0, worth, 1.0])


def test_stacks_hold_the_last_frames_and_forget_at_a_reset() -> None:
    spec = EnvSpec("x", "pixels", (2, 2, 1), ActionSpec("discrete", 2))
    stack = FrameStack(3, 4, spec)

    def push(value: int, *slots: int) -> list[list[int]]:
        frames = np.full((len(slots), 2, 2, 1), value, np.uint8)
        return stack.push(frames, np.array(slots))[:, 0, 0].tolist()

    assert push(1, 0, 2) == [[0, 0, 0, 1]] * 2
    assert push(2, 2) == [[0, 0, 1, 2]]
    stack.begin(np.array([2]))
    assert push(3, 0, 2) == [[0, 0, 1, 3], [0, 0, 0, 3]]


@pytest.mark.parametrize(
    ("observation", "kind", "recipe"),
    [
        ("state", "discrete", STATE),
        ("state", "continuous", STATE),
        ("pixels", "discrete", PIXELS_DISCRETE),
        ("pixels", "continuous", PIXELS_CONTINUOUS),
    ],
)
def test_recipes_follow_what_the_agent_sees_and_does(
    observation: str, kind: str, recipe: object
) -> None:
    spec = EnvSpec("x", observation, (4,), ActionSpec(kind, 2))  # type: ignore[arg-type]
    assert recipe_for(spec) is recipe
    json.dumps(recipe_for(spec).facts("same"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["breakout", "carracing"])
def test_every_kind_of_recipe_trains(tmp_path: Path, name: str) -> None:
    task = next(task for task in builtin_tasks() if task.name == name)

    def make_env(num_envs: int) -> VectorEnv:
        return make_simulation(
            name,
            num_envs,
            observation="pixels",
            grayscale=task.env.grayscale,
            max_episode_steps=20,
        )

    recipe = quick(PIXELS_DISCRETE if name == "breakout" else PIXELS_CONTINUOUS)
    training = Training(steps=16, episodes=1, evaluations=1, recipe=recipe)
    with BaselineHome(tmp_path, name_of("ppo", name, 0)) as home:
        result = train("ppo", task, SameEnvironments(task, make_env), home, training)
    assert np.isfinite(result.scores).all() and result.env_steps == 16
    assert (tmp_path / f"ppo-{name}-seed0" / "policy.safetensors").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.gym
def test_a_tiny_training_on_the_real_game(tmp_path: Path) -> None:
    pytest.importorskip("Box2D")
    from curriculum.backends.parts import real_env

    with BaselineHome(tmp_path, name_of("ppo", "lunarlander", 0)) as home:
        result = train(
            "ppo",
            LANDER,
            SameEnvironments(LANDER, lambda n: real_env(LANDER, n, lambda text: None)),
            home,
            Training(steps=2048, episodes=4, evaluations=2, recipe=quick(STATE)),
        )
    ledger = home.ledger
    assert result.env_steps == 2048 and len(result.scores) == 4
    assert load_results(tmp_path) == [result]
    curve = ledger.events("evaluation")
    assert [e["step"] for e in curve] == [1024, 2048] and len(curve[0]["scores"]) == 5
    episodes = ledger.events("episode")
    assert episodes and all(e["score"] < 400 for e in episodes)
    weights = load_file(tmp_path / "ppo-lunarlander-seed0" / "policy.safetensors")
    fresh = PPO("MlpPolicy", TrainingVecEnv(simulated(1), seed_of), device="cpu")
    fresh.policy.load_state_dict(weights)


@pytest.mark.parametrize(
    ("param", "expected"),
    [
        ("learning_rat=1", "did you mean learning_rate?"),
        ("device=cuda", "no hyper-parameter 'device'"),
        ("nonsense", "expected NAME=VALUE"),
        ("n_steps=abc", "expected a whole number"),
        ("batch_size=1.5", "expected a whole number"),
        ("gamma=high", "expected a number"),
        ("normalize_advantage=7", "expected true or false"),
    ],
)
def test_a_hyper_parameter_that_is_none_is_refused(param: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(expected)):
        changed(STATE, PPO, [param])


def test_changed_hyper_parameters_are_told_and_used(tmp_path: Path) -> None:
    params = ("learning_rate=lin_3e-2", "gamma=0.9", "num_envs=2", "n_steps=8", "n_steps=16")
    recipe = changed(STATE, PPO, params)
    assert (recipe.gamma, recipe.num_envs, recipe.settings["n_steps"]) == (0.9, 2, 16)
    assert recipe.settings["learning_rate"] == Linear(0.03)
    assert recipe.settings["gae_lambda"] == STATE.settings["gae_lambda"]
    assert recipe.source.startswith(f"{STATE.source}; changed: learning_rate=lin_3e-2, gamma=0.9")
    assert changed(STATE, PPO, ()) is STATE
