"""What a long stage says while it works: progress to whoever shows it, facts to the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

STAGES = ("collect", "vision", "encode", "memory", "controller", "evaluate")
"""The steps of the pipeline inside a task, in their order."""


@dataclass(frozen=True)
class Progress:
    """One sign of life of a stage.

    Attributes:
        task, mode, round, stage: where the run is.
        done, total: work finished and planned, in `unit`; total 0 means unknown.
        unit: what is counted, e.g. `episodes`, `updates`, `generations`.
        facts: numbers worth showing now, e.g. `{"loss": 0.12}`.
    """

    task: str
    mode: str
    round: int
    stage: str
    done: int
    total: int
    unit: str
    facts: dict[str, float] = field(default_factory=dict)


Listener = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Shows nothing."""
