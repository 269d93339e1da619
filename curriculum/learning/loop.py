"""The loop in which C learns from environments, real ones or dreams: collect, update, check.

Between two updates nothing is half done, so only there is something to commit; a stop inside a
rollout or an update commits the state before it. What is deployed is a running mean of what is
learned, chosen by checks on fresh real episodes (`curriculum.learning.selection`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from curriculum.agent.agent import Agent
from curriculum.collecting.collector import Collector
from curriculum.learning.healing import Healer, Health
from curriculum.learning.learner import AgentLearner, BadInput
from curriculum.learning.schedule import RECENT, LoopCounters, Schedule
from curriculum.learning.selection import RunningMean, Selection
from curriculum.place import Place
from curriculum.records.commit import Commit
from curriculum.stops import Guard
from models.interfaces import Metrics, NonFiniteLoss, State


@dataclass(frozen=True)
class Update:
    """What a loop tells its subscribers after each update.

    Attributes:
        counters: after it.
        metrics: of the learner.
        used, total: steps of the environments that are learned in, so far and at most.
        since: of `used`, what was used when the loop was begun or gone on with.
        selection: with the checks so far.
        dreamed: whether those environments are dreams.
    """

    counters: LoopCounters
    metrics: Metrics
    used: int
    total: int
    since: int
    selection: Selection
    dreamed: bool


LoopSubscriber = Callable[[Update], None]


class Loop:
    """Has an agent play, learn and be checked until its target is reached or its steps are spent.

    Args:
        place: of the controller stage.
        agent: its controller is the collector's; what is learned is loaded into it.
        collector: it is closed with this.
        learner: what learns.
        schedule: when what is due.
        selection: checks what is learned, and keeps the best.
        averaging: share of itself that the running mean keeps at each update.
        subscribers: are told each update.
        practising: around all playing and learning; see `Backend.practising`.
    """

    def __init__(
        self,
        place: Place,
        agent: Agent,
        collector: Collector,
        learner: AgentLearner,
        schedule: Schedule,
        selection: Selection,
        *,
        averaging: float = 0.0,
        subscribers: Sequence[LoopSubscriber] = (),
        practising: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._place, self._agent = place, agent
        self._collector, self._learner = collector, learner
        self._schedule, self._selection = schedule, selection
        self._subscribers, self._practising = subscribers, practising
        self._guard = Guard(place.barrier, self.save)
        self._healer = Healer(learner.model, place.record, "learning C", part="C")
        self._mean = RunningMean(averaging, learner.learned())
        self._good: tuple[State, dict[str, Any], Mapping[str, int]] = ({}, {}, {})
        self._since = 0
        self.counters = LoopCounters()

    def close(self) -> None:
        """Closes the environments."""
        self._collector.close()

    @property
    def over(self) -> bool:
        """Whether the target is confirmed, or the steps are spent and the result is checked."""
        spent = self._schedule.spent(self.counters) and not self.check_due
        return self._selection.confirmed or spent

    @property
    def check_due(self) -> bool:
        """Whether what is learned has to play fresh real episodes before the next update."""
        return self._schedule.check_due(self.counters)

    @property
    def rollbacks(self) -> int:
        """How often an update was left out."""
        return self._healer.health.rollbacks

    def begin(self) -> None:
        """Starts the environments, or goes on from this stage's newest commit."""
        commit = self._place.store.latest()
        if commit is None:
            self._collector.begin()
            self._learner.cut({})
        else:
            self._load(commit)
        self._agent.load(self._learner.learned())
        self._since = self._schedule.used(self.counters)
        self._keep()

    def run(self) -> None:
        """Learns until it is `over`.

        Raises:
            StageFailure: learning went wrong and would not be mended.
        """
        with self._practising():
            while not self.over:
                self._check() if self.check_due else self._update()
                self._keep()
                self._guard.reached()

    def practise(self, updates: int) -> None:
        """Plays and learns so many times, without a check or a commit."""
        with self._practising():
            for _ in range(updates):
                self._update()

    def save(self, complete: bool = False) -> None:
        """Commits everything as it was between two updates."""
        arrays, meta, appended = self._good
        self._learner.sync()
        self._place.store.save(arrays, meta, complete=complete, appended=appended)

    def _update(self) -> None:
        number, before = self.counters.updates, self.counters
        learns_first = self._learner.gathering
        self._learner.begin(number, self._rate, self._place.rng("update", number))
        scores = self._collect(self._place.rng("act", number))
        with self._guard.spending("learning"):
            metrics = self._guard.breaking_off(partial(self._learn, number))
        learned = self._learner.learned()
        self._agent.load(learned)
        self._mean.follow(learned, first=number == 0 or learns_first)
        steps = self._learner.steps_per_update * self._collector.num_envs
        dreamed = self._schedule.dreamed
        self.counters = replace(
            before,
            updates=number + 1,
            env_steps=before.env_steps + (0 if dreamed else steps),
            dream_steps=before.dream_steps + (steps if dreamed else 0),
            episodes=before.episodes + len(scores),
            recent=(*before.recent, *scores)[-RECENT:],
        )
        self._tell(metrics)

    @property
    def _rate(self) -> float:
        """The learning rate of the next update."""
        return self._schedule.rate(self.counters) * self._healer.health.rate_factor

    def _collect(self, rng: np.random.Generator) -> list[float]:
        """Plays on; returns the true scores of the episodes that ended."""
        scores: list[float] = []
        for _ in range(self._learner.steps_per_update):
            self._guard.may_stop()
            transition = self._collector.step(rng, self._guard, self._learner.meanwhile)
            self._learner.observe(transition)
            scores += transition.scores
        return scores

    def _learn(self, number: int) -> Metrics:
        """Updates the learner; an update whose loss is not finite is left out."""

        def update() -> Metrics:
            # An update that is made again begins with the same randomness.
            return self._learner.update(number, self._rate, self._place.rng("update", number))

        try:
            metrics = self._healer.fitted(update, number)
        except NonFiniteLoss as e:
            shown = isinstance(e, BadInput)
            self._healer.went_wrong(
                str(e),
                step=number,
                at=number,
                rate=self._schedule.rate(self.counters),
                advice="look at what gives them" if shown else "lower its learning_rate",
                blameless=shown,
                evidence={"updates": number},
            )
            return {}
        self._healer.went_well()
        return metrics

    def _check(self) -> None:
        number, schedule = self.counters.updates, self._schedule
        with self._guard.spending("checks"):
            # Training scores are of explorers, and old: they often call for a check too soon.
            glance = not (schedule.spent(self.counters) or schedule.dreamed)
            self._selection.check(self._mean.learned, number, self._guard, glance=glance)
        self.counters = replace(self.counters, checked=number)

    def _tell(self, metrics: Metrics) -> None:
        schedule, counters = self._schedule, self.counters
        used, total = schedule.used(counters), schedule.total_steps
        told = Update(
            counters, metrics, used, total, self._since, self._selection, schedule.dreamed
        )
        for subscriber in self._subscribers:
            subscriber(told)

    def _keep(self) -> None:
        """Notes what is to be committed until there is something newer."""
        arrays = {**self._learner.state(), **self._collector.state(), **self._mean.state()}
        arrays |= self._selection.learned
        health = self._healer.health.meta()
        thrifty = {name: health.pop(name) for name in ("parts", "device")}
        meta = {
            "practice": {**self.counters.meta(), **health},
            "deployment": self._selection.meta(),
            "thrifty": thrifty,
        }
        self._good = (arrays, meta, self._learner.appended())

    def _load(self, commit: Commit) -> None:
        practice = commit.meta["practice"]
        self._healer.load(Health.of({**practice, **commit.meta.get("thrifty", {})}))
        self._learner.cut(commit.appended)
        self._learner.load_state(commit.part)
        self._collector.load_state(commit.part, commit.arrays["features"], self._place.record)
        self._mean.load_state(commit.arrays)
        self.counters = LoopCounters.of(practice)
        self._selection.load(commit.meta["deployment"], commit.arrays)
