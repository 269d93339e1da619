"""A model of Stable-Baselines3 examined: full episodes, true scores, seeds it never trained on."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from baselines.sb3.vec_env import FrameStack
from curriculum.agent.episodes import Episode, run_episodes
from curriculum.envs.interface import EnvSpec, VectorEnv
from curriculum.records.ledger import Ledger
from curriculum.seeds import env_seed

EVALUATION_ENVS = 8


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
        self, model: BaseAlgorithm, spec: EnvSpec, num_slots: int, frame_stack: int, sampled: bool
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
        env: what it plays in.
        place: names of the training in the seeds.
        seed: root of all randomness.
        frame_stack: observations joined into one.
        sampled: draw actions instead of taking the most likely ones.
    """

    def __init__(
        self, env: VectorEnv, place: tuple[str, ...], seed: int, frame_stack: int, sampled: bool
    ) -> None:
        self._env, self._place = env, place
        self._seed, self._frame_stack, self._sampled = seed, frame_stack, sampled
        self.seconds = 0.0
        """Wall time of all examinations."""

    def examine(self, model: BaseAlgorithm, episodes: int, *path: int | str) -> list[Episode]:
        """Plays episodes whose seeds are named by their place in the training."""
        began = time.monotonic()
        slots = self._env.num_envs
        policy = ModelPolicy(model, self._env.spec, slots, self._frame_stack, self._sampled)
        seeds = [env_seed(self._seed, *self._place, *path, n) for n in range(episodes)]
        played = run_episodes(self._env, policy, seeds)
        self.seconds += time.monotonic() - began
        return played


class LearningCurve(BaseCallback):
    """Examines the model at even distances, always with the same number of episodes.

    Args:
        examiner: plays the episodes.
        ledger: gets one `evaluation` event per examination.
        every: steps between two.
        episodes: of each.
        seconds: returns the wall time of the training so far, examinations not included.
    """

    def __init__(
        self,
        examiner: Examiner,
        ledger: Ledger,
        every: int,
        episodes: int,
        seconds: Callable[[], float],
    ) -> None:
        super().__init__()
        self._examiner, self._ledger = examiner, ledger
        self._every, self._episodes, self._seconds = every, episodes, seconds
        self._next = every

    def _on_training_start(self) -> None:
        self._next = self._following()

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._next:
            self._examine()
            self._next = self._following()
        return True

    def _following(self) -> int:
        return (self.model.num_timesteps // self._every + 1) * self._every

    def _examine(self) -> None:
        step = self.num_timesteps
        played = self._examiner.examine(self.model, self._episodes, "curve", step)
        scores = [episode.score for episode in played]
        told = {"step": step, "score": float(np.mean(scores)), "scores": scores}
        self._ledger.append("evaluation", **told, seconds=self._seconds())
