"""Where learned agents are: shipped with the package, in a directory, or in a run."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from curriculum.config.schema import Config
from curriculum.errors import ConfigError, NoCheckpoint
from curriculum.mode import LADDER
from curriculum.records.rundir import RunDir


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


def learned_in(rundir: RunDir, config: Config, task: str) -> tuple[str, int]:
    """Returns the best mode, and the last round in it, with a finished controller.

    Raises:
        NoCheckpoint: there is none.
    """
    for mode in LADDER:
        for last in reversed(range(config.curriculum.rounds)):
            if (rundir.stage_dir(task, mode.value, last, "controller") / "result.json").exists():
                return mode.value, last
    raise NoCheckpoint(
        f"{rundir.given} holds no finished controller for {task}: run it first, or resume it with: "
        f"python -m curriculum resume {rundir.given}"
    )
