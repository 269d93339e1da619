"""A run of a series as its ledger tells it while it works."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curriculum.config.schema import Config
from curriculum.errors import ExitCode
from curriculum.records.events import known
from curriculum.records.ledger import Tail, read_events
from curriculum.show.summary import summarise
from curriculum.show.view import RunView
from curriculum.show.words import finite

(_METRICS,) = known("metrics")
OVER = (ExitCode.OK, ExitCode.TARGET_MISSED)
"""Exit codes of runs that came to their end."""


class Following:
    """What is known of one run while it works.

    Args:
        config: of the series.
        ledger: of the run.

    Attributes:
        view: of the run, as a dashboard has it.
        step, score: the newest of the running stage, None where it tells none.
    """

    def __init__(self, config: Config, ledger: Path) -> None:
        self._tail = Tail(ledger)
        self.view = RunView(config)
        self.step: int | None = None
        self.score: float | None = None

    def look(self) -> list[dict[str, Any]]:
        """Reads on and returns what is new."""
        found = list(self._tail.events())
        for event in found:
            if event["event"] == _METRICS:
                self._measured(event)
                continue
            self.view.on_event(event)
            if self.view.current is None:
                self.step, self.score = None, None
        return found

    def _measured(self, event: dict[str, Any]) -> None:
        values = event.get("values")
        told = values if isinstance(values, dict) else {}
        step = finite(told.get("env_steps")) or finite(event.get("step"))
        self.step = None if step is None else int(step)
        self.score = finite(told.get("score"))


def is_over(ledger: Path, tasks: set[str]) -> ExitCode | None:
    """Returns with what a run came to its end, if it did, and has a verdict on each of the tasks.

    Raises:
        RunIOError: the ledger cannot be read.
    """
    summary = summarise(read_events(ledger))
    code = (summary.ended or {}).get("exit_code")
    judged = {verdict.get("task") for verdict in summary.verdicts}
    if code not in OVER or not tasks <= judged:
        return None
    return ExitCode(code)
