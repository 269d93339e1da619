"""One group of environments while C practises in it: what it sees, does and keeps of a rollout.

A step has two halves, so that while the environments of one group are at work, V, M and C can be
for another: an emulator has threads of its own, and a laptop has few cores to leave idle.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress

import numpy as np

from curriculum.control.rollouts import Steps
from curriculum.control.surroundings import Surroundings
from curriculum.envs.interface import Step
from curriculum.envs.learning import EpisodeStatistics, lesson_of
from curriculum.stages.stage import StageContext
from models.interfaces import Controller, Rollout, State


class Player:
    """Plays rollouts in a group of environments.

    Args:
        ctx: of the controller stage.
        surroundings: the group; it is closed with the player.
        controller: whose sampled actions are played.
    """

    def __init__(
        self, ctx: StageContext, surroundings: Surroundings, controller: Controller
    ) -> None:
        self._ctx = ctx
        self._controller = controller
        self._env, self._course = surroundings.env, surroundings.course
        self._perception, self._dreaming = surroundings.perception, surroundings.dreaming
        self._branches, self._recall = surroundings.branches, surroundings.recall
        self._slots = np.arange(self._env.num_envs)
        self._statistics = EpisodeStatistics(self._env.num_envs)
        self._features = np.zeros((0, 0), np.float32)
        self._steps = Steps()
        self._waiting = False

    def close(self) -> None:
        """Closes the environments, after a step that they may be in."""
        try:
            if self._waiting:
                with suppress(Exception):
                    self._course.recv()
        finally:
            self._env.close()

    def begin(self) -> None:
        """Starts the first episodes."""
        observations = self._course.start()
        self._perception.begin(self._slots)
        self._features = self._perception.features(observations, self._slots)

    def start(self, number: int) -> None:
        """Starts the `number`-th rollout, which goes on where the last one ended."""
        self._steps = Steps()
        if self._branches is not None:
            self._branches.clear(number)

    def act(self, t: int, rng: np.random.Generator) -> None:
        """Sends the environments off with the actions of step t; `watch` waits for them."""
        steps = self._steps
        with self._spending("controller"):
            actions = self._controller.sample(self._features, rng)
        steps.features.append(self._features)
        steps.actions.append(actions)
        if self._branches is not None:
            self._branches.see(t)
        with self._spending("environment"):
            taken = self._course.send(actions)
        self._waiting = True
        if self._recall is not None:
            steps.latents.append(self._perception.latents.copy())
            steps.taken.append(self._env.spec.action.encode(taken))
        with self._spending("perception"):
            self._perception.acted(taken, self._slots)

    def watch(self, t: int) -> list[float]:
        """Looks at what step t led to; returns the true scores of the episodes that it ended."""
        with self._spending("environment"):
            step = self._course.recv()
        self._waiting = False
        self._note(step, t)
        return [ended.score for ended in self._statistics.add(step)]

    def rollout(self) -> Rollout:
        """Returns the rollout that was started last, for C's learner."""
        if self._recall is not None:
            self._steps.remember(self._recall)
        return self._steps.rollout(self._features, self._ctx.task.ppo.reward_scale)

    def state(self) -> State:
        """Returns what has to be known between two rollouts."""
        parts: dict[str, Mapping[str, np.ndarray]] = {
            "tape": self._course.state(),
            "perception": self._perception.state(),
            "statistics": self._statistics.state(),
        }
        if self._recall is not None:
            parts["recall"] = self._recall.state()
        arrays = {f"{part}.{k}": v for part, state in parts.items() for k, v in state.items()}
        return {**arrays, "features": self._features}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave, the environments included.

        Raises:
            StageFailure: they did not come back to where they were.
        """

        def part(name: str) -> State:
            here = f"{name}."
            return {k.removeprefix(here): v for k, v in state.items() if k.startswith(here)}

        self._course.restore(part("tape"))
        self._perception.load_state(part("perception"))
        self._statistics.load_state(part("statistics"))
        if self._recall is not None:
            self._recall.load_state(part("recall"))
        self._features = np.array(state["features"], np.float32)

    def _note(self, step: Step, t: int) -> None:
        """Notes what a step taught, and looks at what follows it."""
        steps, settings = self._steps, self._ctx.task.ppo
        lesson = lesson_of(
            step,
            clip_rewards=settings.clip_rewards,
            end_on_life_loss=settings.end_on_life_loss,
            end_on_reward=settings.end_on_reward,
            dreamed=self._dreaming,
        )
        steps.lessons.append(lesson)
        over = np.flatnonzero(step.terminated | step.truncated)
        # What an episode ended with counts where a limit cut it, and M is to know it in any case.
        looked_at = over if self._recall is not None else np.flatnonzero(lesson.truncated)
        last = self._perception.latents[:0]
        if looked_at.size:
            features = self._perception.features(step.observations[looked_at], looked_at)
            last = self._perception.latents[looked_at]
            for row, seen in zip(looked_at.tolist(), features, strict=True):
                if lesson.truncated[row]:
                    steps.cut_features.append(seen)
                    steps.cut_at.append((t, row))
        observations = step.observations
        if over.size:
            self._perception.begin(over)
            with self._spending("environment"):
                observations = self._course.begin(over)
        with self._spending("perception"):
            self._features = self._perception.features(observations, self._slots)
        if self._recall is not None:
            following = self._perception.latents.copy()
            following[looked_at] = last
            steps.following.append(following)
            steps.steps.append(step)

    def _spending(self, name: str) -> AbstractContextManager[None]:
        return self._ctx.barrier.stopwatch.on(name)
