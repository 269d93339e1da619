"""A baseline told in plain lines while it plays and learns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from curriculum.records.events import TROUBLE, handlers
from curriculum.show.view import facts_line
from curriculum.show.words import count, duration, interval, number, plain

BETWEEN_LINES_S = 5.0
"""Seconds between two lines about finished episodes, at least."""

Event = Mapping[str, Any]


class BaselineLines:
    """Writes a line per start, evaluation and end, and now and then how many episodes are over.

    Args:
        write: takes a line.
        clock: seconds that only grow.
    """

    def __init__(
        self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._clock = write, clock
        self._last = clock()
        self._episodes = 0

    def on_event(self, event: Event) -> None:
        """Takes one event of the baseline's ledger."""
        tell = _TELL.get(event["event"])
        if tell is not None:
            tell(self, event)

    def _started(self, event: Event) -> None:
        self._write(
            f"{plain(event.get('algo'))} plays {plain(event.get('task'))} "
            f"({plain(event.get('playing'))}), seed {plain(event.get('seed'))}{_steps(event)}"
        )

    def _resumed(self, event: Event) -> None:
        self._write(f"goes on after {count(event.get('steps'))} steps")

    def _episode(self, event: Event) -> None:
        self._episodes += 1
        if self._clock() - self._last >= BETWEEN_LINES_S:
            self._last = self._clock()
            score = number(event.get("score"))
            self._write(f"{count(self._episodes)} episodes over, the last one scored {score}")

    def _evaluation(self, event: Event) -> None:
        self._write(f"{count(event.get('step')):>10} steps: {number(event.get('score'))}")

    def _done(self, event: Event) -> None:
        self._write(
            f"done in {duration(event.get('seconds'))} of training: IQM {number(event.get('iqm'))} "
            f"{interval(event.get('iqm_interval'))}"
        )

    def _claimed(self, event: Event) -> None:
        self._write(
            f"{plain(event.get('name'))} is claimed, SHA-256 of the plan: "
            f"{plain(event.get('hash'))}"
        )

    def _other(self, event: Event) -> None:
        self._write(facts_line(event))


def _steps(event: Event) -> str:
    settings = event.get("settings")
    steps = settings.get("steps") if isinstance(settings, dict) else None
    return "" if steps is None else f", for {count(steps)} steps"


_TELL = handlers(
    {
        "baseline_started": BaselineLines._started,
        "baseline_resumed": BaselineLines._resumed,
        "episode": BaselineLines._episode,
        "evaluation": BaselineLines._evaluation,
        "baseline_done": BaselineLines._done,
        "claim_made": BaselineLines._claimed,
        **dict.fromkeys(TROUBLE, BaselineLines._other),
    }
)
