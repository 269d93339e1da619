"""Many LunarLanders at once, with hardly more to do than to play them."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from curriculum.envs.batch import Outcome, Rows, Slots
from curriculum.envs.interface import EnvSpec
from curriculum.envs.lunar_lander.flight import FastLander

_pack = struct.Struct("8f").pack


class Landers:
    """N LunarLanders played one by one (`curriculum.envs.batch.Core`).

    What comes out is what `Singles` makes of the same landers. It exists because a frame of
    LunarLander is so short that one small array for each of its observations is felt.

    Args:
        spec: what they look like from outside.
        landers: N of them, equal.
    """

    def __init__(self, spec: EnvSpec, landers: Sequence[FastLander]) -> None:
        self.spec = spec
        self.num_envs = len(landers)
        self._landers = tuple(landers)
        self._seen = [bytes(_pack(*[0.0] * 8))] * self.num_envs

    def begin(self, rows: Rows, seeds: list[int], slots: Slots) -> np.ndarray:
        """Starts flights; see `Core.begin`."""
        for row, seed in zip(rows.tolist(), seeds, strict=True):
            self._seen[row] = self._landers[row].reset(seed).tobytes()
        return self._observations()[rows]

    def advance(self, actions: np.ndarray, slots: Slots) -> Outcome:
        """Flies on those that are live; see `Core.advance`."""
        chosen = actions.tolist()
        rewards = [0.0] * self.num_envs
        terminated = np.zeros(self.num_envs, np.bool_)
        truncated = terminated.copy()
        for row, live in enumerate(slots.live.tolist()):
            if not live:
                continue
            seen, rewards[row], over, late = self._landers[row].play(chosen[row])
            self._seen[row] = _pack(*seen)
            if over or late:
                terminated[row], truncated[row] = over, late
        return Outcome(self._observations(), np.array(rewards, np.float32), terminated, truncated)

    def close(self) -> None:
        """Lets all worlds go."""
        for lander in self._landers:
            lander.close()

    def _observations(self) -> np.ndarray:
        """Returns a new array of what was seen last, `[N, 8]`."""
        return np.frombuffer(bytearray().join(self._seen), np.float32).reshape(-1, 8)
