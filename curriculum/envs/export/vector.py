"""A batch of ours as a `gymnasium.vector.VectorEnv`, in any of its autoreset modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.vector import VectorEnv as GymnasiumVectorEnv
from gymnasium.vector.utils import batch_space

from curriculum.envs.interface import ActionSpec, EnvSpec, Step, VectorEnv

Info = dict[str, Any]


class ExportedVectorEnv(GymnasiumVectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """Fast environments for every learner that speaks Gymnasium.

    `info` holds `life_lost`, and in SAME_STEP `final_obs` where an episode has ended.

    Args:
        env: the batch; it is closed with this.
        autoreset_mode: what happens to an environment whose episode has ended: NEXT_STEP begins
            the next one in the following step, whose action is ignored; SAME_STEP begins it at
            once, the cheapest way for Atari games; DISABLED waits for `reset` with a `reset_mask`
            among its options.
    """

    def __init__(
        self, env: VectorEnv, autoreset_mode: AutoresetMode = AutoresetMode.SAME_STEP
    ) -> None:
        self.metadata = {"autoreset_mode": autoreset_mode}
        self.num_envs = env.num_envs
        self.single_observation_space = observation_space(env.spec)
        self.single_action_space = action_space(env.spec.action)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self.action_space = batch_space(self.single_action_space, env.num_envs)
        self._env = env
        self._mode = autoreset_mode
        self._over = np.zeros(env.num_envs, np.bool_)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: Info | None = None
    ) -> tuple[np.ndarray, Info]:
        """Starts new episodes, of the environments that `options["reset_mask"]` names if given.

        Args:
            seed: of the first environment, the others following by one; or one for each. None
                goes on from the seeds last given, and draws the very first ones.
            options: `reset_mask`, `[N]` bool.
        """
        mask = (options or {}).get("reset_mask")
        rows = list(range(self.num_envs)) if mask is None else np.flatnonzero(mask).tolist()
        if seed is not None or self._np_random is None:
            super().reset(seed=seed if isinstance(seed, int) else None)
            seeds = self._seeds(seed)
            observations = self._env.reset([seeds[row] for row in rows], rows)
        else:
            observations = self._env.reset(None, rows)
        self._over[rows] = False
        return observations, {}

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Steps all environments.

        Raises:
            RuntimeError: in DISABLED, an environment has ended and was not reset.
        """
        begin = np.flatnonzero(self._over).tolist()
        if begin and self._mode == AutoresetMode.DISABLED:
            raise RuntimeError(f"environments {begin} have ended: reset them before the next step")
        step = self._env.step(np.asarray(actions))
        # Parked environments have kept still in this step, which is the one their reset takes.
        observations = self._env.reset(None, begin) if begin else step.observations
        self._over = step.terminated | step.truncated
        info: Info = {"life_lost": step.life_lost}
        if self._mode == AutoresetMode.SAME_STEP and self._over.any():
            observations = self._next_episodes(step, info)
        return observations, step.rewards, step.terminated, step.truncated, info

    def close_extras(self, **kwargs: Any) -> None:
        """Closes the batch."""
        self._env.close()

    def _next_episodes(self, step: Step, info: Info) -> np.ndarray:
        info["final_obs"] = step.observations
        info["_final_obs"] = self._over
        rows = np.flatnonzero(self._over).tolist()
        self._over = np.zeros(self.num_envs, np.bool_)
        return self._env.reset(None, rows)

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int]:
        if isinstance(seed, int):
            return [seed + row for row in range(self.num_envs)]
        drawn = self.np_random.integers(2**31, size=self.num_envs).tolist()
        given = [None] * self.num_envs if seed is None else seed
        return [new if old is None else old for old, new in zip(given, drawn, strict=True)]


def observation_space(spec: EnvSpec) -> spaces.Box:
    """Returns the space of one observation."""
    if spec.observation == "pixels":
        return spaces.Box(0, 255, spec.shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, spec.shape, np.float32)


def action_space(action: ActionSpec) -> spaces.Space:
    """Returns the space of one action."""
    if action.kind == "discrete":
        return spaces.Discrete(action.size)
    low, high = np.array(action.low, np.float32), np.array(action.high, np.float32)
    return spaces.Box(low, high, dtype=np.float32)
