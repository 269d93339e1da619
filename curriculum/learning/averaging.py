"""A running mean of what is learned, which is better than its last value and less noisy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.interfaces import State

_NAME = "averaged"


class RunningMean:
    """The exponential mean of an agent's learned parts (Polyak & Juditsky 1992).

    Args:
        kept: share of itself that it keeps at each step; 0 is what was learned last.
        learned: what it begins as; see `Agent.state`.
    """

    def __init__(self, kept: float, learned: State) -> None:
        self._kept = kept
        self.learned = learned

    def follow(self, learned: State, *, first: bool = False) -> None:
        """Moves on to what has been learned now; the first time it becomes just that."""
        kept = np.float32(0.0 if first else self._kept)
        rest = np.float32(1.0) - kept
        self.learned = {
            # What is counted has no mean.
            name: now if now.dtype.kind != "f" else kept * self.learned[name] + rest * now
            for name, now in learned.items()
        }

    def state(self) -> State:
        """Returns the mean, each name with `averaged` before it; `averaged` alone is C's."""
        return {_named(name): array for name, array in self.learned.items()}

    def load_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave, among other arrays."""
        self.learned = {
            name: np.array(arrays[_named(name)], old.dtype) for name, old in self.learned.items()
        }


def _named(name: str) -> str:
    return _NAME if name == "parameters" else f"{_NAME}/{name}"
