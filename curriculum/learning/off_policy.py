"""C learns off-policy: from transitions drawn from all that was collected, whoever played it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

import numpy as np

from curriculum.collecting.collector import Transition
from curriculum.learning.learner import BadInput
from curriculum.learning.replay import Replay
from curriculum.learning.windows import mean_metrics
from curriculum.records.agent_state import PARAMETERS
from models.interfaces import Metrics, NonFiniteLoss, OffPolicyLearner, State
from models.settings.replay import ReplaySettings


class OffPolicy:
    """A learner from a replay, such as QR-DQN or SAC, and its replay (`AgentLearner`).

    Args:
        model: learns from transitions.
        replay: what is observed goes there.
        settings: how much is drawn from it.
        num_steps: of each environment between two updates.
        num_envs: N.
        fresh: whether the first update gives the model the scale of the features it reads.
    """

    def __init__(
        self,
        model: OffPolicyLearner,
        replay: Replay,
        settings: ReplaySettings,
        num_steps: int,
        num_envs: int,
        *,
        fresh: bool = True,
    ) -> None:
        self.model = model
        self.steps_per_update = num_steps
        self._replay, self._settings, self._num_envs = replay, settings, num_envs
        self._ratio = Fraction(repr(settings.updates_per_step))
        self._unscaled = fresh
        self._seen = 0
        self._bad = ""

    @property
    def gathering(self) -> bool:
        """Whether too little has been seen to learn from."""
        return self._steps(self._seen) < self._settings.learning_starts

    def observe(self, transition: Transition) -> None:
        """Takes the next step, unless something of it is not finite, or was since the update."""
        self._bad = self._bad or _not_finite(transition)
        if not self._bad:
            self._replay.add(transition)

    def update(self, number: int, rate: float, rng: np.random.Generator) -> Metrics:
        """Takes the steps that are due, all of them or none; see `AgentLearner.update`.

        Returns:
            Means of the model's metrics over the steps, `gradients`, their number, and
            `replay_steps`, how many there are to draw from; nothing while there are too few.
        """
        seen, bad = self._replay.num_steps, self._bad
        due = self._due(seen)
        try:
            if bad:
                raise BadInput(f"the {bad} that C was shown are not finite")
            if due:
                self._scale()
            self.model.learning_rate = rate
            with self.model.all_or_nothing():
                made = [self._step(rng) for _ in range(due)]
        except NonFiniteLoss:
            # Left out, not made up for.
            self._seen, self._bad = seen, ""
            raise
        self._seen = seen
        if not made:
            return {}
        there = self._replay.drawable(self._settings.num_steps)
        return {**mean_metrics(made), "gradients": float(due), "replay_steps": float(there)}

    def learned(self) -> State:
        """Returns C's parameters."""
        return {PARAMETERS: self.model.get_parameters()}

    def state(self) -> State:
        """Returns the model's state, and what the replay's files do not hold."""
        parts = {"learner": self.model.state(), "replay": self._replay.state()}
        arrays = {f"{part}/{name}": a for part, state in parts.items() for name, a in state.items()}
        return {**arrays, "replay/unscaled": np.array(self._unscaled)}

    def load_state(self, part: Callable[[str], State]) -> None:
        """Goes on from what `state` gave, with the replay cut to its length of then."""
        self.model.load_state(part("learner"))
        replay = part("replay")
        self._replay.load_state(replay)
        self._unscaled = bool(replay["unscaled"])
        self._seen, self._bad = self._replay.num_steps, ""

    def appended(self) -> Mapping[str, int]:
        """Returns the lengths of the replay's files."""
        return self._replay.lengths()

    def sync(self) -> None:
        """Waits until the replay is on the disk."""
        self._replay.sync()

    def cut(self, appended: Mapping[str, int]) -> None:
        """Cuts the replay back to committed lengths."""
        self._replay.cut(appended)

    def _steps(self, seen: int) -> int:
        return seen * self._num_envs

    def _due(self, seen: int) -> int:
        """Returns how many steps to take, of all that ever were due; fractions carry over."""
        if not self._replay.drawable(self._settings.num_steps):
            return 0
        before, now = (
            int(self._ratio * max(0, self._steps(each) - self._settings.learning_starts))
            for each in (self._seen, seen)
        )
        return now - before

    def _scale(self) -> None:
        """Gives the model the scale of its features, once, by the first steps."""
        if not self._unscaled:
            return
        rows = self._replay.features(-(-self._settings.learning_starts // self._num_envs))
        self.model.set_feature_scale(rows.mean(axis=0), rows.std(axis=0))
        self._unscaled = False

    def _step(self, rng: np.random.Generator) -> Metrics:
        settings = self._settings
        batch = self._replay.sample(
            settings.batch_size, rng, gamma=settings.gamma, num_steps=settings.num_steps
        )
        return self.model.update(batch, rng)


def _not_finite(transition: Transition) -> str:
    """Returns what of a step is not finite: `features`, `rewards`, or ""."""
    features = (transition.features, transition.following, transition.cut_features)
    if not all(np.isfinite(part).all() for part in features):
        return "features"
    return "" if np.isfinite(transition.rewards).all() else "rewards"
