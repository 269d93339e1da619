"""Many LunarLanders as one batch, with hardly more to do than to play them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from curriculum.envs.contract import Halves, SeedBook, checked_actions, checked_rows
from curriculum.envs.interface import EnvSpec, Step
from curriculum.envs.lunar_lander.flight import FastLander

_pack = struct.Struct("8f").pack


class LanderVectorEnv:
    """N LunarLanders played one by one (`curriculum.envs.interface.VectorEnv`).

    What comes out is what `GymVectorEnv` makes of the same landers. It exists because a frame of
    LunarLander is so short that one small array for each of its observations is felt.

    Args:
        spec: what they look like from outside.
        landers: N of them, equal.
    """

    def __init__(self, spec: EnvSpec, landers: Sequence[FastLander]) -> None:
        self.spec = spec
        self.num_envs = len(landers)
        self._landers = tuple(landers)
        self._live = [False] * self.num_envs
        self._seen = [bytes(_pack(*[0.0] * 8))] * self.num_envs
        self._seeds = SeedBook(self.num_envs)
        self._halves = Halves(spec.env_id)

    def reset(
        self, seeds: Sequence[int] | None, indices: Sequence[int] | None = None
    ) -> np.ndarray:
        """Starts new episodes; see `VectorEnv.reset`.

        Raises:
            ValueError: seeds and indices do not fit.
        """
        self._halves.refuse_within_step("reset")
        rows = checked_rows(self.num_envs, seeds, indices)
        for row, seed in zip(rows.tolist(), self._seeds.take(rows, seeds), strict=True):
            self._seen[row] = self._landers[row].reset(seed).tobytes()
            self._live[row] = True
        return self._observations()

    def send(self, actions: np.ndarray) -> np.ndarray:
        """Notes the actions; see `VectorEnv.send`.

        Raises:
            ValueError: a wrong shape, or an action that does not exist.
        """
        return self._halves.send(checked_actions(self.spec, self.num_envs, actions))

    def recv(self) -> Step:
        """Steps all that are live; see `VectorEnv.recv`."""
        actions = self._halves.recv().tolist()
        rewards = [0.0] * self.num_envs
        terminated, truncated, life_lost = np.zeros((3, self.num_envs), np.bool_)
        for row, live in enumerate(self._live):
            if not live:
                continue
            seen, rewards[row], over, late = self._landers[row].play(actions[row])
            self._seen[row] = _pack(*seen)
            if over or late:
                terminated[row], truncated[row] = over, late and not over
                self._live[row] = False
        return Step(
            self._observations(), np.array(rewards, np.float32), terminated, truncated, life_lost
        )

    def step(self, actions: np.ndarray) -> Step:
        """Steps all environments; see `VectorEnv.step`."""
        self.send(actions)
        return self.recv()

    def close(self) -> None:
        """Lets all worlds go; may be called twice."""
        for lander in self._landers:
            lander.close()

    def _observations(self) -> np.ndarray:
        """Returns a new, writable array of what was seen last, `[N, 8]`."""
        return np.frombuffer(bytearray().join(self._seen), np.float32).reshape(-1, 8)
