"""When learning has gone wrong, and what is remembered of mending it; all of it is committed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from curriculum.errors import StageFailure
from curriculum.records.resources import out_of_memory
from models.interfaces import (
    Descends,
    Float,
    Metrics,
    OutOfDeviceMemory,
    PolicyLearner,
    Rollout,
)

MAX_IN_A_ROW = 5
"""Rollbacks without a good window between them before the stage is given up."""

MAX_ROLLBACKS = 10
"""Rollbacks in all: the rate is a thousandth then, and nothing more would be learned."""

MAX_PARTS = 16
"""Parts that a batch is taken in at most before its learner leaves the GPU."""

RATE_FACTOR = 0.5
"""What the learning rate is multiplied by at a rollback."""

_REMEMBERED = 8
_NEEDED = 3
_LAST = 3
_SPREADS = 10.0
_LEVELS = 3.0
_FAR = 10.0
_MAD_TO_STD = 1.4826

_T = TypeVar("_T")


@dataclass(frozen=True)
class Progress:
    """Where learning stands at a boundary between two windows.

    Attributes:
        updates: made so far.
        refused: of these, refused for a NaN (learners without a learning rate).
        refused_in_a_row: refused since the last one that was not.
        rollbacks: made so far.
        in_a_row: rollbacks since the last good window.
        learning_rate: as it is now; 0 for learners that have none.
        parts: that each batch is taken in.
        device: that the learner had to move to, or "".
        first_loss: mean loss of the first window; None before it is over.
        losses: mean losses of the last good windows, oldest first.
        metrics: means of the last window.
    """

    updates: int = 0
    refused: int = 0
    refused_in_a_row: int = 0
    rollbacks: int = 0
    in_a_row: int = 0
    learning_rate: float = 0.0
    parts: int = 1
    device: str = ""
    first_loss: float | None = None
    losses: tuple[float, ...] = ()
    metrics: Metrics = field(default_factory=dict)

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> Progress:
        """Reads what `meta` gave, from a commit."""
        known = {f.name: meta[f.name] for f in fields(cls) if f.name in meta}
        return cls(**{**known, "losses": tuple(known.get("losses", ()))})

    def meta(self) -> dict[str, Any]:
        """Returns everything, as JSON-compatible facts for a commit."""
        return {**asdict(self), "losses": list(self.losses)}

    def facts(self) -> dict[str, Any]:
        """Returns what a reader of a result wants to know."""
        names = ("updates", "refused", "rollbacks", "learning_rate", "parts", "device")
        return {name: getattr(self, name) for name in names}

    def with_loss(self, loss: float | None) -> dict[str, Any]:
        """Returns the fields that remember one more good window's mean loss."""
        if loss is None:
            return {}
        first = loss if self.first_loss is None else self.first_loss
        return {"first_loss": first, "losses": (*self.losses, loss)[-_REMEMBERED:]}


def loss_limit(progress: Progress) -> float:
    """Returns the mean loss above which a window has exploded, infinity while little is known.

    It lies above the median of the last good windows by ten robust standard deviations (1.4826
    times the median absolute deviation, Hampel 1974) and by three times the larger of that median
    and of the first window's loss, whose learner knew nothing. The second part keeps normal
    learning away from it: a loss that grows in proportion to the updates, as a term under a linear
    warm-up can at most, never exceeds 2.5 times the median of its past.
    """
    if len(progress.losses) < _NEEDED or progress.first_loss is None:
        return float("inf")
    past = np.asarray(progress.losses)
    median = float(np.median(past))
    spread = _MAD_TO_STD * float(np.median(np.abs(past - median)))
    level = max(abs(median), abs(progress.first_loss))
    return median + max(_SPREADS * spread, _LEVELS * level)


def has_exploded(losses: Sequence[float], progress: Progress) -> bool:
    """Decides whether a window's losses, one per update, are no longer those of learning.

    Its mean has to be beyond `loss_limit`, and with it the last three losses: one batch with a
    rare reward can carry a mean up, but what has exploded stays up. Ten times as far beyond, the
    mean alone decides: a network that came back from there has lost what it knew.
    """
    limit = loss_limit(progress)
    if not losses or limit == float("inf"):
        return False
    mean, median = float(np.mean(losses)), float(np.median(progress.losses))
    stays_up = min(losses[-_LAST:]) > limit
    return mean > limit and (stays_up or mean > median + _FAR * (limit - median))


