"""Policies beside an agent's own: random ones, many candidates side by side, and mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from curriculum.agent.episodes import Policy
from curriculum.agent.perception import Perception
from curriculum.envs.interface import ActionSpec
from models.interfaces import Float


class RandomPolicy:
    """Uniform actions, each kept with some probability; one random stream per episode.

    Args:
        action: the action space.
        keep: probability that the last action is repeated.
        streams: one generator per episode of the list.
    """

    def __init__(
        self, action: ActionSpec, keep: float, streams: Sequence[np.random.Generator]
    ) -> None:
        self._action = action
        self._keep = keep
        self._streams = streams
        self._episode: dict[int, int] = {}
        self._last: dict[int, np.ndarray] = {}

    def begin(self, slots: np.ndarray, episodes: np.ndarray) -> None:
        for slot, episode in zip(slots.tolist(), episodes.tolist(), strict=True):
            self._episode[slot] = episode
            self._last.pop(slot, None)

    def act(self, observations: np.ndarray, slots: np.ndarray) -> np.ndarray:
        return np.stack([self._one(slot) for slot in slots.tolist()])

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        """Keeps repeating its own action, whatever was taken."""

    def _one(self, slot: int) -> np.ndarray:
        rng = self._streams[self._episode[slot]]
        if slot not in self._last or rng.random() >= self._keep:
            self._last[slot] = self._action.sample(rng)
        return self._last[slot]


class Population(Protocol):
    """Candidates that act side by side."""

    def act(self, features: Float) -> np.ndarray: ...


class PopulationPolicy:
    """One candidate per group of consecutive slots; all act greedily.

    Args:
        perception: what makes features.
        population: acts on `[Pop, n, F]`.
        candidates: Pop.
        rollouts: n, slots per candidate.
        features: F.
    """

    def __init__(
        self,
        perception: Perception,
        population: Population,
        candidates: int,
        rollouts: int,
        features: int,
    ) -> None:
        self._perception = perception
        self._population = population
        self._rollouts = rollouts
        self._features = np.zeros((candidates, rollouts, features), np.float32)

    def begin(self, slots: np.ndarray, episodes: np.ndarray) -> None:
        self._perception.begin(slots)

    def act(self, observations: np.ndarray, slots: np.ndarray) -> np.ndarray:
        rows = self._perception.features(observations, slots)
        where = (slots // self._rollouts, slots % self._rollouts)
        self._features[where] = rows
        return self._population.act(self._features)[where]

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        self._perception.acted(actions, slots)


class ExploringPolicy:
    """A policy with a share of its actions replaced by those of another, which keeps exploring.

    Args:
        policy: the policy followed otherwise.
        other: where the replacements come from.
        fraction: probability of a replacement, per step and slot.
        streams: one generator per episode of the list.
    """

    def __init__(
        self,
        policy: Policy,
        other: Policy,
        fraction: float,
        streams: Sequence[np.random.Generator],
    ) -> None:
        self._policies = (policy, other)
        self._fraction = fraction
        self._streams = streams
        self._episode: dict[int, int] = {}

    def begin(self, slots: np.ndarray, episodes: np.ndarray) -> None:
        self._episode.update(zip(slots.tolist(), episodes.tolist(), strict=True))
        for policy in self._policies:
            policy.begin(slots, episodes)

    def act(self, observations: np.ndarray, slots: np.ndarray) -> np.ndarray:
        chosen, other = (policy.act(observations, slots) for policy in self._policies)
        draws = [self._streams[self._episode[slot]].random() for slot in slots.tolist()]
        replaced = np.asarray(draws) < self._fraction
        return np.where(replaced.reshape(-1, *[1] * (chosen.ndim - 1)), other, chosen)

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        for policy in self._policies:
            policy.acted(actions, slots)
