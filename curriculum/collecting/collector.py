"""The collector: environments, what an agent perceives of them, its controller and an exploration.

Each `step` plays one step of all environments and hands out a `Transition`. Learners on-policy make
rollouts of them (`curriculum.collecting.rollouts`), others keep them in a replay. Environments that
have ended begin anew by themselves, and all of it can be brought back to where a commit left it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from curriculum.agent.perception import Perception
from curriculum.collecting.disturbance import Disturbance
from curriculum.collecting.exploration import Exploration
from curriculum.collecting.lessons import EpisodeStatistics, LessonRules, lesson_of
from curriculum.collecting.shaping import Shaping
from curriculum.collecting.tape import Unrepeatable
from curriculum.envs.interface import Step, VectorEnv
from curriculum.stops import Guard
from models.interfaces import Controller, Float, State


class SavedPerception(Perception, Protocol):
    """A perception that can be saved between two steps."""

    def state(self) -> State: ...

    def load_state(self, state: Mapping[str, np.ndarray]) -> None: ...


class Course(Protocol):
    """Steps a batch of environments and brings it back to where it was: a `Tape` or `Snapshot`."""

    def start(self) -> np.ndarray: ...

    def step(self, actions: np.ndarray, meanwhile: Callable[[np.ndarray], None]) -> Step: ...

    def begin(self, rows: np.ndarray) -> np.ndarray: ...

    def state(self) -> State: ...

    def restore(self, state: Mapping[str, np.ndarray]) -> np.ndarray: ...


@dataclass(frozen=True)
class Transition:
    """One step of N environments, as what learns C is shown it.

    Attributes:
        features: `[N, F]` float32, what C read.
        actions: `[N]` int64 or `[N, A]` float32, what C chose, or a disturbance in its place.
        rewards: `[N]` float32; see `LessonRules`.
        terminated, truncated: `[N]` bool, never both.
        following: `[N, F]` float32, what C reads next: where an episode ended, of the next one.
        cut: `[M]` int64, the truncated rows.
        cut_features: `[M, F]` float32, of the last observations of the episodes that were cut.
        scores: true scores of the episodes that ended with this step.
        seen: `[N, ...]`, the observations that `following` was made of; None if not told.
        begun: `[N]` bool, whether these are the first of the environment's own episodes; likewise.
    """

    features: Float
    actions: np.ndarray
    rewards: Float
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    following: Float
    cut: NDArray[np.int64]
    cut_features: Float
    scores: tuple[float, ...] = ()
    seen: np.ndarray | None = None
    begun: NDArray[np.bool_] | None = None


class Collector:
    """Plays environments step by step.

    Args:
        env: the batch; it is closed with this.
        course: steps and saves it; nobody else may.
        perception: makes features of what it shows.
        controller: C; whoever learns gives it new parameters.
        rules: what of a step a learner is shown.
        exploration: chooses the actions.
        dreamed: whether the environments are dreams, whose rewards are expected ones.
        shaping: what a learner is told beyond the score; nothing if None.
        disturbance: takes actions in C's place now and then; never if None.
    """

    def __init__(
        self,
        env: VectorEnv,
        course: Course,
        perception: SavedPerception,
        controller: Controller,
        rules: LessonRules,
        exploration: Exploration,
        *,
        dreamed: bool = False,
        shaping: Shaping | None = None,
        disturbance: Disturbance | None = None,
    ) -> None:
        self._env, self._course, self._perception = env, course, perception
        self._controller, self._rules, self._exploration = controller, rules, exploration
        self._shaping = shaping or Shaping(env.spec, env.num_envs)
        self._disturbance = disturbance or Disturbance(env.spec.action, env.num_envs, 0.0)
        self._slots = np.arange(env.num_envs)
        self._statistics = EpisodeStatistics(env.num_envs)
        self._features = np.zeros((0, 0), np.float32)
        self.num_envs = env.num_envs
        self.dreamed = dreamed

    def close(self) -> None:
        """Closes the environments."""
        self._env.close()

    def begin(self) -> None:
        """Starts the first episodes."""
        observations = self._course.start()
        self._perception.begin(self._slots)
        self._features = self._perception.features(observations, self._slots)

    def step(
        self,
        rng: np.random.Generator,
        guard: Guard,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Transition:
        """Plays one step of all environments.

        Args:
            rng: draws the actions.
            guard: of the loop that asks; the environments' work may be broken off.
            meanwhile: is called, to learn, while the environments work.
        """
        features = self._features
        with guard.spending("controller"):
            actions = self._exploration.act(self._controller, features, rng)
            actions = self._disturbance(actions, rng)
        with guard.spending("environment"):
            acted = partial(self._acted, guard, meanwhile)
            played = guard.breaking_off(partial(self._course.step, actions, acted))
        step, added, ended = self._shaping(played)
        scores = tuple(episode.score for episode in self._statistics.add(step))
        told = {"added": added, "ended": ended}
        lesson = lesson_of(step, self._rules, dreamed=self.dreamed, **told)
        cut = np.flatnonzero(lesson.truncated)
        last = features[:0]
        if cut.size:
            last = self._perception.features(step.observations[cut], cut)
        seen, begun = self._go_on(step, guard)
        following = self._features
        return Transition(
            features, actions, *lesson, following, cut, last, scores, seen=seen, begun=begun
        )

    def state(self) -> State:
        """Returns what `load_state` goes on from, between two steps."""
        parts = {
            "perception": self._perception.state(),
            "statistics": self._statistics.state(),
            "noise": self._exploration.state(),
            "shaping": self._shaping.state(),
            "disturbance": self._disturbance.state(),
            "tape": self._course.state(),
        }
        arrays = {f"{part}/{k}": a for part, state in parts.items() for k, a in state.items()}
        return {**arrays, "features": self._features}

    def load_state(
        self, part: Callable[[str], State], features: np.ndarray, record: Callable[..., None]
    ) -> None:
        """Goes on from where a commit left all of it.

        Where environments do not honour their seeds new episodes are begun, which is recorded.

        Args:
            part: returns what `state` gave of a part, such as `perception` or `tape`.
            features: what C read next, `[N, F]`.
            record: appends an event to the ledger.
        """
        self._perception.load_state(part("perception"))
        self._statistics.load_state(part("statistics"))
        self._exploration.load_state(part("noise"))
        self._shaping.load_state(part("shaping"))
        self._disturbance.load_state(part("disturbance"))
        try:
            self._course.restore(part("tape"))
        except Unrepeatable as e:
            told = [f"{e}; so new episodes are begun"]
            record("resume_inexact", differences=told, **e.evidence)
            self._statistics.clear()
            self._shaping.clear()
            self.begin()
        else:
            self._features = np.array(features, np.float32)

    def _acted(self, guard: Guard, meanwhile: Callable[[], None], taken: np.ndarray) -> None:
        with guard.spending("perception"):
            self._perception.acted(taken, self._slots)
        with guard.spending("learning"):
            meanwhile()

    def _go_on(self, step: Step, guard: Guard) -> tuple[np.ndarray, NDArray[np.bool_]]:
        """Begins the next episodes of what has ended; returns what is seen, and where they began.

        What C reads next is made of it.
        """
        observations = step.observations
        begun = step.terminated | step.truncated
        over = np.flatnonzero(begun)
        if over.size:
            self._perception.begin(over)
            with guard.spending("environment"):
                observations = self._course.begin(over)
        with guard.spending("perception"):
            self._features = self._perception.features(observations, self._slots)
        return observations, begun
