"""The last rollouts, which a policy learner learns from again (`ppo.reuse`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from models.interfaces import Rollout, State


class EarlierRollouts:
    """Rollouts of earlier policies, newest first; committed with the practice.

    Args:
        capacity: how many are kept; 0 keeps none.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.rollouts: tuple[Rollout, ...] = ()

    @property
    def wanted(self) -> bool:
        """Whether any are kept."""
        return self._capacity > 0

    def add(self, rollout: Rollout) -> None:
        """Keeps a rollout, and drops the oldest.

        Args:
            rollout: with the log-probabilities of its actions; not to be written to any more.
        """
        self.rollouts = (rollout, *self.rollouts)[: self._capacity]

    def clear(self) -> None:
        """Forgets all of them."""
        self.rollouts = ()

    def state(self) -> State:
        """Returns all rollouts as arrays, which are not copied."""
        return {
            f"{number}.{name}": array
            for number, rollout in enumerate(self.rollouts)
            for name, array in _arrays(rollout).items()
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave."""
        found: dict[int, dict[str, np.ndarray]] = {}
        for key, array in state.items():
            number, _, name = key.partition(".")
            found.setdefault(int(number), {})[name] = array
        self.rollouts = tuple(Rollout(**found[number]) for number in sorted(found))


def _arrays(rollout: Rollout) -> State:
    parts = {field.name: getattr(rollout, field.name) for field in fields(rollout)}
    return {name: array for name, array in parts.items() if array is not None}
