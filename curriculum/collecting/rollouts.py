"""Rollouts: one in the making, and the last ones, which a learner on-policy learns from again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from curriculum.collecting.collector import Transition
from models.interfaces import Rollout, State


class RolloutBuffer:
    """The steps of a rollout while it is being played."""

    def __init__(self) -> None:
        self._steps: list[Transition] = []

    def add(self, transition: Transition) -> None:
        """Takes the next step."""
        self._steps.append(transition)

    def clear(self) -> None:
        """Forgets all steps."""
        self._steps = []

    def rollout(self) -> Rollout:
        """Returns the rollout of the steps so far."""
        steps = self._steps
        last = steps[-1].following
        cut_at = [(t, row) for t, step in enumerate(steps) for row in step.cut.tolist()]
        return Rollout(
            features=np.stack([step.features for step in steps]),
            actions=np.stack([step.actions for step in steps]),
            rewards=np.stack([step.rewards for step in steps]),
            terminated=np.stack([step.terminated for step in steps]),
            truncated=np.stack([step.truncated for step in steps]),
            last_features=last,
            cut_at=np.array(cut_at, np.int64).reshape(-1, 2),
            cut_features=np.concatenate([last[:0], *(step.cut_features for step in steps)]),
        )


def not_finite(rollout: Rollout) -> str:
    """Returns which of a rollout's numbers are NaN or infinite, "" where its learner is to blame.

    Returns:
        `features`, which V and M make, `rewards`, or "".
    """
    features = (rollout.features, rollout.last_features, rollout.cut_features)
    if not all(np.isfinite(part).all() for part in features):
        return "features"
    return "" if np.isfinite(rollout.rewards).all() else "rewards"


class EarlierRollouts:
    """Rollouts of earlier policies, newest first; committed with the practice.

    Args:
        capacity: how many are kept; 0 keeps none.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.rollouts: tuple[Rollout, ...] = ()

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
