"""What a run does at this moment, for whoever looks on from another process; it is not kept."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from curriculum.progress import Progress
from curriculum.records.facts import WrongFact, entry

NAME = "now.json"
EVERY_S = 0.5
"""How often it is told at most."""
MOST_BYTES = 8192
STALE_S = 30.0
"""Age after which it says nothing about the present any more."""


class Present:
    """Tells progress by a small file that is replaced; a disk that refuses is no matter.

    Args:
        directory: of the run.
        clock: seconds that only grow.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = directory / NAME
        self._new = directory / f".{NAME}.tmp-{os.getpid()}"
        self._clock, self._told = clock, -EVERY_S

    def on_progress(self, progress: Progress) -> None:
        """Tells it, unless it was told just now."""
        now = self._clock()
        if now - self._told < EVERY_S:
            return
        self._told = now
        with contextlib.suppress(OSError, ValueError):
            self._new.write_text(json.dumps(asdict(progress)), encoding="utf-8")
            self._new.replace(self._path)

    def close(self) -> None:
        """Takes it away."""
        for path in (self._path, self._new):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def present_in(directory: Path) -> Progress | None:
    """Returns what a run told last of its present; None if that was long ago, or is none."""
    path = directory / NAME
    try:
        if path.is_symlink() or time.time() - path.stat().st_mtime > STALE_S:
            return None
        with path.open("rb") as file:
            told = json.loads(file.read(MOST_BYTES))
        return entry(Progress, told)
    except (OSError, ValueError, WrongFact, TypeError, RecursionError):
        return None
