"""What an agent perceives: observations become the features that its controller reads.

Two ways lead to the same features `[z, dz, h]`, dz being the change of z since the step before:
through V and M in a real or simulated environment, and directly inside a dream, whose observations
are latents and whose hidden state is M's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from curriculum.envs.interface import ActionSpec
from curriculum.world.world_model import WorldModel
from models.interfaces import Float, State
from models.shapes import Float32

FEATURES = ("z", "dz", "h")
"""The features there are, in the order in which they lie in the feature vector."""


def feature_slices(names: Sequence[str], latent_size: int, hidden_size: int) -> dict[str, slice]:
    """Returns where each named feature lies in the feature vector, in the order z, dz, h."""
    sizes = {"z": latent_size, "dz": latent_size, "h": hidden_size}
    slices: dict[str, slice] = {}
    start = 0
    for name in FEATURES:
        if name in names:
            slices[name] = slice(start, start + sizes[name])
            start += sizes[name]
    return slices


def num_features(names: Sequence[str], latent_size: int, hidden_size: int) -> int:
    """Returns the length F of the feature vector."""
    return max(s.stop for s in feature_slices(names, latent_size, hidden_size).values())


def join_features(
    names: Sequence[str],
    latents: Float32[np.ndarray, "N Z"],
    before: Float32[np.ndarray, "N Z"],
    hidden: Float32[np.ndarray, "N R"],
) -> Float32[np.ndarray, "N F"]:
    """Returns the feature vectors `[N, F]`.

    Args:
        names: the features wanted.
        latents: `[N, Z]`, z_t.
        before: `[N, Z]`, z_{t-1}; z_t again at the first step of an episode.
        hidden: `[N, R]`, M's h of what came before z_t; not read if `h` is not wanted.
    """
    parts = []
    if "z" in names:
        parts.append(latents)
    if "dz" in names:
        parts.append(latents - before)
    if "h" in names:
        parts.append(hidden)
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


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
    """[z, dz, h] through V and M.

    Args:
        world: V and M; M is stepped only if `h` is among the features.
        action: the environment's action space.
        names: features that C sees, of `z`, `dz` and `h`.
        num_slots: environments stepped together.
    """

    def __init__(
        self, world: WorldModel, action: ActionSpec, names: Sequence[str], num_slots: int
    ) -> None:
        self._world = world
        self._action = action
        self._names = tuple(names)
        self._state = world.begin(num_slots)
        self._latents = np.zeros((num_slots, world.latent_size), np.float32)
        self._before = self._latents.copy()
        self._begun = np.zeros(num_slots, np.bool_)

    def begin(self, slots: np.ndarray) -> None:
        self._state[slots] = self._world.begin(len(slots))
        self._begun[slots] = False

    def features(self, observations: np.ndarray, slots: np.ndarray) -> Float:
        latents = self._world.observe(observations)
        before = np.where(self._begun[slots, None], self._latents[slots], latents)
        self._before[slots] = before
        self._latents[slots] = latents
        self._begun[slots] = True
        hidden = self._world.hidden(self._state[slots]) if "h" in self._names else latents
        return join_features(self._names, latents, before, hidden)

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        if "h" in self._names:
            encoded = self._action.encode(actions)
            self._state[slots] = self._world.remember(
                self._state[slots], self._latents[slots], encoded
            )

    def state(self) -> State:
        """Returns what each slot remembers, as copies."""
        kept = {"memory": self._state, "latents": self._latents, "before": self._before}
        return {name: part.copy() for name, part in {**kept, "begun": self._begun}.items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Remembers what `state` gave."""
        self._state[:] = state["memory"]
        self._latents[:] = state["latents"]
        self._before[:] = state["before"]
        self._begun[:] = state["begun"]


class Dreaming(Protocol):
    """The part of a dream that its perception reads."""

    def latents(self) -> Float: ...

    def hidden(self) -> Float: ...

    def before(self) -> Float: ...


class DreamPerception:
    """[z, dz, h] inside a dream: observations are z already, and the rest is the dream's own.

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
        before = self._dream.before()[slots] if "dz" in self._names else observations
        hidden = self._dream.hidden()[slots] if "h" in self._names else observations
        return join_features(self._names, observations, before, hidden)

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        """The dream advances its own memory."""

    def state(self) -> State:
        """Returns nothing: the dream remembers."""
        return {}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Has nothing to remember."""
