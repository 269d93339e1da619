"""Our environments as Stable-Baselines3 wants them: the same rules, its way of resetting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from curriculum.collecting.lessons import Ended, EpisodeStatistics, LessonRules, lesson_of
from curriculum.envs.export.vector import action_space, observation_space
from curriculum.envs.interface import EnvSpec, VectorEnv

SeedOf = Callable[[int], int]
"""Maps a slot to the seed of its first episode."""


class FrameStack:
    """The last few observations of each slot, joined along their last axis; zeros before the first.

    Args:
        num_slots: N.
        depth: observations joined.
        spec: of the environment.
    """

    def __init__(self, num_slots: int, depth: int, spec: EnvSpec) -> None:
        dtype = np.uint8 if spec.observation == "pixels" else np.float32
        self._width = spec.shape[-1]
        self._stack = np.zeros((num_slots, *spec.shape[:-1], self._width * depth), dtype)

    def begin(self, slots: np.ndarray) -> None:
        """Forgets the past of slots in which a new episode starts."""
        self._stack[slots] = 0

    def push(self, observations: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Takes the newest observations `[L, ...]` of some slots and returns their stacks."""
        older = self._stack[slots][..., self._width :]
        self._stack[slots] = np.concatenate([older, observations], axis=-1)
        return self._stack[slots]


class TrainingVecEnv(VecEnv):
    """A batch of our environments that resets finished episodes by itself, as SB3 expects.

    Args:
        env: the batch.
        seed_of: seeds of the first episodes; the others follow from them.
        frame_stack: observations joined into one.
        clip_rewards: show the learner only the sign of a reward, as DQN did (Mnih et al. 2015).
        end_on_life_loss: end an episode of the learner at a lost life, while the game plays on.
        on_episode: is told each finished game with its true score.
    """

    def __init__(
        self,
        env: VectorEnv,
        seed_of: SeedOf,
        *,
        frame_stack: int = 1,
        clip_rewards: bool = False,
        end_on_life_loss: bool = False,
        on_episode: Callable[[Ended], None] | None = None,
    ) -> None:
        self.render_mode = None
        channels = env.spec.shape[-1] * frame_stack
        stacked = replace(env.spec, shape=(*env.spec.shape[:-1], channels))
        super().__init__(env.num_envs, observation_space(stacked), action_space(env.spec.action))
        self._env = env
        self._first_seeds: list[int] = []
        self.begin_with(seed_of)
        self._rules = LessonRules(clip_rewards, end_on_life_loss)
        self._on_episode = on_episode
        self._stack = FrameStack(env.num_envs, frame_stack, env.spec)
        self._statistics = EpisodeStatistics(env.num_envs)
        self._slots = np.arange(env.num_envs)

    def begin_with(self, seed_of: SeedOf) -> None:
        """Names the seeds of the episodes that the next `reset` begins."""
        self._first_seeds = [seed_of(slot) for slot in range(self.num_envs)]

    def seed(self, seed: int | None = None) -> list[int]:
        """Leaves seeds to `begin_with`; SB3 calls this when it seeds generators."""
        return list(self._first_seeds)

    def reset(self) -> np.ndarray:
        self._statistics.clear()
        return self._begin(self._slots, self._env.reset(self._first_seeds))

    def step_async(self, actions: np.ndarray) -> None:
        self._env.send(actions)

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        step = self._env.recv()
        for episode in self._statistics.add(step):
            if self._on_episode is not None:
                self._on_episode(episode)
        seen = lesson_of(step, self._rules)
        stacked = self._stack.push(step.observations, self._slots)
        over = seen.terminated | seen.truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for slot in np.flatnonzero(over).tolist():
            infos[slot]["terminal_observation"] = stacked[slot].copy()
            infos[slot]["TimeLimit.truncated"] = bool(seen.truncated[slot])
        observations = step.observations
        games = np.flatnonzero(step.terminated | step.truncated)
        if games.size:
            observations = self._env.reset(None, games.tolist())
        if over.any():
            stacked[over] = self._begin(np.flatnonzero(over), observations)
        return stacked, seen.rewards, over, infos

    def close(self) -> None:
        self._env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(f"cannot set {attr_name}: these environments have no settings")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        raise AttributeError(f"cannot call {method_name}: these environments have no such method")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))

    def _begin(self, slots: np.ndarray, observations: np.ndarray) -> np.ndarray:
        """Starts the stacks of some slots with their rows of `observations` `[N, ...]`."""
        self._stack.begin(slots)
        return self._stack.push(observations[slots], slots)
