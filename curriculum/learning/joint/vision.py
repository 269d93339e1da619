"""V goes on learning while C does, from frames that C's play has shown.

Random play does not show what a good player sees: a ball above the wall, a road at speed. So V
learns on, by its own loss, and the agent that plays, is averaged, checked, committed and shipped
holds the V of now. What C learned from before was read by a slightly earlier V.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from curriculum.collecting.collector import Transition
from curriculum.learning.joint.frames import FrameReplay
from curriculum.learning.learner import AgentLearner
from curriculum.learning.windows import mean_metrics
from curriculum.records.agent_state import as_part, without_moments
from models.interfaces import Metrics, NonFiniteLoss, State, Vision


class JointVision:
    """A learner of C, and V that learns beside it (`AgentLearner`).

    Args:
        learner: of C; healing and learning rates concern it alone.
        vision: V as it was learned so far, with all that its further learning needs.
        frames: what is observed goes there.
        updates: of V, for one of C.
        batch_size: frames of each at most.
    """

    def __init__(
        self,
        learner: AgentLearner,
        vision: Vision,
        frames: FrameReplay,
        *,
        updates: int,
        batch_size: int,
    ) -> None:
        self._learner, self._vision, self._frames = learner, vision, frames
        self._updates, self._batch_size = updates, batch_size
        self.steps_per_update = learner.steps_per_update

    @property
    def model(self) -> object:
        """What learns C."""
        return self._learner.model

    @property
    def gathering(self) -> bool:
        """Whether C has never learned so far; V waits as well."""
        return self._learner.gathering

    def begin(self, number: int, rate: float, rng: np.random.Generator) -> None:
        """Tells C's learner; see `AgentLearner.begin`."""
        self._learner.begin(number, rate, rng)

    def meanwhile(self) -> None:
        """Lets C's learner learn."""
        self._learner.meanwhile()

    def observe(self, transition: Transition) -> None:
        """Takes the next step, and what is seen after it."""
        self._learner.observe(transition)
        seen, begun, count = transition.seen, transition.begun, self._frames.num_envs
        assert seen is not None, "the collector did not tell what was seen"
        assert begun is not None
        self._frames.add(seen[:count], begun[:count])

    def update(self, number: int, rate: float, rng: np.random.Generator) -> Metrics:
        """Has V and C learn; see `AgentLearner.update`.

        Returns:
            The metrics of C's learner, and means of V's, their names after `vision_`; or
            `vision_refused` where a loss of V's was not finite, which then stays as it was.
        """
        before = self._vision.state()
        idle = self.gathering or not self._frames.has_pairs
        seen = {} if idle else self._look(rng.spawn(1)[0], before)
        try:
            return {**self._learner.update(number, rate, rng), **seen}
        except BaseException:
            self._vision.load_state(before)
            raise

    def learned(self) -> State:
        """Returns what C's learner has changed, and V."""
        vision = without_moments(as_part("vision", self._vision.state()))
        return {**self._learner.learned(), **vision}

    def state(self) -> State:
        """Returns the state of C's learner, and V's with its moments."""
        return {**self._learner.state(), **self._joint()}

    def load_state(self, part: Callable[[str], State]) -> None:
        """Goes on from what `state` gave."""
        self._learner.load_state(part)
        self._vision.load_state(part("joint"))

    def appended(self) -> Mapping[str, int]:
        """Returns the lengths of the files of C's learner, and of the frames."""
        return {**self._learner.appended(), **self._frames.lengths()}

    def sync(self) -> None:
        """Waits until these are on the disk."""
        self._learner.sync()
        self._frames.sync()

    def cut(self, appended: Mapping[str, int]) -> None:
        """Cuts these back to committed lengths."""
        self._learner.cut(appended)
        self._frames.cut(appended)

    def _joint(self) -> State:
        return {f"joint/{name}": array for name, array in self._vision.state().items()}

    def _look(self, rng: np.random.Generator, before: State) -> Metrics:
        """Has V learn from frames of some steps; returns its metrics."""
        made: list[Metrics] = []
        try:
            for _ in range(self._updates):
                pairs = self._frames.sample(self._batch_size, rng)
                if len(pairs.frames):
                    made.append(self._vision.update(pairs.frames, pairs.previous, rng))
        except NonFiniteLoss:
            self._vision.load_state(before)
            return {"vision_refused": 1.0}
        return {f"vision_{name}": value for name, value in mean_metrics(made).items()}
