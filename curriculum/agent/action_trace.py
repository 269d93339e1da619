"""What C did lately: running means of its actions, over a few steps and over many.

A frame does not show speed, nor what else goes on from actions of before: how long there was gas
tells how fast a car is (`python -m curriculum laps` says how well). M's h remembers actions as
well, in as many numbers as M has units; these are three for each number of an action. They decay
by 1 - 1 / span a step, as eligibility traces do (Sutton & Barto 2018, section 12.1).
"""

from __future__ import annotations

import numpy as np

from curriculum.envs.interface import ActionSpec
from models.interfaces import Float
from models.shapes import Float32

SPANS = (4, 16, 64)
"""Steps that the means are taken over."""


def trace_size(action: ActionSpec) -> int:
    """Returns A, the length of a trace."""
    return len(SPANS) * action.vector_size


class ActionTrace:
    """Running means of the actions in N slots, all zero where an episode begins.

    Args:
        action: the action space.
        num_slots: N.

    Attributes:
        means: `[N, A]` float32, the shortest span first.
    """

    def __init__(self, action: ActionSpec, num_slots: int) -> None:
        self._action = action
        self.means: Float = np.zeros((num_slots, trace_size(action)), np.float32)
        self._shares = np.repeat(1.0 / np.array(SPANS, np.float32), action.vector_size)

    def begin(self, slots: np.ndarray) -> None:
        """Forgets the actions of slots in which a new episode starts."""
        self.means[slots] = 0.0

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        """Is told the actions of these slots `[L]`."""
        vectors: Float32[np.ndarray, "L A"] = np.tile(self._action.vectors(actions), len(SPANS))
        before = self.means[slots]
        self.means[slots] = before + self._shares * (vectors - before)
