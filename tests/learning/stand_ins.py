"""Stand-ins for what a practice works with, which note what is done with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from curriculum.agent.agent import Agent
from curriculum.config.schema import TaskConfig
from curriculum.learning.loop import Loop
from curriculum.learning.on_policy import OnPolicy
from curriculum.learning.selection import Selection
from curriculum.stages import controller as stage
from curriculum.stages.stage import StageContext
from curriculum.stops import Guard
from curriculum.world.dream import DreamStarts
from curriculum.world.world_model import WorldModel
from models.controller_cpu import CPUController
from models.interfaces import (
    Memory,
    Metrics,
    NonFiniteLoss,
    PolicyLearner,
    Prediction,
    Rollout,
    State,
    Vision,
)
from tests.curriculum.counting_env import CountingEnv
from tests.learning.practising import context, pole

FEATURES = 6


class Sees:
    """A vision that takes states as they are."""

    latent_size, single_pass = 2, True

    def encode(self, observations: np.ndarray) -> np.ndarray:
        return np.array(observations, np.float32)


class Counts:
    """A memory whose h is the number of steps it has seen, and the last action."""

    latent_size, action_size, hidden_size, single_pass = 2, 3, 2, True

    def initial_state(self, n: int) -> np.ndarray:
        return np.zeros((n, 2), np.float32)

    def hidden(self, state: np.ndarray) -> np.ndarray:
        return state

    def step(self, state: np.ndarray, latents: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return np.stack([state[:, 0] + 1, actions.argmax(axis=1)], axis=1).astype(np.float32)

    def predict(
        self, state: np.ndarray, latents: np.ndarray, temperature: float, rng: np.random.Generator
    ) -> Prediction:
        return Prediction(
            latents + np.array([0, 1], np.float32), state[:, 1], np.zeros(len(state), np.float32)
        )


class Learner:
    """Remembers what it is given; each update moves its parameters, the sick ones are refused."""

    num_features = FEATURES

    def __init__(self, acting: Acting, sick: Sequence[int] = ()) -> None:
        self.learning_rate = 0.0
        self.num_parameters = acting.inner.num_parameters
        self.rollouts: list[Rollout] = []
        self.rates: list[float] = []
        self.scales: list[tuple[np.ndarray, np.ndarray]] = []
        self._acting, self._sick = acting, set(sick)
        self._parameters = acting.inner.get_parameters()

    def set_feature_scale(self, mean: np.ndarray, std: np.ndarray) -> None:
        self.scales.append((mean, std))

    def update(self, rollouts: Sequence[Rollout], rng: np.random.Generator) -> Metrics:
        # Whoever played these steps had the parameters that they are learned with.
        assert self._acting.used == {self._parameters.tobytes()}
        self._acting.used.clear()
        number = len(self.rates)
        self.rates.append(self.learning_rate)
        self.rollouts += rollouts
        if number in self._sick:
            raise NonFiniteLoss("NaN")
        self._parameters = self._parameters + np.float32(0.01)
        return {"loss": 1.0}

    def log_probs(self, rollout: Rollout) -> np.ndarray:
        return np.full(rollout.rewards.shape, self._parameters[0], np.float32)

    def values(self, features: np.ndarray) -> np.ndarray:
        return np.zeros(len(features), np.float32)

    def get_parameters(self) -> np.ndarray:
        return self._parameters.copy()

    def set_parameters(self, parameters: np.ndarray) -> None:
        self._parameters = parameters

    def state(self) -> dict[str, np.ndarray]:
        return {"parameters": self._parameters.copy()}

    def load_state(self, state: Any) -> None:
        self._parameters = state["parameters"]


class Acting:
    """A controller that notes the parameters it draws actions with."""

    def __init__(self) -> None:
        self.inner = CPUController(FEATURES, "discrete", 3)
        self.used: set[bytes] = set()

    def sample(self, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.perturbed(features, self.inner.draw_noise(len(features), rng))

    def perturbed(self, features: np.ndarray, noise: np.ndarray) -> np.ndarray:
        self.used.add(self.inner.get_parameters().tobytes())
        return self.inner.perturbed(features, noise)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Checks:
    """A selection whose checks give prescribed scores and take seven steps each."""

    def __init__(self, confirming: int = 10**9) -> None:
        self.best_check, self.confirmed, self.env_steps = -np.inf, False, 0
        self.learned = {"parameters": np.zeros(1, np.float32)}
        self.numbers: list[int] = []
        self.given: list[np.ndarray] = []
        self.glances: list[bool] = []
        self._confirming = confirming

    def check(self, learned: State, number: int, guard: Guard, *, glance: bool = False) -> float:
        self.given.append(learned["parameters"].copy())
        self.glances.append(glance)
        self.numbers.append(number)
        self.env_steps += 7
        self.confirmed = len(self.numbers) >= self._confirming
        return 0.0

    def meta(self) -> dict[str, Any]:
        return {}


def practice(
    tmp_path: Path,
    *,
    sick: Sequence[int] = (),
    target: float = 1e9,
    confirming: int = 10**9,
    **options: Any,
) -> tuple[Loop, Learner, Checks, StageContext]:
    """A loop in an environment whose every number follows from seeds and actions."""
    limit, life = options.pop("limit", 100), options.pop("life", 100)
    ctx = context(tmp_path, replace(pole(**options), target=target))

    def make(task: TaskConfig, num_envs: int, notice: Any, **rest: Any) -> CountingEnv:
        return CountingEnv(num_envs, limit, life)

    spec, task = CountingEnv(1).spec, ctx.task
    ctx = replace(ctx, backend=replace(ctx.backend, make_env=make), spec=spec)
    acting, checks = Acting(), Checks(confirming)
    world = WorldModel(cast(Vision, Sees()), cast(Memory, Counts()))
    agent = Agent(world, cast(Any, acting), task.controller.features, spec, CountingEnv)
    model, settings = Learner(acting, sick), task.training
    starts = None
    if task.controller.train_in_dream:
        places = np.arange(18, dtype=np.float32).reshape(9, 2)
        starts = DreamStarts(places, np.zeros((9, 2), np.float32))
    learner = OnPolicy(cast(PolicyLearner, model), settings.num_steps, settings.reuse)
    built = stage.new_loop(ctx, agent, learner, cast(Selection, checks), starts)
    built.begin()
    return built, model, checks, ctx
