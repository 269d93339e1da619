"""C learns off-policy: from transitions drawn from all that was collected, whoever played it.

What an update learns from was observed before it began, so its gradients can be made while the
environments work, which are then played by C as it was. Where a gradient is made changes nothing:
how many there are, and what each may draw from, follows from what was observed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from fractions import Fraction

import numpy as np

from curriculum.collecting.collector import Transition
from curriculum.learning.learner import BadInput
from curriculum.learning.replay import Replay
from curriculum.learning.windows import mean_metrics
from curriculum.records.agent_state import PARAMETERS
from models.interfaces import (
    Metrics,
    NonFiniteLoss,
    OffPolicyLearner,
    OutOfDeviceMemory,
    State,
)
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
        self._seen = self._paid = self._turn = 0
        self._bad = ""
        self._gradients, self._rng = _Gradients(model, 0), np.random.default_rng(0)

    @property
    def gathering(self) -> bool:
        """Whether it has never learned so far, because too little was observed."""
        return self._paid * self._num_envs < self._settings.learning_starts

    def begin(self, number: int, rate: float, rng: np.random.Generator) -> None:
        """Plans the gradients that are due by what has been observed so far."""
        self.model.learning_rate = rate
        self._seen = self._replay.num_steps
        self._gradients = _Gradients(self.model, self._due())
        self._rng, self._turn = rng, 0

    def meanwhile(self) -> None:
        """Makes this step's part of the gradients, as even parts as possible."""
        self._turn += 1
        gradients = self._gradients
        if self._bad or gradients.error is not None:
            return
        try:
            self._make(gradients.due * self._turn // self.steps_per_update)
        except (NonFiniteLoss, OutOfDeviceMemory, MemoryError) as e:
            gradients.put_back(e)

    def observe(self, transition: Transition) -> None:
        """Takes the next step, unless something of it is not finite, or was since the update."""
        self._bad = self._bad or _not_finite(transition)
        if not self._bad:
            self._replay.add(transition)

    def update(self, number: int, rate: float, rng: np.random.Generator) -> Metrics:
        """Makes the gradients that are left, all of them or none; see `AgentLearner.update`.

        Returns:
            Means of the model's metrics over the gradients, `gradients`, their number, and
            `replay_steps`, how many there are to draw from; nothing while there are too few.
        """
        gradients = self._gradients
        try:
            if self._bad:
                raise BadInput(f"the {self._bad} that C was shown are not finite")
            gradients.raise_error()
            if not gradients.made:
                self._rng = rng
            self._make(gradients.due)
        except NonFiniteLoss as e:
            gradients.put_back(e)
            self._settle()
            raise
        except (OutOfDeviceMemory, MemoryError) as e:
            gradients.put_back(e)
            gradients.error = None
            raise
        gradients.keep()
        self._settle()
        if not gradients.made:
            return {}
        counts = {
            "gradients": float(gradients.due),
            "replay_steps": float(self._replay.drawable(self._settings.num_steps)),
        }
        return {**mean_metrics(gradients.made), **counts}

    def learned(self) -> State:
        """Returns C's parameters."""
        return {PARAMETERS: self.model.get_parameters()}

    def state(self) -> State:
        """Returns the model's state, and what the replay's files do not hold."""
        parts = {"learner": self.model.state(), "replay": self._replay.state()}
        arrays = {f"{part}/{name}": a for part, state in parts.items() for name, a in state.items()}
        counted = {"paid": np.array(self._paid), "unscaled": np.array(self._unscaled)}
        return {**arrays, **{f"replay/{name}": array for name, array in counted.items()}}

    def load_state(self, part: Callable[[str], State]) -> None:
        """Goes on from what `state` gave, with the replay cut to its length of then."""
        self.model.load_state(part("learner"))
        replay = part("replay")
        self._replay.load_state(replay)
        self._paid, self._unscaled = int(replay["paid"]), bool(replay["unscaled"])
        self._bad = ""

    def appended(self) -> Mapping[str, int]:
        """Returns the lengths of the replay's files."""
        return self._replay.lengths()

    def sync(self) -> None:
        """Waits until the replay is on the disk."""
        self._replay.sync()

    def cut(self, appended: Mapping[str, int]) -> None:
        """Cuts the replay back to committed lengths."""
        self._replay.cut(appended)

    def _due(self) -> int:
        """Returns how many gradients to make, of all that ever were due; fractions carry over."""
        if not self._replay.drawable(self._settings.num_steps):
            return 0
        before, now = (
            int(self._ratio * max(0, steps * self._num_envs - self._settings.learning_starts))
            for steps in (self._paid, self._seen)
        )
        return now - before

    def _settle(self) -> None:
        """Notes that what was due is made, or left out for ever."""
        self._paid, self._bad = self._seen, ""

    def _scale(self) -> None:
        """Gives the model the scale of its features, once, by the first steps."""
        rows = self._replay.features(-(-self._settings.learning_starts // self._num_envs))
        self.model.set_feature_scale(rows.mean(axis=0), rows.std(axis=0))
        self._unscaled = False

    def _make(self, wanted: int) -> None:
        """Makes gradients until there are as many as wanted."""
        if wanted and self._unscaled:
            self._scale()
        while len(self._gradients.made) < wanted:
            self._gradients.add(lambda: self._step(self._rng))

    def _step(self, rng: np.random.Generator) -> Metrics:
        settings = self._settings
        batch = self._replay.sample(
            settings.batch_size,
            rng,
            gamma=settings.gamma,
            num_steps=settings.num_steps,
            end=self._seen,
        )
        return self.model.update(batch, rng)


class _Gradients:
    """The gradients of one update, which are kept or put back together.

    Args:
        model: makes them.
        due: how many there are to be.
    """

    def __init__(self, model: OffPolicyLearner, due: int) -> None:
        self._model, self.due = model, due
        self._held = ExitStack()
        self.made: list[Metrics] = []
        self.error: Exception | None = None

    def add(self, make: Callable[[], Metrics]) -> None:
        """Makes the next one."""
        if not self.made:
            self._held.enter_context(self._model.all_or_nothing())
        self.made.append(make())

    def keep(self) -> None:
        """Keeps all of them."""
        self._held.close()

    def put_back(self, error: Exception) -> None:
        """Has the model as it was before the first one."""
        self._held.__exit__(type(error), error, error.__traceback__)
        self._held = ExitStack()
        self.made, self.error = [], error

    def raise_error(self) -> None:
        """Raises what one of them ended with."""
        if self.error is not None:
            raise self.error


def _not_finite(transition: Transition) -> str:
    """Returns what of a step is not finite: `features`, `rewards`, or ""."""
    features = (transition.features, transition.following, transition.cut_features)
    if not all(np.isfinite(part).all() for part in features):
        return "features"
    return "" if np.isfinite(transition.rewards).all() else "rewards"
