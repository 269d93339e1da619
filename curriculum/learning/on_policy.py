"""C learns on-policy: from the rollout it has just played, and from the last ones before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from curriculum.collecting.collector import Transition
from curriculum.collecting.rollouts import EarlierRollouts, RolloutBuffer, not_finite
from curriculum.learning.learner import BadInput
from curriculum.records.agent_state import PARAMETERS
from models.interfaces import Metrics, NonFiniteLoss, PolicyLearner, State


class OnPolicy:
    """A policy learner, such as PPO, and its rollouts (`AgentLearner`).

    Args:
        model: learns from rollouts.
        num_steps: of each environment in a rollout.
        reuse: rollouts that an update learns from: the newest, and those of the updates before.
        fresh: whether the first update gives the model the scale of the features it reads.
    """

    def __init__(
        self, model: PolicyLearner, num_steps: int, reuse: int = 1, *, fresh: bool = True
    ) -> None:
        self.model = model
        self.steps_per_update = num_steps
        self._reuse, self._fresh = reuse, fresh
        self.gathering = False
        self._buffer = RolloutBuffer()
        self._earlier = EarlierRollouts(reuse - 1)

    def begin(self, number: int, rate: float, rng: np.random.Generator) -> None:
        """Learns from whole rollouts, all at once."""

    def meanwhile(self) -> None:
        """Learns from whole rollouts only."""

    def observe(self, transition: Transition) -> None:
        """Takes the next step of the rollout."""
        self._buffer.add(transition)

    def update(self, number: int, rate: float, rng: np.random.Generator) -> Metrics:
        """Learns from the rollout; see `AgentLearner.update`.

        One whose update is refused is left out, and so are the earlier ones: one of them may be to
        blame.
        """
        model, rollout = self.model, self._buffer.rollout()
        if number == 0 and self._fresh:
            rows = rollout.features.reshape(-1, rollout.features.shape[-1])
            model.set_feature_scale(rows.mean(axis=0), rows.std(axis=0))
        model.learning_rate = rate
        if self._reuse > 1:
            rollout = replace(rollout, log_probs=model.log_probs(rollout))
        try:
            metrics = model.update([rollout, *self._earlier.rollouts], rng)
        except NonFiniteLoss as e:
            self._earlier.clear()
            self._buffer.clear()
            if found := not_finite(rollout):
                raise BadInput(f"the {found} that C was shown are not finite") from e
            raise
        self._buffer.clear()
        self._earlier.add(rollout)
        return metrics

    def learned(self) -> State:
        """Returns C's parameters."""
        return {PARAMETERS: self.model.get_parameters()}

    def state(self) -> State:
        """Returns the model's state and the earlier rollouts."""
        parts = {"learner": self.model.state(), "earlier": self._earlier.state()}
        return {f"{part}/{name}": a for part, state in parts.items() for name, a in state.items()}

    def load_state(self, part: Callable[[str], State]) -> None:
        """Goes on from what `state` gave."""
        self.model.load_state(part("learner"))
        self._earlier.load_state(part("earlier"))
        self._buffer.clear()

    def appended(self) -> Mapping[str, int]:
        """Has no files."""
        return {}

    def sync(self) -> None:
        """Has no files."""

    def cut(self, appended: Mapping[str, int]) -> None:
        """Has no files."""
