"""When learning has gone wrong, and what is remembered of mending it; all of it is committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from models.interfaces import Metrics

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
