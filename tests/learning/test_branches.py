"""Short dreams from real moments: what they show the learner, worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from curriculum.agent.perception import WorldModelPerception
from curriculum.config.schema import ControllerConfig, DreamConfig, PPOConfig
from curriculum.envs.interface import ActionSpec
from curriculum.learning.branches import Branches
from curriculum.seeds import generator
from models.interfaces import Controller, Memory, Metrics, PolicyLearner, Prediction, Rollout

BUTTONS = ActionSpec("discrete", 3)
STICKS = ActionSpec("continuous", 1, (0.0,), (4.0,))


class Adds:
    """A memory whose z grows by the action; the reward is ten times the steps it has seen.

    Its state is the number of steps and the last action; an end is certain from z = 100 on, and
    noise makes of z + action a z between that and one more.
    """

    latent_size, hidden_size, single_pass = 1, 1, True

    def __init__(self, action_size: int = 3, noise: float = 0.0, end: float = 0.0) -> None:
        self.action_size, self.noise, self.end = action_size, noise, end
        self.temperatures: list[float] = []

    def initial_state(self, n: int) -> np.ndarray:
        return np.zeros((n, 2), np.float32)

    def hidden(self, state: np.ndarray) -> np.ndarray:
        return state[:, :1]

    def step(self, state: np.ndarray, latents: np.ndarray, actions: np.ndarray) -> np.ndarray:
        told = actions.argmax(axis=1) if self.action_size > 1 else actions[:, 0]
        return np.stack([state[:, 0] + 1, told], axis=1).astype(np.float32)

    def predict(
        self, state: np.ndarray, latents: np.ndarray, temperature: float, rng: np.random.Generator
    ) -> Prediction:
        self.temperatures.append(temperature)
        moved = latents + state[:, 1:] + self.noise * rng.random(latents.shape)
        ends = np.where(moved[:, 0] >= 100, 1.0, self.end)
        return Prediction(moved.astype(np.float32), 10 * state[:, 0], ends.astype(np.float32))


class Presses:
    """A controller that always does the same, or draws at random."""

    def __init__(self, action: Any = None) -> None:
        self.action = action
        self.parameters = np.zeros(1, np.float32)

    def set_parameters(self, parameters: np.ndarray) -> None:
        self.parameters = parameters

    def sample(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.action is None:
            return rng.integers(3, size=len(features))
        return np.repeat(np.asarray(self.action)[None], len(features), axis=0)


def branches(
    memory: Adds, names: tuple[str, ...] = ("z", "dz", "h"), action: ActionSpec = BUTTONS, **ppo
) -> Branches:
    task = SimpleNamespace(
        ppo=PPOConfig(**{"branch_steps": 4, "num_steps": 6, "num_envs": 5, **ppo}),
        controller=ControllerConfig(features=names),
        dream=DreamConfig(temperature=1.5),
    )
    ctx = SimpleNamespace(task=task, rng=lambda *path: generator(3, *path))
    perception = WorldModelPerception(
        cast(Any, Sees()), cast(Any, Adds()), action, ("z",), 5, always=True
    )
    return Branches(cast(Any, ctx), cast(Memory, memory), action, perception)


def dreamed(built: Branches, controller: Presses, latents: list[float], seed: int = 0) -> Rollout:
    now = np.array(latents, np.float32)[:, None]
    state = np.tile(np.array([7, 0], np.float32), (len(latents), 1))
    rng = np.random.default_rng(seed)
    return built.dream(cast(Controller, controller), now, now - 5, state, rng)


def test_a_dream_is_what_memory_predicts() -> None:
    memory = Adds()
    rollout = dreamed(branches(memory, reward_scale=0.5), Presses(2), [0.0, 97.0, 50.0])
    assert rollout.mask is not None
    # [z, dz, h] of each step; the second dream reaches 101 in its second step and ends there.
    assert rollout.features[:, 0].tolist() == [[0, 5, 7], [2, 2, 8], [4, 2, 9], [6, 2, 10]]
    assert rollout.features[:2, 1].tolist() == [[97, 5, 7], [99, 2, 8]]
    assert rollout.last_features[[0, 2]].tolist() == [[8, 2, 11], [58, 2, 11]]
    assert (rollout.actions == 2).all() and rollout.actions.shape == (4, 3)
    assert rollout.rewards.T.tolist() == [[40, 45, 50, 55], [40, 45, 0, 0], [40, 45, 50, 55]]
    assert rollout.mask.T.tolist() == [[True] * 4, [True, True, False, False], [True] * 4]
    assert np.argwhere(rollout.terminated).tolist() == [[1, 1]]
    assert not rollout.truncated.any() and not len(rollout.cut_at)
    assert rollout.cut_features.shape == (0, 3)
    assert memory.temperatures == [1.5] * 4
    floats = (rollout.features, rollout.rewards, rollout.last_features)
    assert {array.dtype for array in floats} == {np.dtype(np.float32)}


@pytest.mark.parametrize(("names", "columns"), [(("z",), [0]), (("h", "z"), [0, 2])])
def test_only_the_wanted_features_are_shown(names: tuple[str, ...], columns: list[int]) -> None:
    full = dreamed(branches(Adds()), Presses(1), [3.0])
    some = dreamed(branches(Adds(), names), Presses(1), [3.0])
    assert np.array_equal(some.features, full.features[..., columns])
    assert np.array_equal(some.last_features, full.last_features[..., columns])


def test_memory_is_told_encoded_actions_and_the_learner_those_of_the_environment() -> None:
    built = branches(Adds(action_size=1), action=STICKS)
    rollout = dreamed(built, Presses(np.array([4.0], np.float32)), [0.0])
    assert rollout.actions.tolist() == [[[4.0]]] * 4
    assert rollout.features[:, 0, 0].tolist() == [0, 1, 2, 3]


def test_equal_generators_give_equal_dreams() -> None:
    runs = [
        dreamed(branches(Adds(noise=1.0, end=0.2)), Presses(), [0.0] * 50, s) for s in (1, 1, 2)
    ]
    first, again, other = (vars(run) for run in runs)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["features"], other["features"])


def test_nothing_after_an_end_is_left_unmasked_and_ends_come_as_often_as_predicted() -> None:
    rollout = dreamed(branches(Adds(end=0.3)), Presses(), [0.0] * 4000)
    mask, ends = rollout.mask, rollout.terminated
    assert mask is not None
    ended_before = np.cumsum(ends, axis=0) - ends > 0
    assert np.array_equal(mask, ~ended_before)
    assert (ends.sum(axis=0) <= 1).all()
    assert not rollout.rewards[~mask].any()
    assert abs(ends[0].mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 4000)


class Sees:
    """A vision that takes states as they are."""

    latent_size = 1

    def encode(self, observations: np.ndarray) -> np.ndarray:
        return np.array(observations, np.float32)


class Learner:
    """Keeps the dreams it is given, and who dreamed them."""

    def __init__(self, controller: Presses) -> None:
        self.dreams: list[Rollout] = []
        self._controller = controller

    def get_parameters(self) -> np.ndarray:
        return np.array([len(self.dreams)], np.float32)

    def update(self, rollouts: list[Rollout], rng: np.random.Generator) -> Metrics:
        assert self._controller.parameters == len(self.dreams)
        self.dreams += rollouts
        return {"loss": float(len(self.dreams))}


def practised(built: Branches, number: int) -> tuple[list[Rollout], Metrics]:
    """Sees one rollout, whose z is 10 t + n and whose M has seen t steps, and learns from it."""
    controller = Presses(1)
    learner = Learner(controller)
    perception, slots = built._perception, np.arange(5)
    perception.begin(slots)
    built.clear(number)
    for t in range(6):
        perception.features(10.0 * t + slots[:, None], slots)
        built.see(t)
        perception.acted(np.ones(5, np.int64), slots)
    metrics = built.learn(cast(PolicyLearner, learner), cast(Controller, controller), number)
    return learner.dreams, metrics


def test_dreams_begin_at_the_chosen_moments_and_are_counted() -> None:
    built = branches(Adds(), branches=40, branch_updates=3)
    dreams, metrics = practised(built, 2)
    assert [dream.rewards.shape for dream in dreams] == [(4, 40)] * 3
    begun = np.concatenate([dream.features[0] for dream in dreams])
    z, dz, h = begun.T
    t, n = np.divmod(z.astype(int), 10)
    assert np.array_equal(h, t) and np.array_equal(dz, np.where(t == 0, 0, 10))
    places = generator(3, "moments", 2).integers([6, 5], size=(120, 2))
    assert sorted(zip(t, n, strict=True)) == sorted(map(tuple, places.tolist()))
    masks = [dream.mask for dream in dreams if dream.mask is not None]
    assert metrics["dream_steps"] == sum(int(mask.sum()) for mask in masks) == 3 * 40 * 4
    last = dreams[-1].rewards.mean()
    assert metrics["dream_reward"] == pytest.approx(last) and metrics["dream_loss"] == 3.0


def test_steps_after_an_end_are_not_counted() -> None:
    built = branches(Adds(end=1.0), branches=7)
    dreams, metrics = practised(built, 0)
    assert metrics["dream_steps"] == 7
    assert metrics["dream_reward"] == pytest.approx(dreams[0].rewards[0].mean())


@pytest.mark.parametrize(("number", "active"), [(0, False), (1, False), (2, True)])
def test_nothing_is_dreamed_before_branch_after(number: int, active: bool) -> None:
    built = branches(Adds(), branches=4, branch_after=2 * 6 * 5)
    dreams, metrics = practised(built, number)
    assert bool(dreams) == bool(metrics) == active


def test_each_rollout_has_moments_of_its_own() -> None:
    built = branches(Adds(), branches=40)
    first, again, second = (practised(built, number)[0][0] for number in (0, 0, 1))
    assert np.array_equal(first.features, again.features)
    assert not np.array_equal(np.sort(first.features[0], 0), np.sort(second.features[0], 0))
