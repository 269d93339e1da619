"""Starting a run from another one: what a changed configuration does not touch is taken over."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from curriculum.config.loading import changed_keys
from curriculum.config.schema import Config
from curriculum.errors import ConfigError
from curriculum.progress import STAGES
from curriculum.records.commit import CommitStore
from curriculum.records.files import read_json, refused, write_json
from curriculum.records.rundir import RunDir

FIRST_USE = {
    "env_id": "collect",
    "observation": "collect",
    "env": "collect",
    "collect": "collect",
    "vae": "vision",
    "mdnrnn": "memory",
    "controller": "controller",
    "ppo": "controller",
    "replay": "controller",
    "qrdqn": "controller",
    "sac": "controller",
    "training": "controller",
    "shaping": "controller",
    "dream": "controller",
    "target": "controller",
    "simulation_target": "controller",
    "evaluate": "evaluate",
}
"""The first stage that reads each section of a task; what is not named here changes nothing."""

LATER_USE = {
    "vae.joint_updates": "controller",
    "vae.joint_envs": "controller",
    "vae.joint_steps": "controller",
}
"""Keys that only a later stage reads than the first one that reads their section."""

FIRST_USE_OF_ALL = {
    "seed": "collect",
    "curriculum.plugins": "collect",
    "curriculum.transfer": "vision",
    "curriculum.device": "vision",
}
"""The same for keys that concern every task."""


@dataclass(frozen=True)
class Taken:
    """One finished stage that a fork took over."""

    task: str
    mode: str
    stage: str


def fork(old: RunDir, new: RunDir, config: Config) -> list[Taken]:
    """Copies what the new configuration leaves as it was, and verifies it on the way.

    Of each task these are the finished stages of the first round before the first stage that
    reads a changed key; later rounds are walked anew.

    Args:
        old: the run to start from; it is only read.
        new: a run that has just been created, and whose lock is held.
        config: of the new run.

    Returns:
        What was taken over, in the order of the stages.

    Raises:
        ConfigError: the configuration of the old run does not hold, or has no task in common.
        RunIOError: the disk refused.
    """
    tasks = common_tasks(old, config)
    keys = changed_keys(old.config(), config)
    taken = []
    for task in sorted(tasks):
        for mode in _modes(old.path / "tasks" / task):
            for stage in unchanged(task, keys):
                what = Taken(task, mode, stage)
                if _take(old, new, what):
                    taken.append(what)
                elif stage != "collect" or Taken(task, "REAL", "collect") not in taken:
                    # Data of the real environment lie apart from what a mode made of them.
                    break
    return taken


def common_tasks(old: RunDir, config: Config) -> set[str]:
    """Returns the names of the tasks that a fork is about; asked before the new run is created.

    Raises:
        ConfigError: the configuration of the old run does not hold, or has no task in common.
    """
    tasks = {task.name for task in old.config().tasks} & {task.name for task in config.tasks}
    if not tasks:
        raise ConfigError(
            f"{old.path} has none of the tasks {', '.join(task.name for task in config.tasks)}: "
            "there is nothing to start from"
        )
    return tasks


def unchanged(task: str, keys: Collection[str]) -> Sequence[str]:
    """Returns the stages of a task that come before the first one which reads a changed key.

    Args:
        task: its name.
        keys: dotted keys, those of tasks with `tasks.<name>.` in front.
    """
    first = len(STAGES)
    for key in keys:
        own = key.removeprefix(f"tasks.{task}.")
        if own == key:
            known = FIRST_USE_OF_ALL.get(key)
        else:
            known = LATER_USE.get(own) or FIRST_USE.get(own.partition(".")[0])
        if known is not None:
            first = min(first, STAGES.index(known))
    return STAGES[:first]


def _modes(directory: Path) -> list[str]:
    """Returns the modes that a task has been walked in, shared data first."""
    if not directory.is_dir():
        return []
    found = (path.name for path in directory.iterdir() if path.is_dir())
    return sorted(found, key=lambda name: (name != "REAL", name))


def _take(old: RunDir, new: RunDir, what: Taken) -> bool:
    """Copies one finished stage; False if it is not finished, or damaged."""
    place = (what.task, what.mode, 0, what.stage)
    source, target = old.stage_dir(*place), new.stage_dir(*place)
    result = read_json(source / "result.json")
    commit = CommitStore(source, identity=old.identity(source)).latest()
    if result is None or commit is None or not commit.complete:
        return False
    try:
        if (source / "data").is_dir():
            shutil.copytree(source / "data", target / "data")
    except OSError as e:
        raise refused(e, f"copy the data of {what.task}", target) from e
    store = CommitStore(target, identity=new.identity(target))
    store.save(commit.arrays, commit.meta, complete=True, appended=commit.appended)
    write_json(target / "result.json", result)
    return True
