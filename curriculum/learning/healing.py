"""When learning goes wrong, and how V, M and what learns C are mended.

By a smaller rate, smaller parts, or on another device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from curriculum.errors import StageFailure
from curriculum.resources import out_of_memory
from models.interfaces import Descends, OutOfDeviceMemory

MAX_IN_A_ROW = 5
"""Times in a row that learning may go wrong before it is given up."""

MAX_ROLLBACKS = 10
"""Times in all: the rate is a thousandth then, and nothing more would be learned."""

MAX_PARTS = 16
"""Parts that a batch is taken in at most before its learner leaves the GPU."""

RATE_FACTOR = 0.5
"""What the learning rate is multiplied by each time."""

_REMEMBERED = 8
_NEEDED = 3
_LAST = 3
_SPREADS = 10.0
_LEVELS = 3.0
_FAR = 10.0
_MAD_TO_STD = 1.4826

_T = TypeVar("_T")


@dataclass(frozen=True)
class Health:
    """What healing has left of a learner; committed.

    Attributes:
        rate_factor: of its learning rate.
        rollbacks, in_a_row: how often learning went wrong, in all and since it last went well.
        parts: that each batch is taken in.
        device: that the learner had to move to, or "".
    """

    rate_factor: float = 1.0
    rollbacks: int = 0
    in_a_row: int = 0
    parts: int = 1
    device: str = ""

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> Health:
        """Reads what `meta` gave, among other facts of a commit."""
        return cls(**{f.name: meta[f.name] for f in fields(cls) if f.name in meta})

    def meta(self) -> dict[str, Any]:
        """Returns everything, as JSON-compatible facts for a commit."""
        return asdict(self)


class Healer:
    """Mends one learner.

    Args:
        learner: V, M, or what learns C; only one that `Descends` has a rate, parts and a device.
        record: appends an event to the ledger.
        what: is learned, for the sentences of errors.
        part: of the agent, for events; "" where the stage says it.
    """

    def __init__(
        self, learner: object, record: Callable[..., object], what: str, part: str = ""
    ) -> None:
        self._learner = learner
        self._record, self._what = record, what
        self._facts = {"part": part} if part else {}
        self.health = Health()

    def load(self, health: Health) -> None:
        """Has the learner take batches and compute as it did when it was committed."""
        self.health = health
        go_on_in_room(self._learner, health.parts, health.device)

    def went_well(self) -> None:
        """Notes that what was learned last is kept."""
        self.health = replace(self.health, in_a_row=0)

    def went_wrong(
        self,
        reason: str,
        *,
        step: int,
        at: int,
        rate: float,
        advice: str,
        blameless: bool = False,
        evidence: Mapping[str, Any] | None = None,
    ) -> None:
        """Notes that what was learned last is taken back, and halves the rate.

        Args:
            reason: what went wrong.
            step: that is gone back to.
            at: where it went wrong.
            rate: the learning rate that `rate_factor` is of.
            advice: what to do where this is too often.
            blameless: the learner itself is not to blame; its rate stays.
            evidence: for the failure.

        Raises:
            StageFailure: it was too often.
        """
        before = self.health
        if before.in_a_row >= MAX_IN_A_ROW or before.rollbacks >= MAX_ROLLBACKS:
            raise StageFailure(
                f"{self._what} went wrong {before.rollbacks + 1} times, {before.in_a_row + 1} of "
                f"them in a row: {reason}; {advice}",
                {**(evidence or {}), "at": at, "reason": reason},
            )
        self.health = replace(
            before,
            rate_factor=before.rate_factor * (1.0 if blameless else RATE_FACTOR),
            rollbacks=before.rollbacks + 1,
            in_a_row=before.in_a_row + 1,
        )
        self._record(
            "rolled_back",
            **self._facts,
            step=step,
            at=at,
            reason=reason,
            learning_rate=rate * self.health.rate_factor,
            in_a_row=self.health.in_a_row,
            rollbacks=self.health.rollbacks,
        )

    def fitted(
        self, act: Callable[[], _T], step: int, restore: Callable[[], None] = lambda: None
    ) -> _T:
        """Does what may not fit into memory, in smaller parts or on the CPU until it does.

        Args:
            act: may be called again and has to give the same then.
            step: for events.
            restore: brings the learner back to a good state before it is called again.

        Raises:
            StageFailure: nothing makes it fit.
        """
        while True:
            try:
                return act()
            except (OutOfDeviceMemory, MemoryError) as e:
                shortage = MemoryShortage.of(e)
            # Outside the handler, because the exception keeps what was on the device alive.
            restore()
            self._make_room(shortage, step)

    def _make_room(self, shortage: MemoryShortage, step: int) -> None:
        """Has the learner take smaller parts, or leave the GPU once these are small."""
        learner, device = self._learner, self.health.device
        if isinstance(learner, Descends) and learner.parts < MAX_PARTS:
            event = "batch_halved"
            learner.parts *= 2
        elif not shortage.on_device:
            # The host's memory has no second place.
            error = MemoryError(shortage.reason)
            raise out_of_memory(f"{self._what} ran out of memory", error)
        elif not isinstance(learner, Descends) or learner.device == "cpu":
            raise StageFailure(
                f"no part of a batch is small enough: {shortage.reason}", self.health.meta()
            )
        else:
            event, device = "moved_to_cpu", "cpu"
            learner.move_to(device)
            learner.parts = 1
        self.health = replace(self.health, parts=learner.parts, device=device)
        facts = {**self._facts, "step": step, "parts": learner.parts, "reason": shortage.reason}
        self._record(event, **facts)


class MemoryShortage(NamedTuple):
    """What was said where memory did not suffice, and whether it was the GPU's or the host's.

    It holds no exception: that would keep what was on the device alive.
    """

    reason: str
    on_device: bool

    @classmethod
    def of(cls, error: OutOfDeviceMemory | MemoryError) -> MemoryShortage:
        """Returns what is to be remembered of an error."""
        return cls(str(error), isinstance(error, OutOfDeviceMemory))


def go_on_in_room(learner: object, parts: int, device: str) -> None:
    """Has a learner take batches and compute as it did when it was committed.

    Args:
        learner: newly built.
        parts: that it takes each batch in.
        device: that it had to move to, or "".
    """
    if isinstance(learner, Descends):
        if device and learner.device != device:
            learner.move_to(device)
        learner.parts = parts


def read_in_room(
    reader: object, act: Callable[[], _T], record: Callable[..., object]
) -> tuple[_T, str]:
    """Reads with V or M, on the CPU from where the GPU's memory does not suffice.

    Args:
        reader: V or M.
        act: reads; may be called twice.
        record: is told `moved_to_cpu`, with its facts.

    Returns:
        What `act` gave, and the device to commit: where `reader` had to move to, or "".
    """
    try:
        return act(), ""
    except OutOfDeviceMemory as e:
        shortage = MemoryShortage.of(e)
    # Outside the handler, because the exception keeps what was on the device alive.
    if not isinstance(reader, Descends) or reader.device == "cpu":
        raise StageFailure(f"the device's memory does not suffice: {shortage.reason}")
    reader.move_to("cpu")
    record("moved_to_cpu", reason=shortage.reason)
    return act(), "cpu"


@dataclass(frozen=True)
class LossHistory:
    """The mean losses of the windows before.

    Attributes:
        first: of the first window, whose learner knew nothing; None before it is over.
        last: of the last good windows, oldest first.
    """

    first: float | None = None
    last: tuple[float, ...] = ()

    def followed_by(self, loss: float | None) -> LossHistory:
        """Returns the history with one more good window; None has no loss."""
        if loss is None:
            return self
        first = loss if self.first is None else self.first
        return LossHistory(first, (*self.last, loss)[-_REMEMBERED:])

    def limit(self) -> float:
        """Returns the mean loss above which a window has exploded, infinity if little is known.

        It lies above the median of the last good windows by ten robust standard deviations (1.4826
        times the median absolute deviation, Hampel 1974) and by three times the larger of that
        median and of the first window's loss. The second part keeps normal learning away from it:
        a loss that grows in proportion to the updates, as a term under a linear warm-up can at
        most, never exceeds 2.5 times the median of its past.
        """
        if len(self.last) < _NEEDED or self.first is None:
            return float("inf")
        past = np.asarray(self.last)
        median = float(np.median(past))
        spread = _MAD_TO_STD * float(np.median(np.abs(past - median)))
        level = max(abs(median), abs(self.first))
        return median + max(_SPREADS * spread, _LEVELS * level)

    def exploded(self, losses: Sequence[float]) -> bool:
        """Decides whether a window's losses, one per update, are no longer those of learning.

        Its mean has to be beyond `limit`, and with it the last three losses: one batch with a rare
        reward can carry a mean up, but what has exploded stays up. Ten times as far beyond, the
        mean alone decides: a network that came back from there has lost what it knew.
        """
        limit = self.limit()
        if not losses or limit == float("inf"):
            return False
        mean, median = float(np.mean(losses)), float(np.median(self.last))
        stays_up = min(losses[-_LAST:]) > limit
        return mean > limit and (stays_up or mean > median + _FAR * (limit - median))
