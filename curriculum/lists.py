"""Lists on a command line: names, and seeds with ranges of them."""

from __future__ import annotations

import argparse
import re

MOST_SEEDS = 1000


def seeds(text: str) -> tuple[int, ...]:
    """Reads `0-4`, `0,2,5` or `0-2,7` as different whole numbers, a thousand at most."""
    found: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
        if match is None:
            raise argparse.ArgumentTypeError(f"{text!r} is no seeds: write 0-4, 0,2,5 or 0-2,7")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 <= last - first < MOST_SEEDS:
            raise argparse.ArgumentTypeError(
                f"{part.strip()!r} is no range: its smaller number comes first, and it holds "
                f"{MOST_SEEDS:,} seeds at most"
            )
        found |= dict.fromkeys(range(first, last + 1))
    return tuple(found)


def names(text: str) -> list[str]:
    """Reads a comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]
