"""C learns by gradients: rollouts in the real environment and dreams begun from them, or M alone.

Between two updates nothing is half done, so only there is something to commit; a stop inside a
rollout commits the state before it. The environments themselves are brought back by `Tape`.

In dreams nothing tells how good C really is, so it is checked every `ppo.patience` updates: what
only a dream rewards is never deployed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from curriculum.collecting.collector import Surroundings, brought_back
from curriculum.collecting.exploration import LastingNoise
from curriculum.collecting.rollouts import EarlierRollouts, Steps, not_finite
from curriculum.envs.interface import Step
from curriculum.collecting.lessons import EpisodeStatistics, lesson_of
from curriculum.errors import StageFailure
from curriculum.learning.branches import NonFiniteDream
from curriculum.learning.counters import RECENT, Counters
from curriculum.learning.healing import Thrifty
from curriculum.learning.recall import Refresher
from curriculum.learning.selection import Deployment
from curriculum.records.commit import Commit
from curriculum.stages.stage import StageContext
from models.interfaces import (
    Controller,
    Memory,
    Metrics,
    NonFiniteLoss,
    PolicyLearner,
    Rollout,
    State,
)

_T = TypeVar("_T")


class _Part(Protocol):
    """What can be saved between two updates."""

    def state(self) -> State: ...

    def load_state(self, state: Mapping[str, np.ndarray]) -> None: ...


class Practice:
    """A policy learner, the environments it practises in and what it reached.

    Args:
        ctx: of the controller stage; its pool already knows V and M.
        surroundings: the environments; they are closed with it.
        memory: M, which learns on if the surroundings have a recall.
        learner: what learns C.
        controller: acts with the learner's parameters.
        deployment: where what is found goes.
    """

    def __init__(
        self,
        ctx: StageContext,
        surroundings: Surroundings,
        memory: Memory,
        learner: PolicyLearner,
        controller: Controller,
        deployment: Deployment,
    ) -> None:
        self._ctx = ctx
        self._settings = settings = ctx.task.ppo
        self._learner = learner
        self._thrifty = Thrifty(learner, self._record)
        self._controller = controller
        self._deployment = deployment
        self._env, self._course = surroundings.env, surroundings.course
        self._perception, self._dreaming = surroundings.perception, surroundings.dreaming
        self._branches, self._recall = surroundings.branches, surroundings.recall
        self._practising = surroundings.practising
        self._memory = memory
        self._refresher = Refresher(ctx, memory, recall) if (recall := self._recall) else None
        self._slots = np.arange(settings.num_envs)
        self._statistics = EpisodeStatistics(settings.num_envs)
        self._features = np.zeros((0, 0), np.float32)
        self._averaged = learner.get_parameters()
        self._earlier = EarlierRollouts(settings.reuse - 1)
        self._noise = LastingNoise(settings.noise_persistence)
        self.counters = Counters()
        self._good: State = {}
        self._began, self._first_steps = time.monotonic(), 0

    def close(self) -> None:
        """Closes the environments."""
        self._env.close()

    @property
    def over(self) -> bool:
        """Whether the target is confirmed, or the steps are spent and the result is checked."""
        return self._deployment.confirmed or (self._spent and not self.check_due)

    @property
    def check_due(self) -> bool:
        """Whether the policy looks as if it had reached the target, or has settled."""
        counters, settings = self.counters, self._settings
        if counters.updates <= counters.checked:
            return False
        rested = counters.updates - counters.checked >= settings.patience
        if self._dreaming:
            return self._spent or rested
        margin = settings.check_margin * abs(self._ctx.target)
        there = len(counters.recent) == RECENT and counters.score >= self._ctx.target + margin
        return self._spent or (there and (rested or not counters.checked))

    def begin(self) -> None:
        """Starts the environments, or goes on from this stage's newest commit."""
        commit = self._ctx.store.latest()
        if commit is None:
            observations = self._course.start()
            self._perception.begin(self._slots)
            self._features = self._perception.features(observations, self._slots)
        else:
            self._load(commit)
        self._controller.set_parameters(self._learner.get_parameters())
        self._good = self._state()
        self._first_steps = self._used

    def run(self) -> None:
        """Practises until the target is confirmed or the steps are spent.

        Raises:
            StageFailure: learning went wrong and would not be mended.
        """
        with self._practising():
            while not self.over:
                if self.check_due:
                    self._check()
                else:
                    self._update()
                self._good = self._state()
                self._ctx.barrier.reached(self.save)

    def practise(self, updates: int) -> None:
        """Plays so many rollouts and learns from each, without a check or a commit."""
        with self._practising():
            for _ in range(updates):
                self._update()

    def save(self, complete: bool = False) -> None:
        """Commits learner, environments, perception and what is deployed, as after an update."""
        self._ctx.store.save(self._good, self._meta(), complete=complete)

    @property
    def _spent(self) -> bool:
        per_update = self._settings.num_envs * self._settings.num_steps
        # However small the budget, there is one rollout to learn from.
        room = self._used + per_update <= self._settings.total_steps
        return self.counters.updates > 0 and not room

    @property
    def _used(self) -> int:
        """Steps so far of the environments that it practises in."""
        return self.counters.dream_steps if self._dreaming else self.counters.env_steps

    def _spending(self, name: str) -> AbstractContextManager[None]:
        return self._ctx.barrier.stopwatch.on(name)

    def _breaking_off(self, work: Callable[[], _T]) -> _T:
        """Does work that a stop may break off; what is committed then is as after an update."""
        counters = self.counters

        def save() -> None:
            self.counters = counters
            self.save()

        return self._ctx.barrier.breaking_off(work, save)

    def _update(self) -> None:
        number = self.counters.updates
        rollout, scores = self._play(number)
        if number == 0 and self._ctx.round == 0:
            rows = rollout.features.reshape(-1, rollout.features.shape[-1])
            self._learner.set_feature_scale(rows.mean(axis=0), rows.std(axis=0))
        self._learner.learning_rate = self._rate()
        with self._spending("learning"):
            metrics = self._breaking_off(partial(self._learn, rollout, number))
        self._controller.set_parameters(self._learner.get_parameters())
        self._average(number)
        before, steps = self.counters, rollout.rewards.size
        branched = int(metrics.pop("dream_steps", 0))
        self.counters = replace(
            before,
            updates=number + 1,
            env_steps=before.env_steps + (0 if self._dreaming else steps),
            dream_steps=before.dream_steps + (steps if self._dreaming else branched),
            episodes=before.episodes + len(scores),
            recent=(*before.recent, *scores)[-RECENT:],
        )
        self._report(metrics)

    def _play(self, number: int) -> tuple[Rollout, list[float]]:
        """Plays one rollout; returns it and the true scores of the episodes that ended in it."""
        rng, settings = self._ctx.rng("act", number), self._settings
        steps, scores = Steps(), []
        if self._branches is not None:
            self._branches.clear(number)
        for t in range(settings.num_steps):
            self._ctx.barrier.may_stop(self.save)
            with self._spending("controller"):
                noise = self._noise.next(self._controller, settings.num_envs, rng)
                actions = self._controller.perturbed(self._features, noise)
            steps.features.append(self._features)
            steps.actions.append(actions)
            if self._branches is not None:
                self._branches.see(t)
            with self._spending("environment"):
                acted = partial(self._acted, steps)
                step = self._breaking_off(partial(self._course.step, actions, acted))
            scores += [ended.score for ended in self._statistics.add(step)]
            self._note(steps, step, t)
        if self._recall is not None:
            steps.remember(self._recall)
        return steps.rollout(self._features, settings.reward_scale), scores

    def _acted(self, steps: Steps, taken: np.ndarray) -> None:
        if self._recall is not None:
            steps.latents.append(self._perception.latents.copy())
            steps.taken.append(self._env.spec.action.encode(taken))
        with self._spending("perception"):
            self._perception.acted(taken, self._slots)

    def _note(self, steps: Steps, step: Step, t: int) -> None:
        """Notes what a step taught, and looks at what follows it."""
        settings = self._settings
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

    def _learn(self, rollout: Rollout, number: int) -> Metrics:
        """Updates the learner; one whose loss is not finite is left out, at half the rate since."""
        settings, earlier, thrifty = self._settings, self._earlier, self._thrifty
        if settings.reuse > 1:
            rollout = replace(rollout, log_probs=thrifty.log_probs(rollout))
        try:
            metrics = thrifty.update([rollout, *earlier.rollouts], self._ctx.rng("update", number))
            if self._refresher is not None and self.counters.env_steps >= settings.branch_after:
                metrics |= self._refresher.learn(number)
            metrics |= self._dream_on(number)
        except NonFiniteLoss as e:
            self._heal(str(e), not_finite(rollout))
            earlier.clear()  # one of them may be to blame
            return {}
        earlier.add(rollout)
        self.counters = replace(self.counters, in_a_row=0)
        return metrics

    def _dream_on(self, number: int) -> Metrics:
        """Updates the learner from short dreams; what is not finite in them is M's doing."""
        if self._branches is None:
            return {}
        try:
            return self._branches.learn(self._thrifty, self._controller, number)
        except NonFiniteDream as e:
            reason = str(e)
            if self._refresher is None or not self._refresher.roll_back(number, reason):
                raise StageFailure(
                    f"M imagines what cannot be learned from: {reason}; lower "
                    "mdnrnn.learning_rate or dream.temperature",
                    {"updates": number, "reason": reason},
                ) from e
            return {}

    def _heal(self, reason: str, shown: str) -> None:
        """Notes that an update was left out; `shown` names what made it, if C did not."""
        reason = f"the {shown} that C was shown are not finite" if shown else reason
        self.counters = self.counters.left_out(reason, foreign=bool(shown))
        self._record(
            "rolled_back",
            part="C",
            at=self.counters.updates,
            reason=reason,
            learning_rate=self._rate(),
            in_a_row=self.counters.in_a_row,
            rollbacks=self.counters.rollbacks,
        )

    def _record(self, event: str, **facts: Any) -> None:
        self._ctx.record(event, step=self.counters.updates, **facts)

    def _rate(self) -> float:
        """The learning rate now; it falls linearly with the steps spent."""
        settings = self._settings
        spent = min(self._used / settings.total_steps, 1.0)
        share = 1.0 + (settings.final_rate - 1.0) * spent
        return settings.learning_rate * share * self.counters.rate_factor

    def _check(self) -> None:
        number = self.counters.updates
        with self._spending("checks"):
            # Training scores are of explorers, and old: they often call for a check too soon.
            glance = not (self._spent or self._dreaming)
            self._deployment.check(self._averaged, number, self.save, glance=glance)
        self.counters = replace(self.counters, checked=number)

    def _average(self, number: int) -> None:
        """Moves the running mean of C's parameters on (Polyak & Juditsky 1992, exponentially)."""
        kept = np.float32(self._settings.averaging if number else 0.0)
        now = self._learner.get_parameters()
        mean = kept * self._averaged + (np.float32(1.0) - kept) * now
        self._averaged = mean.astype(np.float32)

    def _report(self, metrics: Metrics) -> None:
        counters, ctx = self.counters, self._ctx
        seconds = max(time.monotonic() - self._began, 1e-9)
        facts = {"rate": (self._used - self._first_steps) / seconds}
        score = "dream_score" if self._dreaming else "score"
        if counters.recent:
            facts[score] = counters.score
        if np.isfinite(self._deployment.best_check):
            facts["check"] = self._deployment.best_check
        ctx.say(self._used, self._settings.total_steps, "steps", **facts)
        used = float(counters.env_steps + self._deployment.env_steps)
        values = {**metrics, "env_steps": used, "dream_steps": float(counters.dream_steps)}
        if counters.recent:
            values[score] = counters.score
        ctx.record("metrics", step=counters.updates, values=values)

    def _parts(self) -> dict[str, _Part]:
        """What a commit holds the states of, by name; environments are brought back otherwise."""
        parts: dict[str, _Part] = {
            "learner": self._learner,
            "perception": self._perception,
            "statistics": self._statistics,
            "earlier": self._earlier,
            "noise": self._noise,
        }
        if self._recall is not None:
            parts |= {"recall": self._recall, "dreamer": self._memory}
        return parts

    def _state(self) -> State:
        states = {name: part.state() for name, part in self._parts().items()}
        states["tape"] = self._course.state()
        arrays = {f"{part}/{k}": v for part, state in states.items() for k, v in state.items()}
        arrays |= {"features": self._features, "averaged": self._averaged}
        arrays["parameters"] = self._deployment.parameters
        return arrays

    def _meta(self) -> dict[str, Any]:
        counters = {**asdict(self.counters), "recent": list(self.counters.recent)}
        parts = {"deployment": self._deployment, "thrifty": self._thrifty}
        parts |= {"refresher": self._refresher} if self._refresher else {}
        return {"practice": counters, **{name: part.meta() for name, part in parts.items()}}

    def _load(self, commit: Commit) -> None:
        arrays, meta = commit.arrays, commit.meta
        self._thrifty.load(meta.get("thrifty", {}))
        if self._refresher is not None:
            self._refresher.load(meta.get("refresher", {}))
        for name, part in self._parts().items():
            part.load_state(commit.part(name))
        back = (self._course, commit, self._perception, self._statistics, self._ctx.record)
        self._features = brought_back(*back)
        self._averaged = np.array(arrays["averaged"], np.float32)
        saved = dict(meta["practice"])
        self.counters = Counters(**{**saved, "recent": tuple(saved["recent"])})
        self._deployment.load(meta["deployment"], arrays["parameters"])
