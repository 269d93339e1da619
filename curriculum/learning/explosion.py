"""When the losses of a learner are no longer those of learning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_REMEMBERED = 8
_NEEDED = 3
_LAST = 3
_SPREADS = 10.0
_LEVELS = 3.0
_FAR = 10.0
_MAD_TO_STD = 1.4826


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
