"""Where learned agents are: shipped with the package, in a directory, or in a run."""

from __future__ import annotations

import shlex
from importlib import resources
from pathlib import Path

from curriculum.errors import ConfigError, NoCheckpoint
from curriculum.mode import LADDER
from curriculum.records.events import known
from curriculum.records.ledger import effective_events
from curriculum.records.rundir import RunDir

(_VERDICT,) = known("verdict")


def _counting(rundir: RunDir, task: str, mode: str) -> int | None:
    """Returns the round whose agent earned the verdict, if there were several attempts."""
    told = [
        event.get("round")
        for event in effective_events(rundir.ledger_path)
        if event["event"] == _VERDICT
        and (event.get("task"), event.get("mode")) == (task, mode)
        and event.get("attempts")
    ]
    return told[-1] if told else None


def shipped() -> Path:
    """Returns the directory of the agents that come with the package."""
    return Path(str(resources.files("models"))) / "pretrained"


def find(name: str) -> Path:
    """Returns the directory of an agent that comes with the package, or the directory named.

    Raises:
        ConfigError: there is neither.
    """
    for directory in (shipped() / name, Path(name)):
        if name and directory.is_dir():
            return directory
    there = sorted(p.name for p in shipped().glob("*") if p.is_dir())
    raise ConfigError(
        f"there is no agent {name!r}, neither a run nor a pretrained one: shipped are "
        f"{', '.join(there) or 'none'}; give one of these names, or the directory of a run or of "
        "what `export` wrote"
    )


def learned_in(rundir: RunDir, task: str) -> tuple[str, int]:
    """Returns the best mode with a finished controller, and the round in it whose agent counts.

    It is the round that the last verdict in that mode is by, where there were several attempts;
    otherwise the last round.

    Raises:
        NoCheckpoint: there is none.
    """
    for mode in LADDER:
        finished = rundir.finished_rounds(task, mode.value, "controller")
        if finished:
            counts = _counting(rundir, task, mode.value)
            return mode.value, counts if counts in finished else max(finished)
    raise NoCheckpoint(
        f"{rundir.given} holds no finished controller for {task}: run it first, or resume it with: "
        f"python -m curriculum resume {shlex.quote(str(rundir.given))}"
    )
