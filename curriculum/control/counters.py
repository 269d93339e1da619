"""Where practice stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
