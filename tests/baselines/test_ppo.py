"""PPO in our environments: the adapter keeps their rules, and a tiny training runs to its end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from safetensors.torch import load_file
from stable_baselines3 import PPO

from baselines.ppo import Plan, train_ppo
from baselines.recipes import PIXELS_CONTINUOUS, PIXELS_DISCRETE, STATE, Recipe, recipe_for
from baselines.results import load_results, open_ledger
from baselines.vec_env import FrameStack, TrainingVecEnv
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import ActionSpec, EnvSpec, VectorEnv
from curriculum.envs.simulation import make_simulation
from curriculum.rollout import Episode
from curriculum.tasks import builtin_tasks

pytestmark = pytest.mark.torch
LANDER = TaskConfig("lunarlander", "LunarLander-v3", "state", 200.0)


def simulated(num_envs: int, max_steps: int = 0) -> VectorEnv:
    return make_simulation(
        "lunarlander", num_envs, observation="state", max_episode_steps=max_steps
    )


def seed_of(slot: int, number: int) -> int:
    return 1000 * slot + number


def quick(recipe: Recipe) -> Recipe:
    """The same kind of training with rollouts and updates that take no time."""
    settings = {**recipe.settings, "n_steps": 8, "batch_size": 8, "n_epochs": 1}
    return replace(recipe, num_envs=2, settings=settings)


def test_scores_seeds_and_resets_are_ours() -> None:
    told: list[Episode] = []
    env = TrainingVecEnv(simulated(3), seed_of, clip_rewards=True, on_episode=told.append)
    observations = env.reset()
    np.testing.assert_array_equal(observations, simulated(3).reset([0, 1000, 2000]))
    rng = np.random.default_rng(0)
    while len(told) < 7:
        observations, rewards, dones, infos = env.step(rng.integers(0, 4, 3))
        assert set(np.unique(rewards)) <= {-1.0, 0.0, 1.0}, "the learner sees signs"
        for slot in np.flatnonzero(dones):
            last = infos[slot]["terminal_observation"]
            assert not np.array_equal(last, observations[slot]), "the next episode has begun"
    assert min(e.score for e in told) < -50, "the ledger sees true scores"
    assert all(e.seed in (seed_of(s, n) for s in range(3) for n in range(9)) for e in told)
    assert len({e.seed for e in told}) == len(told)
    env.close()


def test_a_time_limit_is_told_from_an_end() -> None:
    env = TrainingVecEnv(simulated(2, max_steps=5), seed_of)
    env.reset()
    for _ in range(4):
        assert not env.step(np.zeros(2, np.int64))[2].any()
    _, _, dones, infos = env.step(np.zeros(2, np.int64))
    assert dones.all() and all(info["TimeLimit.truncated"] for info in infos)
    env.close()


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
    json.dumps(recipe_for(spec).facts())


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
    ledger = open_ledger(tmp_path, "ppo", name, 0)
    plan = Plan(steps=16, episodes=1, evaluations=1, recipe=recipe)
    result = train_ppo(task, make_env, ledger, plan)
    assert np.isfinite(result.scores).all() and result.env_steps == 16
    assert (tmp_path / f"ppo-{name}-seed0" / "policy.safetensors").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.gym
def test_a_tiny_training_on_the_real_game(tmp_path: Path) -> None:
    pytest.importorskip("Box2D")
    from curriculum.backends.parts import real_env

    told: list[int] = []
    ledger = open_ledger(tmp_path, "ppo", "lunarlander", 0)
    result = train_ppo(
        LANDER,
        lambda n: real_env(LANDER, n, lambda text: None),
        ledger,
        Plan(steps=2048, episodes=4, evaluations=2, recipe=quick(STATE)),
        tell=lambda step, score: told.append(step),
    )
    assert result.env_steps == 2048 and len(result.scores) == 4
    assert told == [1024, 2048]
    assert load_results(tmp_path) == [result]
    curve = ledger.events("evaluation")
    assert [e["step"] for e in curve] == told and len(curve[0]["scores"]) == 5
    episodes = ledger.events("episode")
    assert episodes and all(e["score"] < 400 for e in episodes)
    weights = load_file(tmp_path / "ppo-lunarlander-seed0" / "policy.safetensors")
    fresh = PPO("MlpPolicy", TrainingVecEnv(simulated(1), seed_of), device="cpu")
    fresh.policy.load_state_dict(weights)
