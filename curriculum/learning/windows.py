"""How V and M learn: numbered updates over shuffled passes, in windows that can be done again.

The batch of update `n` depends on `n` and the run's seed alone, so a resumed stage sees the very
batches that the uninterrupted one would have seen. A window whose loss is NaN or explodes is
rolled back and done again at half the learning rate; one that does not fit into memory is done
again in smaller parts, and one that does not fit into a GPU's then on the CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np

from curriculum.errors import StageFailure
from curriculum.learning.healing import (
    MAX_IN_A_ROW,
    MAX_ROLLBACKS,
    RATE_FACTOR,
    Progress,
    Shortage,
    go_on_in_room,
    has_exploded,
    loss_limit,
    make_room,
)
from curriculum.records.resources import out_of_memory
from curriculum.stages.stage import StageContext
from models.interfaces import Descends, Metrics, NonFiniteLoss, OutOfDeviceMemory, State

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


class Learned(NamedTuple):
    """What learning ended with: mean metrics of the last window, facts, and meta to commit."""

    metrics: Metrics
    facts: dict[str, Any]
    meta: dict[str, Any]


def learn(
    ctx: StageContext, learner: Learner, updates: int, update: Callable[[int], Metrics]
) -> Learned:
    """Makes the updates that are still to be made, then calls `finish`.

    Args:
        ctx: of the stage; its newest commit is where learning goes on.
        learner: V or M.
        updates: how many there are in all.
        update: makes update `n` and returns its metrics.

    Raises:
        StageFailure: learning went wrong and would not be mended, or memory does not suffice.
    """
    course = _Course(ctx, learner, updates, update)
    try:
        course.run()
        finished = learner.finish()
    except MemoryError as e:
        raise out_of_memory(f"stage {ctx.stage} ran out of memory", e) from e
    progress = course.progress
    return Learned({**progress.metrics, **finished}, progress.facts(), progress.meta())


def mean_metrics(many: Sequence[Metrics]) -> Metrics:
    """Returns the mean of each metric over several updates."""
    names = many[-1].keys() if many else ()
    return {name: float(np.mean([m[name] for m in many if name in m])) for name in names}


class _Course:
    """Windows of updates, one after another, each kept or done again as a whole.

    Between windows nothing is half done, so only there is something to commit. A stop inside a
    window commits the state before it: the run that goes on passes the states that a run without
    a stop would have passed.
    """

    def __init__(
        self,
        ctx: StageContext,
        learner: Learner,
        updates: int,
        update: Callable[[int], Metrics],
    ) -> None:
        self._ctx, self._learner = ctx, learner
        self._updates, self._update = updates, update
        self._descends = learner if isinstance(learner, Descends) else None
        self.progress = self._resume()
        self._good = learner.state()
        self._first, self._began = self.progress.updates, time.monotonic()

    def run(self) -> None:
        """Makes all updates that are left."""
        while self.progress.updates < self._updates:
            self._ctx.barrier.reached(self._save)
            self._window()

    def _resume(self) -> Progress:
        commit = self._ctx.store.latest()
        rate = self._descends.learning_rate if self._descends else 0.0
        if commit is None:
            return Progress(learning_rate=rate)
        progress = Progress.from_meta(commit.meta)
        if self._descends is not None:
            go_on_in_room(self._descends, progress.parts, progress.device)
            self._descends.learning_rate = progress.learning_rate or rate
        self._learner.load_state(commit.arrays)
        return progress

    def _save(self) -> None:
        self._ctx.store.save(self._good, self.progress.meta())

    def _window(self) -> None:
        start = self.progress.updates
        end = min(start - start % METRICS_EVERY + METRICS_EVERY, self._updates)
        shortage = None
        try:
            self._make(start, end)
        except (OutOfDeviceMemory, MemoryError) as e:
            shortage = Shortage.of(e)
        # Outside the handler, because the exception keeps what was on the device alive.
        if shortage is not None:
            self._make_room(shortage)

    def _make(self, start: int, end: int) -> None:
        """Makes the updates of a window and keeps them, or rolls back."""
        made: list[Metrics] = []
        progress, barrier = self.progress, self._ctx.barrier
        for number in range(start, end):
            barrier.may_stop(self._save)
            try:
                made.append(barrier.breaking_off(partial(self._update, number), self._save))
                progress = replace(progress, refused_in_a_row=0)
            except NonFiniteLoss as e:
                if self._descends is not None:
                    return self._roll_back(number, str(e))
                progress = self._refuse(progress, number, e)
        losses = [m["loss"] for m in made if "loss" in m]
        if self._descends is not None and has_exploded(losses, progress):
            reason = f"mean loss {np.mean(losses):.6g} is above {loss_limit(progress):.6g}"
            return self._roll_back(end, reason)
        return self._keep(end, progress, mean_metrics(made))

    def _keep(self, end: int, progress: Progress, metrics: Metrics) -> None:
        remembered = progress.with_loss(metrics.get("loss"))
        self._good = self._learner.state()
        self.progress = replace(progress, updates=end, in_a_row=0, metrics=metrics, **remembered)
        if not metrics:
            return
        rate = (end - self._first) / max(time.monotonic() - self._began, 1e-9)
        loss = metrics.get("loss", float("nan"))
        self._ctx.say(end, self._updates, "updates", loss=loss, rate=rate)
        self._ctx.record("metrics", step=end, values=metrics)

    def _roll_back(self, at: int, reason: str) -> None:
        learner, before = self._descends, self.progress
        assert learner is not None
        if before.in_a_row >= MAX_IN_A_ROW or before.rollbacks >= MAX_ROLLBACKS:
            evidence = {**before.facts(), "at": at, "reason": reason, "losses": before.losses}
            raise StageFailure(
                f"learning went wrong again after {before.in_a_row} rollbacks in a row "
                f"({before.rollbacks} in all): {reason}; lower the learning rate, or look at the "
                f"data",
                evidence,
            )
        self._learner.load_state(self._good)
        learner.learning_rate *= RATE_FACTOR
        self.progress = replace(
            before,
            rollbacks=before.rollbacks + 1,
            in_a_row=before.in_a_row + 1,
            learning_rate=learner.learning_rate,
        )
        self._ctx.record(
            "rolled_back",
            step=before.updates,
            at=at,
            reason=reason,
            learning_rate=learner.learning_rate,
            in_a_row=self.progress.in_a_row,
            rollbacks=self.progress.rollbacks,
        )

    def _refuse(self, progress: Progress, number: int, error: NonFiniteLoss) -> Progress:
        in_a_row = progress.refused_in_a_row + 1
        self._ctx.record("update_refused", step=number + 1, reason=str(error), in_a_row=in_a_row)
        if in_a_row >= MAX_REFUSED:
            raise StageFailure(
                f"{in_a_row} updates in a row met a NaN or infinite loss: look at the data",
                {"step": number + 1},
            ) from error
        return replace(progress, refused=progress.refused + 1, refused_in_a_row=in_a_row)

    def _make_room(self, shortage: Shortage) -> None:
        """Does the window again in smaller parts, or, when these are small, on the CPU."""
        before = self.progress
        self._learner.load_state(self._good)
        event = make_room(self._learner, shortage, f"stage {self._ctx.stage}", before.facts())
        assert self._descends is not None
        parts = self._descends.parts
        device = "cpu" if event == "moved_to_cpu" else before.device
        self.progress = replace(before, parts=parts, device=device)
        self._ctx.record(event, step=before.updates, parts=parts, reason=shortage.reason)
