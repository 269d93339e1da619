"""Barriers: places in a training at which it can be killed and gone on with, number for number.

Stable-Baselines3 saves neither environments nor random generators, and its learners cannot be
handed them. So every training, disturbed or not, passes barriers at fixed numbers of steps: all
that was learned is committed, environments begin new episodes, and all generators are seeded by
the place in the training. What was under way is cut off there, some episodes of a few hundred.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from baselines.results import LEDGER
from baselines.sb3.state import model_state
from baselines.sb3.stock import StockVecEnv
from baselines.sb3.vec_env import TrainingVecEnv
from curriculum.records.commit import CommitStore
from curriculum.records.ledger import Ledger
from curriculum.seeds import env_seed


class Barriers(BaseCallback):
    """Passes a barrier before the first rollout after every so many steps.

    Args:
        env: what is trained in, below any wrappers of Stable-Baselines3.
        store: takes the commits.
        ledger: of the training; its length belongs to a commit.
        every: steps between two barriers, at least.
        place: names of the training in the seeds.
        seed: root of all randomness.
        seconds: returns the wall time of the training so far.
    """

    def __init__(
        self,
        env: TrainingVecEnv | StockVecEnv,
        store: CommitStore,
        ledger: Ledger,
        *,
        every: int,
        place: tuple[str, ...],
        seed: int,
        seconds: Callable[[], float],
    ) -> None:
        super().__init__()
        self._env, self._store, self._ledger = env, store, ledger
        self._every, self._place, self._seed = every, place, seed
        self._seconds = seconds
        self._committed = self._due = 0

    def _on_training_start(self) -> None:
        # Here it begins, or goes on from a commit: the barrier that made that is passed again.
        self._committed = self._due = self.model.num_timesteps

    def _on_rollout_start(self) -> None:
        steps = self.model.num_timesteps
        if steps < self._due:
            return
        if steps > self._committed:
            self.commit()
        self._pass(steps)
        self._due = (steps // self._every + 1) * self._every

    def _on_step(self) -> bool:
        return True

    def commit(self, complete: bool = False) -> None:
        """Commits what was learned.

        Args:
            complete: whether all steps are taken.

        Raises:
            RunIOError: the disk refused.
        """
        self._committed = self.model.num_timesteps
        self._store.save(
            model_state(self.model),
            {"steps": self._committed, "seconds": self._seconds()},
            complete=complete,
            appended={LEDGER: self._ledger.length()},
        )

    def _pass(self, steps: int) -> None:
        model, place = self.model, (*self._place, "train", steps)
        env = model.get_env()
        assert env is not None
        model.set_random_seed(env_seed(self._seed, *place))
        self._env.begin_with(lambda slot: env_seed(self._seed, *place, slot))
        model._last_obs = env.reset()  # pyright: ignore[reportAttributeAccessIssue]
        model._last_episode_starts = np.ones(env.num_envs, np.bool_)
        normaliser = model.get_vec_normalize_env()
        if normaliser is not None:
            model._last_original_obs = normaliser.get_original_obs()  # pyright: ignore[reportAttributeAccessIssue]
        if model.use_sde:
            # Drawn before this callback, from generators that a resumed process does not have.
            noisy: Any = getattr(model, "actor", model.policy)
            noisy.reset_noise(env.num_envs)
