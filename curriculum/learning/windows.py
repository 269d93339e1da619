"""How V and M learn: numbered updates over shuffled passes, in windows that can be done again.

The batch of update `n` depends on `n` and the run's seed alone, so a resumed stage sees the very
batches that the uninterrupted one would have seen. A window whose loss is NaN or explodes is
rolled back and done again at half the learning rate; one that does not fit into memory is done
again in smaller parts, and one that does not fit into a GPU's then on the CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from curriculum.errors import StageFailure
from curriculum.learning.healing import Healer, Health, LossHistory
from curriculum.place import Place
from curriculum.resources import out_of_memory
from models.interfaces import Descends, Metrics, NonFiniteLoss, State

MAX_REFUSED = 10
"""Updates that a learner without a learning rate may refuse in a row before it is given up."""

METRICS_EVERY = 25
"""Updates of a window: between two boundaries, and between two entries in the ledger."""


class Learner(Protocol):
    """The part of V and M that learning in steps needs."""

    single_pass: bool

    def finish(self) -> Metrics: ...

    def state(self) -> State: ...

    def load_state(self, state: Mapping[str, np.ndarray]) -> None: ...


class Shuffle:
    """Numbered batches out of shuffled passes over `count` items.

    Args:
        count: items.
        batch_size: items per batch; the last batch of a pass is smaller.
        stream: gives the generator of a pass by its number.
    """

    def __init__(
        self, count: int, batch_size: int, stream: Callable[[int], np.random.Generator]
    ) -> None:
        self._count = count
        self._batch_size = batch_size
        self._stream = stream
        self._pass = -1
        self._order = np.zeros(0, np.int64)
        self.batches_per_pass = -(-count // batch_size)

    def batch(self, number: int) -> np.ndarray:
        """Returns the items of a batch, `[B]` int64."""
        which, place = divmod(number, self.batches_per_pass)
        if which != self._pass:
            self._order = self._stream(which).permutation(self._count)
            self._pass = which
        start = place * self._batch_size
        return self._order[start : start + self._batch_size]


def planned_updates(shuffle: Shuffle, epochs: int, max_steps: int, single_pass: bool) -> int:
    """Returns how many updates a stage makes; closed-form learners see all data exactly once."""
    if single_pass:
        return shuffle.batches_per_pass
    planned = shuffle.batches_per_pass * epochs
    return min(planned, max_steps) if max_steps else planned


@dataclass(frozen=True)
class WindowCounters:
    """Where learning stands at a boundary between two windows.

    Attributes:
        updates: made so far.
        refused: of these, refused for a NaN (learners without a learning rate).
        refused_in_a_row: refused since the last one that was not.
        losses: of the windows before.
        metrics: means of the last window.
    """

    updates: int = 0
    refused: int = 0
    refused_in_a_row: int = 0
    losses: LossHistory = field(default_factory=LossHistory)
    metrics: Metrics = field(default_factory=dict)

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> WindowCounters:
        """Reads what `meta_of` gave, from a commit."""
        counts = {name: meta.get(name, 0) for name in ("updates", "refused", "refused_in_a_row")}
        losses = LossHistory(meta.get("first_loss"), tuple(meta.get("losses", ())))
        return cls(**counts, losses=losses, metrics=dict(meta.get("metrics", {})))


def meta_of(
    counters: WindowCounters, health: Health | None = None, learning_rate: float = 0.0
) -> dict[str, Any]:
    """Returns where learning stands, as JSON-compatible facts for a commit.

    Args:
        counters: of its windows.
        health: of its learner; that of one which nothing has happened to if None.
        learning_rate: as it is now; 0 for learners that have none.
    """
    healed = (health or Health()).meta()
    del healed["rate_factor"]
    return {
        **healed,
        "updates": counters.updates,
        "refused": counters.refused,
        "refused_in_a_row": counters.refused_in_a_row,
        "first_loss": counters.losses.first,
        "losses": list(counters.losses.last),
        "learning_rate": learning_rate,
        "metrics": dict(counters.metrics),
    }


class Learned(NamedTuple):
    """What learning ended with: mean metrics of the last window, facts, and meta to commit."""

    metrics: Metrics
    facts: dict[str, Any]
    meta: dict[str, Any]


def learn(
    place: Place, learner: Learner, updates: int, update: Callable[[int], Metrics]
) -> Learned:
    """Makes the updates that are still to be made, then calls `finish`.

    Args:
        place: of the stage; its newest commit is where learning goes on.
        learner: V or M.
        updates: how many there are in all.
        update: makes update `n` and returns its metrics.

    Raises:
        StageFailure: learning went wrong and would not be mended, or memory does not suffice.
    """
    windows = _Windows(place, learner, updates, update)
    try:
        windows.run()
        finished = learner.finish()
    except MemoryError as e:
        raise out_of_memory(f"stage {place.stage} ran out of memory", e) from e
    return Learned({**windows.counters.metrics, **finished}, windows.facts(), windows.meta())


def mean_metrics(many: Sequence[Metrics]) -> Metrics:
    """Returns the mean of each metric over several updates."""
    names = many[-1].keys() if many else ()
    return {name: float(np.mean([m[name] for m in many if name in m])) for name in names}


class _Windows:
    """Windows of updates, one after another, each kept or done again as a whole.

    Between windows nothing is half done, so only there is something to commit. A stop inside a
    window commits the state before it: the run that goes on passes the states that a run without
    a stop would have passed.
    """

    def __init__(
        self,
        place: Place,
        learner: Learner,
        updates: int,
        update: Callable[[int], Metrics],
    ) -> None:
        self._place, self._learner = place, learner
        self._updates, self._update = updates, update
        self._descends = learner if isinstance(learner, Descends) else None
        self._rate = self._descends.learning_rate if self._descends else 0.0
        self._healer = Healer(learner, place.record, f"stage {place.stage}")
        self.counters = WindowCounters()
        self._resume()
        self._good = learner.state()
        self._first, self._began = self.counters.updates, time.monotonic()

    def run(self) -> None:
        """Makes all updates that are left."""
        while self.counters.updates < self._updates:
            self._place.barrier.reached(self._save)
            self._window()

    def meta(self) -> dict[str, Any]:
        """Returns what to commit besides the learner's state."""
        health = self._healer.health
        return meta_of(self.counters, health, self._rate * health.rate_factor)

    def facts(self) -> dict[str, Any]:
        """Returns what a reader of a result wants to know."""
        meta = self.meta()
        names = ("updates", "refused", "rollbacks", "learning_rate", "parts", "device")
        return {name: meta[name] for name in names}

    def _resume(self) -> None:
        commit = self._place.store.latest()
        if commit is None:
            return
        self.counters = WindowCounters.of(commit.meta)
        health = Health.of(commit.meta)
        if self._descends is not None and commit.meta.get("learning_rate"):
            # Halves of a rate, so the quotient is exact.
            factor = commit.meta["learning_rate"] / self._rate
            health = replace(health, rate_factor=factor)
            self._descends.learning_rate = commit.meta["learning_rate"]
        self._healer.load(health)
        self._learner.load_state(commit.arrays)

    def _save(self) -> None:
        self._place.store.save(self._good, self.meta())

    def _window(self) -> None:
        start = self.counters.updates
        end = min(start - start % METRICS_EVERY + METRICS_EVERY, self._updates)
        self._healer.fitted(partial(self._make, start, end), start, self._restore)

    def _restore(self) -> None:
        self._learner.load_state(self._good)

    def _make(self, start: int, end: int) -> None:
        """Makes the updates of a window and keeps them, or rolls back."""
        made: list[Metrics] = []
        counters, barrier = self.counters, self._place.barrier
        for number in range(start, end):
            barrier.may_stop(self._save)
            try:
                made.append(barrier.breaking_off(partial(self._update, number), self._save))
                counters = replace(counters, refused_in_a_row=0)
            except NonFiniteLoss as e:
                if self._descends is not None:
                    return self._roll_back(self._descends, number, str(e))
                counters = self._refuse(counters, number, e)
        losses = [m["loss"] for m in made if "loss" in m]
        if self._descends is not None and counters.losses.exploded(losses):
            limit = counters.losses.limit()
            reason = f"mean loss {np.mean(losses):.6g} is above {limit:.6g}"
            return self._roll_back(self._descends, end, reason)
        return self._keep(end, counters, mean_metrics(made))

    def _keep(self, end: int, counters: WindowCounters, metrics: Metrics) -> None:
        losses = counters.losses.followed_by(metrics.get("loss"))
        self._good = self._learner.state()
        self._healer.went_well()
        self.counters = replace(counters, updates=end, metrics=metrics, losses=losses)
        if not metrics:
            return
        rate = (end - self._first) / max(time.monotonic() - self._began, 1e-9)
        loss = metrics.get("loss", float("nan"))
        self._place.say(end, self._updates, "updates", loss=loss, rate=rate)
        self._place.record("metrics", step=end, values=metrics)

    def _roll_back(self, learner: Descends, at: int, reason: str) -> None:
        self._healer.went_wrong(
            reason,
            step=self.counters.updates,
            at=at,
            rate=self._rate,
            advice="lower the learning rate, or look at the data",
            evidence={**self.facts(), "losses": self.counters.losses.last},
        )
        self._restore()
        learner.learning_rate = self._rate * self._healer.health.rate_factor

    def _refuse(
        self, counters: WindowCounters, number: int, error: NonFiniteLoss
    ) -> WindowCounters:
        in_a_row = counters.refused_in_a_row + 1
        reason = str(error)
        self._place.record("update_refused", step=number + 1, reason=reason, in_a_row=in_a_row)
        if in_a_row >= MAX_REFUSED:
            raise StageFailure(
                f"{in_a_row} updates in a row met a NaN or infinite loss: look at the data",
                {"step": number + 1},
            ) from error
        return replace(counters, refused=counters.refused + 1, refused_in_a_row=in_a_row)
