"""A tiny exact environment: episode length and rewards follow from the seed and the actions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from curriculum.envs.batch import Batch, Outcome, Rows, Slots
from curriculum.envs.interface import ActionSpec, EnvSpec


class CountingEnv(Batch):
    """Observation `[seed, steps]`; reward = action; terminates after `2 + seed % 5` steps.

    Args:
        num_envs: N.
        limit: steps after which an episode is truncated.
        life: steps after which a life is lost; the next action taken is 2.
    """

    def __init__(self, num_envs: int, limit: int = 100, life: int = 100) -> None:
        self.log: list[str] = []
        super().__init__(_Counting(num_envs, limit, life, self.log), limit)


class _Counting:
    def __init__(self, num_envs: int, limit: int, life: int, log: list[str]) -> None:
        self.num_envs = num_envs
        self.spec = EnvSpec(
            "counting", "state", (2,), ActionSpec("discrete", 3), replaces_actions=True
        )
        self._limit, self._life, self._log = limit, life, log
        self._seeds = np.zeros(num_envs, np.int64)
        self._lost = np.zeros(num_envs, np.bool_)

    def begin(self, rows: Rows, seeds: list[int], slots: Slots) -> np.ndarray:
        self._seeds[rows] = [seed % 1000 for seed in seeds]
        self._lost[rows] = False
        return self._seen(slots.ages)[rows]

    def go_on(
        self, rows: Rows, seeds: list[int], slots: Slots, following: Callable[[int], int]
    ) -> np.ndarray:
        return self.begin(rows, seeds, slots)

    def start(self, actions: np.ndarray, slots: Slots) -> np.ndarray:
        self._log.append("send")
        return np.where(self._lost, 2, actions)

    def advance(self, actions: np.ndarray, slots: Slots) -> Outcome:
        self._log.append("recv")
        ages = slots.ages + slots.live
        over = ages >= 2 + self._seeds % 5
        going_on = slots.live & ~over & (ages < self._limit)
        self._lost = going_on & (ages == self._life)
        return Outcome(self._seen(ages), actions, over, np.zeros_like(over), self._lost.copy())

    def close(self) -> None:
        self._log.append("close")

    def _seen(self, ages: np.ndarray) -> np.ndarray:
        return np.stack([self._seeds, ages], axis=1).astype(np.float32)