class Shortage(NamedTuple):
    """What was said where memory did not suffice, and whether it was the GPU's or the host's.

    It holds no exception: that would keep what was on the device alive.
    """

    reason: str
    on_device: bool

    @classmethod
    def of(cls, error: OutOfDeviceMemory | MemoryError) -> Shortage:
        """Returns what is to be remembered of an error."""
        return cls(str(error), isinstance(error, OutOfDeviceMemory))


def make_room(learner: object, shortage: Shortage, what: str, evidence: dict[str, Any]) -> str:
    """Has a learner take its batches in smaller parts, or leave the GPU once these are small.

    Args:
        learner: it has to be in a good state.
        shortage: what did not suffice.
        what: was to be done, for the error's sentence.
        evidence: for the error.

    Returns:
        The event to record: `batch_halved` or `moved_to_cpu`.

    Raises:
        StageFailure: nothing smaller is left; the host's memory has no second place either.
    """
    if isinstance(learner, Descends) and learner.parts < MAX_PARTS:
        learner.parts *= 2
        return "batch_halved"
    if not shortage.on_device:
        raise out_of_memory(f"{what} ran out of memory", MemoryError(shortage.reason))
    if not isinstance(learner, Descends) or learner.device == "cpu":
        raise StageFailure(f"no part of a batch is small enough: {shortage.reason}", evidence)
    learner.move_to("cpu")
    learner.parts = 1
    return "moved_to_cpu"


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
        shortage = Shortage.of(e)
    # Outside the handler, because the exception keeps what was on the device alive.
    if not isinstance(reader, Descends) or reader.device == "cpu":
        raise StageFailure(f"the device's memory does not suffice: {shortage.reason}")
    reader.move_to("cpu")
    record("moved_to_cpu", reason=shortage.reason)
    return act(), "cpu"


class Thrifty:
    """Makes a policy learner's updates in smaller parts, or on the CPU, until they fit into memory.

    An update is all or nothing, and begins with the same randomness each time: the one that is
    made in the end is the one that was asked for.

    Args:
        learner: learns C.
        record: is told `batch_halved` and `moved_to_cpu`, with their facts.
    """

    def __init__(self, learner: PolicyLearner, record: Callable[..., object]) -> None:
        self._learner, self._record = learner, record
        self._parts, self._device = 1, ""

    def get_parameters(self) -> Float:
        """Returns the learner's, `[P]`."""
        return self._learner.get_parameters()

    def update(self, rollouts: Sequence[Rollout], rng: np.random.Generator) -> Metrics:
        """Does what `PolicyLearner.update` does; raises StageFailure if nothing makes it fit."""
        begun = rng.bit_generator.state

        def act() -> Metrics:
            rng.bit_generator.state = begun
            return self._learner.update(rollouts, rng)

        return self._fitted(act)

    def log_probs(self, rollout: Rollout) -> Float:
        """Does what `PolicyLearner.log_probs` does; raises StageFailure like `update`."""
        return self._fitted(partial(self._learner.log_probs, rollout))

    def meta(self) -> dict[str, Any]:
        """Returns where it computes and in how many parts, as facts for a commit."""
        return {"parts": self._parts, "device": self._device}

    def load(self, meta: Mapping[str, Any]) -> None:
        """Goes on from what `meta` gave; commits of earlier versions hold nothing."""
        self._parts, self._device = meta.get("parts", 1), meta.get("device", "")
        go_on_in_room(self._learner, self._parts, self._device)

    def _fitted(self, act: Callable[[], _T]) -> _T:
        while True:
            try:
                return act()
            except (OutOfDeviceMemory, MemoryError) as e:
                shortage = Shortage.of(e)
            # Outside the handler, because the exception keeps what was on the device alive.
            event = make_room(self._learner, shortage, "learning C", self.meta())
            assert isinstance(self._learner, Descends)
            self._parts = self._learner.parts
            self._device = "cpu" if event == "moved_to_cpu" else self._device
            self._record(event, part="C", parts=self._parts, reason=shortage.reason)
