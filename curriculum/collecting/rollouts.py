"""Rollouts: one in the making, and the last ones, which a policy learner learns from again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import numpy as np

from curriculum.envs.interface import Step
from curriculum.collecting.lessons import Lesson
from curriculum.learning.recall import Recall
from models.interfaces import Rollout, State


@dataclass
class Steps:
    """A rollout while it is being played, one entry per step.

    Attributes:
        features: `[N, F]` each, what C read.
        actions: what C chose.
        lessons: what C's learner is shown.
        cut_at, cut_features: places and last features of episodes that a limit cut.
        latents, following: `[N, Z]` each, z before and after; of an episode's last step the z it
            ended with. For M, like the next two; empty where M does not learn on.
        taken: `[N, A]` each, encoded.
        steps: as the environments gave them.
    """

    features: list[np.ndarray] = field(default_factory=list)
    actions: list[np.ndarray] = field(default_factory=list)
    lessons: list[Lesson] = field(default_factory=list)
    cut_at: list[tuple[int, int]] = field(default_factory=list)
    cut_features: list[np.ndarray] = field(default_factory=list)
    latents: list[np.ndarray] = field(default_factory=list)
    following: list[np.ndarray] = field(default_factory=list)
    taken: list[np.ndarray] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def remember(self, recall: Recall) -> None:
        """Hands what M needs of the rollout on to `recall`."""
        terminated = np.stack([step.terminated for step in self.steps])
        recall.add(
            np.stack(self.latents),
            np.stack(self.following),
            np.stack(self.taken),
            np.stack([step.rewards for step in self.steps]),
            terminated,
            terminated | np.stack([step.truncated for step in self.steps]),
        )

    def rollout(self, last: np.ndarray, scale: float) -> Rollout:
        """Returns the rollout for C's learner.

        Args:
            last: `[N, F]`, the features after the last step.
            scale: factor on rewards.
        """
        places = np.array(self.cut_at, np.int64).reshape(-1, 2)
        cut = np.stack(self.cut_features) if self.cut_features else last[:0]
        rewards = np.stack([lesson.rewards for lesson in self.lessons]) * np.float32(scale)
        return Rollout(
            features=np.stack(self.features),
            actions=np.stack(self.actions),
            rewards=rewards.astype(np.float32),
            terminated=np.stack([lesson.terminated for lesson in self.lessons]),
            truncated=np.stack([lesson.truncated for lesson in self.lessons]),
            last_features=last,
            cut_at=places,
            cut_features=cut,
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
