"""Stable-Baselines3's PPO in our environments: trained, examined, judged like our agents."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from baselines.random_agent import MakeEnv
from baselines.recipes import Recipe, recipe_for
from baselines.results import BaselineResult, describe, finish
from baselines.vec_env import FrameStack, TrainingVecEnv
from curriculum.agent.episodes import Episode, run_episodes
from curriculum.collecting.lessons import Ended
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import EnvSpec
from curriculum.records.files import write_bytes
from curriculum.records.ledger import Ledger
from curriculum.seeds import env_seed

EVALUATION_ENVS = 8
CURVE_EPISODES = 5
"""Episodes behind a point of the learning curve, at least."""

WEIGHTS = "policy.safetensors"


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        steps: of training; rounded up to whole rollouts.
        episodes: of the final evaluation.
        seed: root of all randomness; SB3 seeds the global generators with it.
        sampled: judge by drawn actions instead of the most likely ones.
        evaluations: points of the learning curve.
        device: where torch computes.
        recipe: hyper-parameters; those of `recipe_for` if None.
    """

    steps: int
    episodes: int = 20
    seed: int = 0
    sampled: bool = False
    evaluations: int = 10
    device: str = "cpu"
    recipe: Recipe | None = None


class ModelPolicy:
    """A trained model as a policy of our episode loop.

    Args:
        model: of SB3.
        spec: of the environment.
        num_slots: environments stepped together.
        frame_stack: observations joined into one, as in training.
        sampled: draw actions instead of taking the most likely ones.
    """

    def __init__(
        self, model: PPO, spec: EnvSpec, num_slots: int, frame_stack: int, sampled: bool
    ) -> None:
        self._model = model
        self._stack = FrameStack(num_slots, frame_stack, spec)
        self._greedy = not sampled

    def begin(self, slots: np.ndarray, episodes: np.ndarray) -> None:
        self._stack.begin(slots)

    def act(self, observations: np.ndarray, slots: np.ndarray) -> np.ndarray:
        stacked = self._stack.push(observations, slots)
        return self._model.predict(stacked, deterministic=self._greedy)[0]

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        """Has no memory of actions."""


class Examiner:
    """Plays full episodes with a model on seeds that its training never sees.

    Args:
        task: what is played.
        make_env: builds its environments.
        training: names the seed, the policy and the hyper-parameters.
    """

    def __init__(self, task: TaskConfig, make_env: MakeEnv, training: Training) -> None:
        self._env = make_env(EVALUATION_ENVS)
        self._task = task
        self._seed = training.seed
        self._sampled = training.sampled
        self.spec = self._env.spec
        self.recipe = training.recipe or recipe_for(self.spec)
        self.seconds = 0.0
        """Wall time of all examinations."""

    def examine(self, model: PPO, episodes: int, *path: int | str) -> list[Episode]:
        """Plays episodes whose seeds are named by their place in the training."""
        began = time.monotonic()
        stack, slots = self.recipe.frame_stack, self._env.num_envs
        policy = ModelPolicy(model, self.spec, slots, stack, self._sampled)
        place = self._task.name, "ppo", *path
        seeds = [env_seed(self._seed, *place, n) for n in range(episodes)]
        played = run_episodes(self._env, policy, seeds)
        self.seconds += time.monotonic() - began
        return played

    def close(self) -> None:
        """Closes the environments."""
        self._env.close()


