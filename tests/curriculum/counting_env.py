"""A tiny exact environment: episode length and rewards follow from the seed and the actions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curriculum.envs.contract import Halves, SeedBook, checked_actions, checked_rows
from curriculum.envs.interface import ActionSpec, EnvSpec, Step


class CountingEnv:
    """Observation `[seed, steps]`; reward = action; terminates after `2 + seed % 5` steps.

    Args:
        num_envs: N.
        limit: steps after which an episode is truncated.
        life: steps after which a life is lost; the next action taken is 2.
    """

    def __init__(self, num_envs: int, limit: int = 100, life: int = 100) -> None:
        self.num_envs = num_envs
        self.spec = EnvSpec(
            "counting", "state", (2,), ActionSpec("discrete", 3), replaces_actions=True
        )
        self.log: list[str] = []
        self._limit, self._life = limit, life
        self._state = np.zeros((num_envs, 2), np.float32)
        self._playing = np.zeros(num_envs, np.bool_)
        self._lost = np.zeros(num_envs, np.bool_)
        self._seeds = SeedBook(num_envs)
        self._halves = Halves("counting")

    def reset(
        self, seeds: Sequence[int] | None, indices: Sequence[int] | None = None
    ) -> np.ndarray:
        self._halves.refuse_within_step("reset")
        rows = checked_rows(self.num_envs, seeds, indices)
        self._state = self._state.copy()
        self._state[rows] = [[seed % 1000, 0] for seed in self._seeds.take(rows, seeds)]
        self._playing[rows] = True
        self._lost[rows] = False
        return self._state

    def send(self, actions: np.ndarray) -> np.ndarray:
        self.log.append("send")
        chosen = checked_actions(self.spec, self.num_envs, actions)
        return self._halves.send(np.where(self._lost, 2, chosen))

    def recv(self) -> Step:
        self.log.append("recv")
        chosen, live = self._halves.recv(), self._playing.copy()
        self._state = self._state + live[:, None] * np.array([0, 1], np.float32)
        steps = self._state[:, 1]
        terminated = live & (steps >= 2 + self._state[:, 0] % 5)
        truncated = live & ~terminated & (steps >= self._limit)
        self._playing &= ~(terminated | truncated)
        self._lost = self._playing & (steps == self._life)
        rewards = np.where(live, chosen, 0).astype(np.float32)
        return Step(self._state, rewards, terminated, truncated, self._lost.copy())

    def step(self, actions: np.ndarray) -> Step:
        self.send(actions)
        return self.recv()

    def close(self) -> None:
        self.log.append("close")
