"""What an agent perceives: observations become the features that its controller reads.

Two ways lead to the same features `[z, dz, k, dk, a, h]`, dz being the change of z since the step
before, k and dk the first of both where V has key points, and a what was done lately: through V and
M in a real or simulated environment, and directly inside a dream, whose observations are latents
and whose hidden state is M's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from curriculum.agent.action_trace import ActionTrace
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.tasks import without_key_points
from curriculum.world.world_model import WorldModel
from models.interfaces import Float, State
from models.shapes import Float32

FEATURES = ("z", "dz", "k", "dk", "a", "h")
"""The features there are, in the order in which they lie in the feature vector."""


def feature_slices(
    names: Sequence[str],
    latent_size: int,
    hidden_size: int,
    key_points: int = 0,
    trace_size: int = 0,
) -> dict[str, slice]:
    """Returns where each named feature lies in the feature vector, in the order of `FEATURES`.

    Raises:
        ValueError: V has no key points, and one of the features is made of them.
    """
    if not key_points and without_key_points(names) != tuple(names):
        raise ValueError(
            f"C was to read {', '.join(names)} of a V without key points, expected "
            "neither k nor dk: set vae.key_points, or read z and dz"
        )
    sizes = {"z": latent_size, "k": 2 * key_points, "a": trace_size, "h": hidden_size}
    sizes = {**sizes, "dz": sizes["z"], "dk": sizes["k"]}
    slices: dict[str, slice] = {}
    start = 0
    for name in FEATURES:
        if name in names:
            slices[name] = slice(start, start + sizes[name])
            start += sizes[name]
    return slices


def num_features(
    names: Sequence[str],
    latent_size: int,
    hidden_size: int,
    key_points: int = 0,
    trace_size: int = 0,
) -> int:
    """Returns the length F of the feature vector; raises as `feature_slices` does."""
    slices = feature_slices(names, latent_size, hidden_size, key_points, trace_size)
    return max(s.stop for s in slices.values())


def join_features(
    names: Sequence[str],
    latents: Float32[np.ndarray, "N Z"],
    before: Float32[np.ndarray, "N Z"],
    hidden: Float32[np.ndarray, "N R"],
    key_points: int = 0,
    trace: Float32[np.ndarray, "N A"] | None = None,
) -> Float32[np.ndarray, "N F"]:
    """Returns the feature vectors `[N, F]`.

    Args:
        names: the features wanted.
        latents: `[N, Z]`, z_t.
        before: `[N, Z]`, z_{t-1}; z_t again at the first step of an episode.
        hidden: `[N, R]`, M's h of what came before z_t; not read if `h` is not wanted.
        key_points: K; the first 2 K latents are their places.
        trace: `[N, A]`, what was done before z_t; needed if `a` is wanted.
    """
    parts = []
    placed = slice(2 * key_points)
    if "z" in names:
        parts.append(latents)
    if "dz" in names:
        parts.append(latents - before)
    if "k" in names:
        parts.append(latents[:, placed])
    if "dk" in names:
        parts.append(latents[:, placed] - before[:, placed])
    if "a" in names:
        assert trace is not None, "no trace of actions was kept"
        parts.append(trace)
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
    """[z, dz, k, dk, a, h] through V and M.

    Args:
        world: V and M; M is stepped only if `h` is among the features.
        action: the environment's action space.
        names: features that C sees, of `FEATURES`.
        num_slots: environments stepped together.
        key_points: K of V.
    """

    def __init__(
        self,
        world: WorldModel,
        action: ActionSpec,
        names: Sequence[str],
        num_slots: int,
        key_points: int = 0,
    ) -> None:
        self._world = world
        self._action = action
        self._names = tuple(names)
        self._key_points = key_points
        self._state = world.begin(num_slots)
        self._latents = np.zeros((num_slots, world.latent_size), np.float32)
        self._before = self._latents.copy()
        self._begun = np.zeros(num_slots, np.bool_)
        self._trace = ActionTrace(action, num_slots) if "a" in names else None

    def begin(self, slots: np.ndarray) -> None:
        if self._trace:
            self._trace.begin(slots)
        self._state[slots] = self._world.begin(len(slots))
        self._begun[slots] = False

    def features(self, observations: np.ndarray, slots: np.ndarray) -> Float:
        latents = self._world.observe(observations)
        before = np.where(self._begun[slots, None], self._latents[slots], latents)
        self._before[slots] = before
        self._latents[slots] = latents
        self._begun[slots] = True
        hidden = self._world.hidden(self._state[slots]) if "h" in self._names else latents
        trace = self._trace.means[slots] if self._trace else None
        return join_features(self._names, latents, before, hidden, self._key_points, trace)

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        if self._trace:
            self._trace.acted(actions, slots)
        if "h" in self._names:
            encoded = self._action.encode(actions)
            self._state[slots] = self._world.remember(
                self._state[slots], self._latents[slots], encoded
            )

    def state(self) -> State:
        """Returns what each slot remembers, as copies."""
        kept = {"memory": self._state, "latents": self._latents, "before": self._before}
        if self._trace:
            kept["trace"] = self._trace.means
        return {name: part.copy() for name, part in {**kept, "begun": self._begun}.items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Remembers what `state` gave."""
        self._state[:] = state["memory"]
        self._latents[:] = state["latents"]
        self._before[:] = state["before"]
        self._begun[:] = state["begun"]
        if self._trace:
            self._trace.means[:] = state["trace"]


class Dreaming(Protocol):
    """The part of a dream that its perception reads."""

    spec: EnvSpec
    num_envs: int

    def latents(self) -> Float: ...

    def hidden(self) -> Float: ...

    def before(self) -> Float: ...


class DreamPerception:
    """[z, dz, k, dk, a, h] inside a dream: observations are z already, z and h the dream's own.

    A dream may begin in the middle of an episode, whose actions it does not know: a is 0 there.

    Args:
        dream: the environment being dreamed.
        names: features that C sees.
        key_points: K of V.
    """

    def __init__(self, dream: Dreaming, names: Sequence[str], key_points: int = 0) -> None:
        self._dream = dream
        self._names = tuple(names)
        self._key_points = key_points
        self._changes = "dz" in names or "dk" in names
        self._trace = ActionTrace(dream.spec.action, dream.num_envs) if "a" in names else None

    def begin(self, slots: np.ndarray) -> None:
        """Forgets what was done; the dream resets its own memory."""
        if self._trace:
            self._trace.begin(slots)

    def features(self, observations: np.ndarray, slots: np.ndarray) -> Float:
        before = self._dream.before()[slots] if self._changes else observations
        hidden = self._dream.hidden()[slots] if "h" in self._names else observations
        trace = self._trace.means[slots] if self._trace else None
        return join_features(self._names, observations, before, hidden, self._key_points, trace)

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        """Notes what was done; the dream advances its own memory."""
        if self._trace:
            self._trace.acted(actions, slots)

    def state(self) -> State:
        """Returns what was done lately if C reads it; the rest the dream remembers."""
        return {"trace": self._trace.means.copy()} if self._trace else {}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Remembers what `state` gave."""
        if self._trace:
            self._trace.means[:] = state["trace"]
