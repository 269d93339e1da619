"""Where practice stands."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from curriculum.errors import StageFailure
from curriculum.learning.healing import MAX_IN_A_ROW, MAX_ROLLBACKS, RATE_FACTOR

RECENT = 64
"""Finished training episodes whose mean score says where learning stands."""


@dataclass(frozen=True)
class Counters:
    """Where practice stands between two updates; committed.

    Attributes:
        updates, env_steps, dream_steps: so far.
        episodes: finished ones.
        recent: true scores of the last finished training episodes, oldest first.
        checked: the update that was checked last.
        rate_factor: what healing has left of the learning rate.
        rollbacks, in_a_row: refused updates in all, and since the last good one.
    """

    updates: int = 0
    env_steps: int = 0
    dream_steps: int = 0
    episodes: int = 0
    recent: tuple[float, ...] = ()
    checked: int = 0
    rate_factor: float = 1.0
    rollbacks: int = 0
    in_a_row: int = 0

    @property
    def score(self) -> float:
        """The mean score of the recent episodes, NaN before the first has finished."""
        return float(np.mean(self.recent)) if self.recent else float("nan")

    def left_out(self, reason: str, foreign: bool) -> Counters:
        """Counts an update that was left out; the rate is halved where C itself is to blame.

        Args:
            reason: what went wrong.
            foreign: whether what C was shown made it go wrong.

        Raises:
            StageFailure: too many were left out.
        """
        if self.in_a_row >= MAX_IN_A_ROW or self.rollbacks >= MAX_ROLLBACKS:
            advice = "look at what gives them" if foreign else "lower ppo.learning_rate"
            raise StageFailure(
                f"learning C went wrong {self.rollbacks + 1} times: {reason}; {advice}",
                {"updates": self.updates, "reason": reason},
            )
        return replace(
            self,
            rate_factor=self.rate_factor * (1.0 if foreign else RATE_FACTOR),
            rollbacks=self.rollbacks + 1,
            in_a_row=self.in_a_row + 1,
        )
