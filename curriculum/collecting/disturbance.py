"""Pushes in practice: now and then an environment does something else for a while than C chose.

An agent that drives well never sees the grass, so nothing teaches it the way back. A burst of one
random action, held for some steps, takes it there; what it does then is learned as all else is,
and what was really done is what is stored. Such actions are not of the policy: what learns from a
replay does not mind, what learns on-policy takes them for its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from curriculum.envs.interface import ActionSpec
from models.interfaces import State

SHORTEST, LONGEST = 4, 14
"""Steps that a burst lasts."""


class Disturbance:
    """Bursts of random actions in N environments; committed with practice.

    Args:
        action: the action space.
        num_envs: N.
        probability: that a burst begins at a step of an environment that has none.
    """

    def __init__(self, action: ActionSpec, num_envs: int, probability: float) -> None:
        self._action, self._probability = action, probability
        self._left = np.zeros(num_envs, np.int64)
        self._held = np.stack([action.sample(np.random.default_rng(0))] * num_envs)

    def __call__(self, actions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Returns the actions to be taken, `[N]` int64 or `[N, A]` float32.

        Args:
            actions: those that were chosen, as many.
            rng: draws as much at every step, whatever comes of it; nothing at probability 0.
        """
        if not self._probability:
            return actions
        count = len(self._left)
        begins = (rng.random(count) < self._probability) & (self._left == 0)
        lengths = rng.integers(SHORTEST, LONGEST + 1, count)
        drawn = np.stack([self._action.sample(rng) for _ in range(count)])
        self._left = np.where(begins, lengths, self._left)
        self._held = np.where(_beside(begins, drawn), drawn, self._held)
        disturbed = self._left > 0
        self._left -= disturbed
        return np.where(_beside(disturbed, actions), self._held, actions)

    def state(self) -> State:
        """Returns the bursts that last, if there are any at all."""
        if not self._probability:
            return {}
        return {"left": self._left.copy(), "held": self._held.copy()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave."""
        self._left[:] = state.get("left", 0)
        if "held" in state:
            self._held = np.array(state["held"], self._held.dtype)


def _beside(mask: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Returns a mask `[N]` in a shape that goes with actions `[N]` or `[N, A]`."""
    return mask.reshape(-1, *[1] * (actions.ndim - 1))
