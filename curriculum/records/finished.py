"""What a stage leaves when it is done: `result.json`, and what a task used over all its stages."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from curriculum.errors import RunIOError
from curriculum.records.facts import WrongFact, entry
from curriculum.records.files import damaged, read_json, write_json
from models.interfaces import Metrics


@dataclass(frozen=True)
class StageResult:
    """What a finished stage reports.

    Attributes:
        summary: one line for a person.
        metrics: finite numbers.
        env_steps: real (or simulated) environment steps taken by this stage.
        dream_steps: steps taken inside M.
        facts: JSON-compatible results beyond plain numbers.
    """

    summary: str
    metrics: Metrics = field(default_factory=dict)
    env_steps: int = 0
    dream_steps: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """A stage that came to its end: what `result.json` holds.

    Attributes:
        mode, seconds, result: of the stage.
        committing: how many commits there were since the last start, and the seconds they took.
        spent: seconds since the last start by what they went into.
    """

    mode: str
    seconds: float
    result: StageResult
    committing: dict[str, float] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, directory: Path) -> Finished | None:
        """Returns what a stage left in its directory, or None if it has not finished.

        Raises:
            RunIOError: it cannot be read, or is not what a stage leaves.
        """
        path = directory / "result.json"
        found = read_json(path)
        if found is None and not path.exists():
            return None
        try:
            # Runs from before modes shared their data do not tell the mode.
            return entry(cls, {"mode": "", **found} if isinstance(found, dict) else found)
        except WrongFact as e:
            raise RunIOError(damaged(path, str(e))) from e

    def write(self, directory: Path) -> None:
        """Leaves it in the stage's directory: from then on the stage is not run again."""
        write_json(directory / "result.json", asdict(self))


@dataclass
class Used:
    """What a task has used so far, over all its rounds and modes; each directory counts once."""

    _stages: dict[Path, Finished] = field(default_factory=dict)

    def add(self, directory: Path, finished: Finished) -> None:
        self._stages[directory] = finished

    def totals(self) -> dict[str, Any]:
        """Returns env_steps, dream_steps and seconds."""
        stages = self._stages.values()
        return {
            "env_steps": sum(s.result.env_steps for s in stages),
            "dream_steps": sum(s.result.dream_steps for s in stages),
            "seconds": sum(s.seconds for s in stages),
        }
