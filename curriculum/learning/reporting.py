"""What a loop tells: a line of progress, and its metrics for the ledger."""

from __future__ import annotations

import time

import numpy as np

from curriculum.learning.loop import Update
from curriculum.place import Place


class LoopReporter:
    """Tells each update of a loop (`curriculum.learning.loop.LoopSubscriber`).

    Args:
        place: of the loop.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._began = time.monotonic()

    def __call__(self, update: Update) -> None:
        """Reports progress and records metrics."""
        counters, selection = update.counters, update.selection
        score = {}
        if counters.recent:
            score["dream_score" if update.dreamed else "score"] = counters.score
        seconds = max(time.monotonic() - self._began, 1e-9)
        facts = {"rate": (update.used - update.since) / seconds, **score}
        if np.isfinite(selection.best_check):
            facts["check"] = selection.best_check
        self._place.say(update.used, update.total, "steps", **facts)
        used = {
            "env_steps": float(counters.env_steps + selection.env_steps),
            "dream_steps": float(counters.dream_steps),
            "episodes": float(counters.episodes),
        }
        values = {**update.metrics, **used, **score}
        self._place.record("metrics", step=counters.updates, values=values)
