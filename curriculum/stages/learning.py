"""How V and M learn: numbered updates over shuffled passes, committed at barriers, healed from NaN.

The batch of update `n` depends on `n` and the run's seed alone, so a resumed stage sees the very
batches that the uninterrupted one would have seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from curriculum.errors import StageFailure
from curriculum.stages.stage import StageContext
from models.interfaces import Metrics, NonFiniteLoss, State

MAX_REFUSED = 10
"""Updates that may be refused for a NaN in a row before the stage is given up."""

METRICS_EVERY = 25
"""Updates between two entries in the ledger."""


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


def learn(
    ctx: StageContext, learner: Learner, updates: int, update: Callable[[int], Metrics]
) -> tuple[Metrics, dict[str, Any]]:
    """Runs the updates that are still to be made, then `finish`.

    Args:
        ctx: of the stage; its newest commit is where learning goes on.
        learner: V or M.
        updates: how many there are in all.
        update: makes update `n` and returns its metrics.

    Returns:
        The mean metrics of the last updates, and facts for the commit.

    Raises:
        StageFailure: too many updates in a row were refused for a NaN.
    """
    start, refused = _continue(ctx, learner)
    recent: list[Metrics] = []
    in_a_row = 0

    def save() -> None:
        ctx.store.save(learner.state(), {"updates": number, "refused": refused})

    number = start
    began = time.monotonic()
    for number in range(start, updates):
        ctx.barrier.reached(save)
        try:
            recent.append(update(number))
            in_a_row = 0
        except NonFiniteLoss as e:
            refused, in_a_row = refused + 1, in_a_row + 1
            ctx.record("update_refused", step=number, reason=str(e), in_a_row=in_a_row)
            if in_a_row >= MAX_REFUSED:
                raise StageFailure(
                    f"{in_a_row} updates in a row met a NaN or infinite loss: lower "
                    f"the learning rate, or look at the data",
                    {"step": number},
                ) from e
        recent = recent[-METRICS_EVERY:]
        _tell(ctx, number + 1, updates, recent, began, start)
    number = updates
    finished = learner.finish()
    metrics = {**mean_metrics(recent), **finished}
    return metrics, {"updates": updates, "refused": refused}


def mean_metrics(many: list[Metrics]) -> Metrics:
    """Returns the mean of each metric over several updates."""
    names = many[-1].keys() if many else ()
    return {name: float(np.mean([m[name] for m in many if name in m])) for name in names}


def _continue(ctx: StageContext, learner: Learner) -> tuple[int, int]:
    commit = ctx.store.latest(lambda text: ctx.record("commit_rejected", reason=text))
    if commit is None:
        return 0, 0
    learner.load_state(commit.arrays)
    return int(commit.meta["updates"]), int(commit.meta["refused"])


def _tell(
    ctx: StageContext, done: int, total: int, recent: list[Metrics], began: float, start: int
) -> None:
    if not recent or (done % METRICS_EVERY and done != total):
        return
    values = mean_metrics(recent)
    rate = (done - start) / max(time.monotonic() - began, 1e-9)
    ctx.say(done, total, "updates", loss=values.get("loss", float("nan")), rate=rate)
    ctx.record("metrics", step=done, values=values)
