"""How long a test waits: until a thing has happened; only what hangs is given up.

On a busy machine a command of two seconds takes a minute. What measures time is therefore no test
but `python -m diagnostics imports` and `bench`, which CI runs with `--check`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

HANG_S = 3000.0
"""A command that has not ended after so long will not end."""

_EVENTUALLY_S = 600.0


def eventually(condition: Callable[[], bool]) -> bool:
    """Waits for a condition to come true; tells whether it did, in the end."""
    end = time.monotonic() + _EVENTUALLY_S
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()
