"""What our environments are compared with: the same games as other code steps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from ale_py.vector_env import AtariVectorEnv as NativeEnv
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from curriculum.envs.gym.singles import hold

Play = Callable[[], None]


class HoldAction(gymnasium.Wrapper[Any, Any, Any, Any]):
    """The usual frame-skip wrapper: every frame is drawn, the last one is returned."""

    def __init__(self, env: gymnasium.Env[Any, Any], frames: int) -> None:
        super().__init__(env)
        self._frames = frames

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return *hold(self.env, action, self._frames), {}  # pyright: ignore[reportReturnType]


def native_atari(rom: str, num_envs: int, threads: int) -> NativeEnv:
    """Returns ale-py's own batch with our picture size, and everything else as it comes."""
    env = NativeEnv(rom, num_envs, img_height=64, img_width=64, stack_num=1, num_threads=threads)
    env.reset(seed=0)
    return env


def wrapped_atari(env_id: str, num_envs: int, asynchronous: bool) -> VectorEnv:
    """Returns Gymnasium's batch of games in Stable-Baselines3's wrappers, 64 by 64."""
    makers = [partial(_wrapped_game, env_id)] * num_envs
    env = AsyncVectorEnv(makers, context="spawn") if asynchronous else SyncVectorEnv(makers)
    env.reset(seed=0)
    return env


def stock_car_racing(num_envs: int, frames: int) -> VectorEnv:
    """Returns stock CarRacing, one process each, or in this process where there is only one."""
    makers = [partial(_car_racing, frames)] * num_envs
    env = AsyncVectorEnv(makers, context="spawn") if num_envs > 1 else SyncVectorEnv(makers)
    env.reset(seed=0)
    return env


def steps_of(env: Any, actions: Sequence[np.ndarray]) -> Play:
    """Returns what plays the actions `[steps, N, ...]` in a batch that resets by itself."""

    def play() -> None:
        for batch in actions:
            env.step(batch)

    return play


def _wrapped_game(env_id: str) -> gymnasium.Env[Any, Any]:
    import ale_py
    from stable_baselines3.common.atari_wrappers import AtariWrapper

    gymnasium.register_envs(ale_py)
    return AtariWrapper(gymnasium.make(env_id), screen_size=64)


def _car_racing(frames: int) -> gymnasium.Env[Any, Any]:
    return HoldAction(gymnasium.make("CarRacing-v3"), frames)
