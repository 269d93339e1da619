"""Our environments as Stable-Baselines3 wants them: the same rules, its way of resetting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from curriculum.envs.interface import ActionSpec, EnvSpec, VectorEnv
from curriculum.rollout import Episode

SeedOf = Callable[[int, int], int]
"""Maps a slot and the number of its episode to a seed."""


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
        seed_of: seeds of the episodes.
        frame_stack: observations joined into one.
        clip_rewards: show the learner only the sign of a reward, as DQN did (Mnih et al. 2015).
        on_episode: is told each finished episode with its true score.
    """

    def __init__(
        self,
        env: VectorEnv,
        seed_of: SeedOf,
        *,
        frame_stack: int = 1,
        clip_rewards: bool = False,
        on_episode: Callable[[Episode], None] | None = None,
    ) -> None:
        self.render_mode = None
        super().__init__(
            env.num_envs,
            observation_space(env.spec, frame_stack),
            action_space(env.spec.action),
        )
        self._env = env
        self._seed_of = seed_of
        self._clip = clip_rewards
        self._on_episode = on_episode
        self._stack = FrameStack(env.num_envs, frame_stack, env.spec)
        self._episodes = np.zeros(env.num_envs, np.int64)
        self._scores = np.zeros(env.num_envs)
        self._lengths = np.zeros(env.num_envs, np.int64)
        self._actions = np.zeros(0)

    def reset(self) -> np.ndarray:
        slots = np.arange(self.num_envs)
        return self._begin(slots)

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        step = self._env.step(self._actions)
        self._scores += step.rewards
        self._lengths += 1
        stacked = self._stack.push(step.observations, np.arange(self.num_envs))
        over = step.terminated | step.truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        ended = np.flatnonzero(over)
        for slot in ended.tolist():
            infos[slot]["terminal_observation"] = stacked[slot].copy()
            infos[slot]["TimeLimit.truncated"] = bool(step.truncated[slot])
            self._tell(slot, bool(step.terminated[slot]))
        if ended.size:
            stacked[ended] = self._begin(ended)
        rewards = np.sign(step.rewards) if self._clip else step.rewards
        return stacked, rewards, over, infos

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

    def _begin(self, slots: np.ndarray) -> np.ndarray:
        """Starts the next episode of some slots and returns their stacks."""
        counts = self._episodes[slots].tolist()
        seeds = [self._seed_of(s, n) for s, n in zip(slots.tolist(), counts, strict=True)]
        observations = self._env.reset(seeds, slots.tolist())[slots]
        self._episodes[slots] += 1
        self._scores[slots] = 0.0
        self._lengths[slots] = 0
        self._stack.begin(slots)
        return self._stack.push(observations, slots)

    def _tell(self, slot: int, terminated: bool) -> None:
        if self._on_episode is not None:
            seed = self._seed_of(slot, int(self._episodes[slot]) - 1)
            length = int(self._lengths[slot])
            self._on_episode(Episode(seed, float(self._scores[slot]), length, terminated))


def observation_space(spec: EnvSpec, frame_stack: int) -> spaces.Box:
    """Returns the space of stacked observations."""
    shape: Sequence[int] = (*spec.shape[:-1], spec.shape[-1] * frame_stack)
    if spec.observation == "pixels":
        return spaces.Box(0, 255, shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, shape, np.float32)


def action_space(action: ActionSpec) -> spaces.Space:
    """Returns the action space."""
    if action.kind == "discrete":
        return spaces.Discrete(action.size)
    low, high = np.array(action.low, np.float32), np.array(action.high, np.float32)
    return spaces.Box(low, high, dtype=np.float32)
