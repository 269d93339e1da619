"""When a loop is over, when it looks at what it reached, and how fast it learns: all by counting.

Nothing here reads a clock, so a run that was stopped decides as one that was not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from curriculum.config.practice import TrainingConfig

RECENT = 64
"""Finished training episodes whose mean score says where learning stands."""


@dataclass(frozen=True)
class LoopCounters:
    """Where a loop stands between two updates; committed.

    Attributes:
        updates, env_steps, dream_steps: so far.
        episodes: finished ones.
        recent: true scores of the last finished training episodes, oldest first.
        checked: the update that was checked last.
    """

    updates: int = 0
    env_steps: int = 0
    dream_steps: int = 0
    episodes: int = 0
    recent: tuple[float, ...] = ()
    checked: int = 0

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> LoopCounters:
        """Reads what `meta` gave, among other facts of a commit."""
        names = ("updates", "env_steps", "dream_steps", "episodes", "checked")
        return cls(**{name: meta[name] for name in names}, recent=tuple(meta["recent"]))

    def meta(self) -> dict[str, Any]:
        """Returns everything, as JSON-compatible facts for a commit."""
        return {**asdict(self), "recent": list(self.recent)}

    @property
    def score(self) -> float:
        """The mean score of the recent episodes, NaN before the first has finished."""
        return float(np.mean(self.recent)) if self.recent else float("nan")


class Schedule:
    """What follows from the counters of a loop.

    Args:
        settings: of the loop.
        learning_rate: at first.
        target: the score that passes.
        steps_per_update: of all environments together.
        dreamed: whether the environments are dreams, in which nothing tells how good C really is.
    """

    def __init__(
        self,
        settings: TrainingConfig,
        learning_rate: float,
        target: float,
        steps_per_update: int,
        *,
        dreamed: bool,
    ) -> None:
        self._settings, self._learning_rate = settings, learning_rate
        self._goal = target + settings.check_margin * abs(target)
        self._steps_per_update = steps_per_update
        self.total_steps = settings.total_steps
        self.dreamed = dreamed

    def used(self, counters: LoopCounters) -> int:
        """Returns the steps so far of the environments that are learned in."""
        return counters.dream_steps if self.dreamed else counters.env_steps

    def spent(self, counters: LoopCounters) -> bool:
        """Tells whether there are no steps left for another update; there always is a first."""
        room = self.used(counters) + self._steps_per_update <= self.total_steps
        return counters.updates > 0 and not room

    def check_due(self, counters: LoopCounters) -> bool:
        """Tells whether C looks as if it had reached the target, or has settled."""
        since = counters.updates - counters.checked
        if since <= 0:
            return False
        rested = since >= self._settings.patience
        if self.spent(counters):
            return True
        if self.dreamed:
            return rested
        there = len(counters.recent) == RECENT and counters.score >= self._goal
        return there and (rested or not counters.checked)

    def rate(self, counters: LoopCounters) -> float:
        """Returns the learning rate; it falls linearly with the steps used."""
        spent = min(self.used(counters) / self.total_steps, 1.0)
        return self._learning_rate * (1.0 + (self._settings.final_rate - 1.0) * spent)
