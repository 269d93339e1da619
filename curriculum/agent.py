"""What the agent perceives: observations become the features that the controller reads.

Two ways lead to the same features `[z, h]`: through V and M in a real or simulated environment,
and directly inside a dream, whose observations are latents and whose hidden state is M's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from curriculum.envs.interface import ActionSpec
from models.interfaces import Float, Memory, Vision


def feature_slices(names: Sequence[str], latent_size: int, hidden_size: int) -> dict[str, slice]:
    """Returns where each named feature lies in the feature vector, in the order z, h."""
    sizes = {"z": latent_size, "h": hidden_size}
    slices: dict[str, slice] = {}
    start = 0
    for name in ("z", "h"):
        if name in names:
            slices[name] = slice(start, start + sizes[name])
            start += sizes[name]
    return slices


def num_features(names: Sequence[str], latent_size: int, hidden_size: int) -> int:
    """Returns the length F of the feature vector."""
    return max(s.stop for s in feature_slices(names, latent_size, hidden_size).values())


class Perception(Protocol):
    """Turns observations into features and remembers what was done, for a batch of slots."""

    def begin(self, slots: np.ndarray) -> None:
        """Forgets the past of slots in which a new episode starts."""
        ...

    def features(self, observations: np.ndarray, slots: np.ndarray) -> Float:
        """Returns `[L, F]` for the observations `[L, ...]` of the given slots `[L]`."""
        ...

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        """Is told the actions `[L]` or `[L, A]` that follow the last features of these slots."""
        ...


class WorldModelPerception:
    """[z, h] through V and M.

    Args:
        vision: V.
        memory: M, advanced only if `h` is among the features.
        action: the environment's action space.
        names: features that C sees, of `z` and `h`.
        num_slots: environments stepped together.
    """

    def __init__(
        self,
        vision: Vision,
        memory: Memory,
        action: ActionSpec,
        names: Sequence[str],
        num_slots: int,
    ) -> None:
        self._vision = vision
        self._memory = memory
        self._action = action
        self._see = "z" in names
        self._remember = "h" in names
        self._state = memory.initial_state(num_slots)
        self._latents = np.zeros((0, vision.latent_size), np.float32)

    def begin(self, slots: np.ndarray) -> None:
        self._state[slots] = self._memory.initial_state(len(slots))

    def features(self, observations: np.ndarray, slots: np.ndarray) -> Float:
        self._latents = self._vision.encode(observations)
        if not self._remember:
            return self._latents
        hidden = self._memory.hidden(self._state[slots])
        if not self._see:
            return hidden
        return np.concatenate([self._latents, hidden], axis=1)

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        if self._remember:
            encoded = self._action.encode(actions)
            self._state[slots] = self._memory.step(self._state[slots], self._latents, encoded)


class Dreaming(Protocol):
    """The part of a dream that its perception reads."""

    def hidden(self) -> Float: ...


class DreamPerception:
    """[z, h] inside a dream: observations are z already, and h is the dream's own.

    Args:
        dream: the environment being dreamed.
        names: features that C sees.
    """

    def __init__(self, dream: Dreaming, names: Sequence[str]) -> None:
        self._dream = dream
        self._names = tuple(names)

    def begin(self, slots: np.ndarray) -> None:
        """The dream resets its own memory."""

    def features(self, observations: np.ndarray, slots: np.ndarray) -> Float:
        parts = {"z": observations}
        if "h" in self._names:
            parts["h"] = self._dream.hidden()[slots]
        return np.concatenate([parts[name] for name in ("z", "h") if name in self._names], axis=1)

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        """The dream advances its own memory."""
