"""How the learning rate falls while C practises: linearly, and again where that was not enough."""

from __future__ import annotations

RESTARTED = 0.5
"""Share of the learning rate that each fall but the first begins with."""


def falls(steps: int, length: int) -> tuple[int, float]:
    """Returns how often the rate has fallen, and how far it is on its way down since, 0 to 1.

    Args:
        steps: so far.
        length: steps of the first fall; each later one takes half as many.
    """
    if steps < length:
        return 0, steps / length
    later, since = divmod((steps - length) / (length / 2.0), 1.0)
    return 1 + int(later), since


def rate_share(steps: int, length: int, final: float) -> float:
    """Returns the share of the learning rate that is left after so many steps.

    It falls linearly from 1 to `final`, then again and again from `RESTARTED` (warm restarts,
    Loshchilov & Hutter 2017, with linear falls). A check after a fall sees C at its best: what it
    has learned at a high rate shows once the rate is low.

    Args:
        steps: so far.
        length: steps of the first fall.
        final: what a fall ends with.
    """
    fallen, since = falls(steps, length)
    first = max(RESTARTED, final) if fallen else 1.0
    return first + (final - first) * since
