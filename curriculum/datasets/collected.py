"""Where the episodes lie that a run has collected for a task."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from curriculum.errors import ConfigError
from curriculum.mode import least
from curriculum.records.rundir import RunDir

REAL = "REAL"
"""Stands for the modes that play real environments: they share what was collected there."""
_STAGE = "collect"


def collected_in(
    rundir: RunDir, task: str, rounds: Collection[int] | None = None
) -> tuple[bool, list[Path]]:
    """Returns whether a run's episodes are simulated ones, and the directories of the rounds.

    Where there are both, those of the real environment are meant.

    Args:
        rundir: only read.
        task: name of the run's task.
        rounds: which, from 0; all if None.

    Raises:
        ConfigError: nothing was collected, or not in these rounds.
    """
    simulated = least(simulates=True).value
    for mode in (REAL, simulated):
        found = rundir.finished_rounds(task, mode, _STAGE)
        if found:
            break
    else:
        raise ConfigError(
            f"{rundir.given} holds no collected episodes of {task}: run its stage {_STAGE}"
        )
    lacking = sorted(set(rounds or ()) - set(found))
    if lacking:
        raise ConfigError(
            f"{rundir.given} has collected episodes of {task} in the rounds "
            f"{', '.join(map(str, found))}, not in {', '.join(map(str, lacking))}"
        )
    chosen = found if rounds is None else sorted(set(rounds))
    directories = [rundir.stage_dir(task, mode, n, _STAGE) / "data" for n in chosen]
    return mode == simulated, directories
