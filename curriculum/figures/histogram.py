"""How scores are spread, on one line of text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curriculum.show.words import number

_BLOCKS, _PLAIN = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
BINS = 30


def histogram(scores: Sequence[float], *, bins: int = BINS, encoding: str = "utf-8") -> str:
    """Returns a histogram between the lowest and the highest score, each bin a character high.

    A bin that holds any score is never blank; the fullest one is full.

    Args:
        scores: finite ones, at least one.
        bins: characters between the two ends, fewer where scores are equal.
        encoding: of where it is shown; one that knows no block characters gets plain ones.
    """
    low, high = min(scores), max(scores)
    counts = [len(scores)] if low == high else np.histogram(scores, bins, (low, high))[0].tolist()
    characters = _BLOCKS if _knows(encoding) else _PLAIN
    full = len(characters) - 1
    drawn = "".join(characters[-(-count * full // max(counts))] for count in counts)
    return f"{number(low)} |{drawn}| {number(high)}"


def _knows(encoding: str) -> bool:
    try:
        _BLOCKS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
