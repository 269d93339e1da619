"""A tiny exact environment: episode length and rewards follow from the seed and the actions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curriculum.envs.interface import ActionSpec, EnvSpec, Step


class CountingEnv:
    """Observation `[seed, steps]`; reward = action; terminates after `2 + seed % 5` steps."""

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.spec = EnvSpec("counting", "state", (2,), ActionSpec("discrete", 3))
        self._state = np.zeros((num_envs, 2), np.float32)
        self._playing = np.zeros(num_envs, np.bool_)
        self.parked_actions: list[np.ndarray] = []

    def reset(self, seeds: Sequence[int], indices: Sequence[int] | None = None) -> np.ndarray:
        slots = list(range(self.num_envs)) if indices is None else list(indices)
        assert len(seeds) == len(slots)
        self._state[slots] = [[seed, 0] for seed in seeds]
        self._playing[slots] = True
        return self._state.copy()

    def step(self, actions: np.ndarray) -> Step:
        live = self._playing.copy()
        self._state[live, 1] += 1
        over = live & (self._state[:, 1] >= 2 + self._state[:, 0] % 5)
        self._playing &= ~over
        rewards = np.where(live, actions, 0).astype(np.float32)
        return Step(self._state.copy(), rewards, over, np.zeros(self.num_envs, np.bool_))

    def close(self) -> None:
        pass