class LearningCurve(BaseCallback):
    """Examines the model at even distances, always with the same number of episodes.

    Args:
        examiner: plays the episodes.
        ledger: gets one `evaluation` event per examination.
        training: says how many examinations there are.
    """

    def __init__(
        self,
        examiner: Examiner,
        ledger: Ledger,
        training: Training,
    ) -> None:
        super().__init__()
        self._examiner = examiner
        self._ledger = ledger
        self._every = max(training.steps // training.evaluations, 1)
        self._next = self._every
        self._episodes = max(training.episodes // 4, CURVE_EPISODES)

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._next:
            self._next = (self.num_timesteps // self._every + 1) * self._every
            self._examine()
        return True

    def _examine(self) -> None:
        played = self._examiner.examine(
            _model(self.model), self._episodes, "curve", self.num_timesteps
        )
        scores = [episode.score for episode in played]
        score = float(np.mean(scores))
        self._ledger.append("evaluation", step=self.num_timesteps, score=score, scores=scores)


def train_ppo(
    task: TaskConfig,
    make_env: MakeEnv,
    ledger: Ledger,
    training: Training,
    machine: Mapping[str, Any] | None = None,
) -> BaselineResult:
    """Trains PPO and judges it on full episodes with true scores.

    Beside the ledger, it leaves the network's weights as `policy.safetensors`.

    Args:
        task: what is played.
        make_env: builds its environments, for training and for examination.
        ledger: of this baseline.
        training: how long, how judged, with which hyper-parameters.
        machine: hardware and versions, for the record.
    """
    examiner = Examiner(task, make_env, training)
    known = describe("ppo", task, examiner.spec.env_id, training.seed)
    known |= {"settings": _settings(examiner.recipe, training), "machine": dict(machine or {})}
    ledger.append("baseline_started", **known)
    env = _training_env(task, make_env, examiner.recipe, ledger, training.seed)
    try:
        model = build(examiner.recipe, env, training)
        began = time.monotonic()
        model.learn(training.steps, LearningCurve(examiner, ledger, training))
        seconds = time.monotonic() - began - examiner.seconds
        played = examiner.examine(model, training.episodes, "final")
    finally:
        env.close()
        examiner.close()
    save_weights(model, ledger.path.parent / WEIGHTS)
    policy, scores = "sampled" if training.sampled else "greedy", tuple(e.score for e in played)
    used = {"env_steps": model.num_timesteps, "seconds": seconds}
    result = BaselineResult(**known, policy=policy, scores=scores, **used)
    finish(ledger, result)
    return result


def save_weights(model: PPO, path: Path) -> None:
    """Writes a model's network as safetensors, atomically.

    Raises:
        RunIOError: the disk refused.
    """
    # Networks that share layers share their memory too, which the format refuses.
    weights = {name: value.clone() for name, value in model.policy.state_dict().items()}
    write_bytes(path, save(weights))


def _training_env(
    task: TaskConfig, make_env: MakeEnv, recipe: Recipe, ledger: Ledger, seed: int
) -> VecEnv:
    steps = 0

    def on_episode(episode: Ended) -> None:
        nonlocal steps
        steps += episode.steps
        ledger.append("episode", steps_in_episodes=steps, score=episode.score, steps=episode.steps)

    env: VecEnv = TrainingVecEnv(
        make_env(recipe.num_envs),
        lambda slot: env_seed(seed, task.name, "ppo", "train", slot),
        frame_stack=recipe.frame_stack,
        clip_rewards=recipe.clip_rewards,
        end_on_life_loss=recipe.end_on_life_loss,
        on_episode=on_episode,
    )
    if recipe.normalise_rewards:
        env = VecNormalize(env, norm_obs=False, norm_reward=True, gamma=recipe.gamma)
    return env


def _settings(recipe: Recipe, training: Training) -> dict[str, Any]:
    """Returns all that shaped a training, for the record."""
    where = {
        "device": training.device,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    return {**recipe.facts(), "steps": training.steps, **where}


def build(recipe: Recipe, env: VecEnv, training: Training) -> PPO:
    """Returns an untrained model with a recipe's hyper-parameters; it logs nothing.

    Args:
        recipe: the hyper-parameters.
        env: what it will learn in.
        training: seed and device.
    """
    network = dict(recipe.network)
    activation = network.pop("activation", None)
    if activation is not None:
        network["activation_fn"] = getattr(torch.nn, activation)
    settings: dict[str, Any] = {**recipe.settings, "gamma": recipe.gamma, "policy_kwargs": network}
    model = PPO(recipe.policy, env, seed=training.seed, device=training.device, **settings)
    # Its own logger would leave a directory in the system's temporary one; the ledger is ours.
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def _model(model: Any) -> PPO:
    assert isinstance(model, PPO), "this curve belongs to PPO"
    return model
