"""How numbers, times and foreign text are written wherever a run is shown."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from curriculum.mode import LADDER

NOTHING = "–"
"""What stands where there is no number."""

_TOO_LARGE = 2**63
"""No count comes near, and larger whole numbers do not fit into a float."""

_BLOCKS = "▁▂▃▄▅▆▇█"
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")


def plain(value: Any, limit: int = 2000) -> str:
    """Returns text on one line without control characters, so that it cannot move the cursor.

    Args:
        value: anything; None is empty.
        limit: characters after which it is cut.
    """
    text = "" if value is None else str(value)
    text = _INVISIBLE.sub(" ", text).encode(errors="replace").decode()
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def finite(value: Any) -> float | None:
    """Returns a number as a float; None for what is none, or is not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and abs(value) >= _TOO_LARGE:
        return None
    return float(value) if math.isfinite(value) else None


def number(value: Any, digits: int = 1) -> str:
    """Writes a score: `18.3`, `-20.7`, or a dash where there is none."""
    known = finite(value)
    if known is None:
        return NOTHING if value is None else plain(value, 20)
    return f"{known:.{digits}f}"


def short(value: Any) -> str:
    """Writes a number of unknown size with about three digits: `0.0123`, `1.25e-05`, `48210`."""
    known = finite(value)
    if known is None:
        return NOTHING if value is None else plain(value, 20)
    if known == int(known) and abs(known) < 1e9:
        return str(int(known))
    return f"{known:.3g}" if abs(known) < 1000 else f"{known:.0f}"


def count(value: Any) -> str:
    """Writes a whole number with thousands separated: `1,200,000`."""
    known = finite(value)
    return NOTHING if known is None else f"{int(known):,}"


def amount(value: Any) -> str:
    """Writes a whole number in few characters: `812`, `51.2k`, `1.20M`."""
    known = finite(value)
    if known is None:
        return NOTHING
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(known) >= size:
            return f"{known / size:.{2 if size > 1e3 else 1}f}{suffix}"
    return str(int(known))


def interval(value: Any) -> str:
    """Writes an interval: `[17.9, 18.6]`, or a dash where there is none."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return NOTHING
    return f"[{number(value[0])}, {number(value[1])}]"


def duration(seconds: Any) -> str:
    """Writes a time: `4.2s`, `3m07s`, `2h05m`, `3d04h`."""
    known = finite(seconds)
    if known is None:
        return NOTHING
    known = max(known, 0.0)
    if known < 9.95:
        return f"{known:.1f}s"
    whole = round(known)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def speed(per_second: float | None) -> str:
    """Writes a rate: `3.2/s`, or per minute where less than one comes in ten seconds."""
    if per_second is None:
        return ""
    return f"{short(per_second)}/s" if per_second >= 0.1 else f"{short(per_second * 60)}/min"


def sparkline(values: Sequence[float], width: int) -> str:
    """Draws numbers as a line of blocks, each column the mean of those that fall to it."""
    if not values or width < 1:
        return ""
    columns = min(width, len(values))
    ends = [len(values) * column // columns for column in range(columns + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(ends)]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    return "".join(_BLOCKS[round((mean - low) / span * (len(_BLOCKS) - 1))] for mean in means)


def facts(values: Mapping[str, Any], separator: str = " · ") -> str:
    """Writes named numbers: `loss 0.12 · sigma 0.4`."""
    return separator.join(f"{plain(k, 40).replace('_', ' ')} {short(v)}" for k, v in values.items())


def tried(verdict: Mapping[str, Any]) -> str:
    """Says which attempt a verdict is by, where there were several: `attempt 2 of 3`."""
    made = verdict.get("attempts") or ()
    return f"attempt {short(verdict.get('attempt'))} of {len(made)}" if len(made) > 1 else ""


def outcome(verdict: Any, mode: Any) -> str:
    """Writes a verdict; below the best mode it carries the mode: no pass looks like another."""
    text = plain(verdict).replace("_", " ")
    if text in ("", "not run") or mode == str(LADDER[0]):
        return text
    return f"{text} ({plain(mode) or 'no mode'})"
