"""Takes the agent that a run has learned out of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from curriculum.config.schema import Config
from curriculum.errors import NoCheckpoint
from curriculum.pretrained.bundle import Bundle, Describe, write
from curriculum.pretrained.finding import learned_in
from curriculum.records.agent_state import learned_by, without_moments
from curriculum.records.commit import CommitStore
from curriculum.records.ledger import effective_events
from curriculum.records.rundir import RunDir
from curriculum.tasks import chosen
from models.interfaces import State


def export(
    rundir: RunDir,
    task: str,
    directory: Path,
    describe: Describe,
    config: Config | None = None,
) -> Bundle:
    """Writes a run's agent as a bundle; the same run gives the same bytes.

    Args:
        rundir: only read.
        task: name of the run's task.
        directory: created if need be; a bundle in it is replaced.
        describe: writes the card.
        config: what the agent is played with from now on; the run's own if None.

    Raises:
        ConfigError: no such task, or it needs code that a bundle cannot carry, or `directory` holds
            something else.
        NoCheckpoint: nothing was learned, or nothing of it verifies, or it is not finite.
        RunIOError: the disk refused.
    """
    bundle = gather(rundir, task, config)
    write(bundle, directory, describe)
    return bundle


def gather(rundir: RunDir, task: str, config: Config | None = None) -> Bundle:
    """Reads a run's agent; raises as `export` does."""
    config = rundir.config() if config is None else config
    (found,) = chosen(config, [task])
    mode, last = learned_in(rundir, task)
    stages = ("vision", "memory", "controller")
    learned = learned_by(*(_final(rundir, task, mode, last, stage) for stage in stages))
    alone = replace(
        config,
        name=task,
        run_dir="runs",
        curriculum=replace(config.curriculum, mode=mode, tasks=(task,)),
        tasks=(found,),
    )
    told = (e for e in effective_events(rundir.ledger_path) if e.get("task", task) == task)
    return Bundle(
        config=alone,
        mode=mode,
        round=last,
        learned=without_moments(learned),
        events=tuple(told),
    )


def _final(rundir: RunDir, task: str, mode: str, last: int, stage: str) -> State:
    directory = rundir.stage_dir(task, mode, last, stage)
    damaged: list[str] = []
    commit = CommitStore(directory, identity=rundir.identity(directory)).latest(damaged.append)
    if commit is None or not commit.complete:
        why = damaged[0] if damaged else "it is not there"
        raise NoCheckpoint(
            f"the result of stage {stage} in {directory} cannot be used: {why}; remove that "
            f"directory and resume the run to have it done again"
        )
    return commit.arrays
