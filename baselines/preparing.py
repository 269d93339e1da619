"""What comes before a baseline plays: its task, a machine that can play it, its environments."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from curriculum.errors import ComponentMissing, ConfigError

if TYPE_CHECKING:
    from curriculum.config.schema import Config, TaskConfig
    from curriculum.envs.interface import VectorEnv
    from curriculum.records.ledger import Ledger


def task_of(args: argparse.Namespace) -> tuple[TaskConfig, int]:
    """Returns the task, and how many processes may hold its environments."""
    config = config_of(args)
    return known(config, args.task), config.curriculum.env_workers


def known(config: Config, name: str) -> TaskConfig:
    """Returns a task by its name.

    Raises:
        ConfigError: there is none, and which was perhaps meant.
    """
    tasks = {task.name: task for task in config.tasks}
    if name not in tasks:
        close = difflib.get_close_matches(name.lower(), tasks, n=1)
        meant = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(f"there is no task {name!r}: there are {', '.join(tasks)}{meant}")
    return tasks[name]


def config_of(args: argparse.Namespace) -> Config:
    """Reads the file that is named, or none, with what the command line lays over it."""
    from curriculum.cli.probing import probe_limit
    from curriculum.progress import say
    from curriculum.tasks import load_config

    sets = [*probe_limit(args), *args.sets]
    if args.config:
        return load_config(args.config, sets, notice=say)
    with TemporaryDirectory(prefix="baselines-") as directory:
        nothing = Path(directory) / "defaults.yaml"
        nothing.write_text("{}\n", encoding="utf-8")
        return load_config(nothing, sets, notice=say)


def probe(task: TaskConfig, args: argparse.Namespace, *more: str) -> None:
    """Refuses a machine on which the baseline could not play, or would hang while it tries.

    Raises:
        ComponentMissing: with what was found and what mends it.
    """
    from curriculum.cli.probing import tell
    from curriculum.mode import TaskNeeds, decide
    from curriculum.runs.machine import machine_from, mending
    from curriculum.tasks import needs_of
    from diagnostics.cache import probe_all

    config = config_of(args)
    timeout_s = config.curriculum.timeout_seconds
    needs = TaskNeeds((*needs_of(task).environment, *more), (), base=(), simulated=False)
    machine = machine_from(config, probe_all(timeout_s, names=needs.environment, notice=tell))
    decision = decide(machine.states, needs, details=machine.details)
    if decision.mode is None:
        found = decision.reasons[0].partition(": ")[2]
        raise ComponentMissing(
            f"this baseline cannot play {task.env_id}: {found}"
            f"{mending(machine, decision.missing, timeout_s)}"
        )


def make_env(task: TaskConfig, num_envs: int, workers: int, ledger: Ledger) -> VectorEnv:
    """Builds environments of a task, whose troubles the ledger is told.

    Raises:
        ComponentMissing: a package that they need cannot be imported.
    """
    from curriculum.backends.parts import real_env

    def on_event(facts: dict[str, Any]) -> None:
        ledger.append(facts["event"], **{k: v for k, v in facts.items() if k != "event"})

    def notice(text: str) -> None:
        print(text, file=sys.stderr)

    try:
        return real_env(task, num_envs, notice, workers=workers, on_event=on_event)
    except ImportError as e:
        raise ComponentMissing(
            f"{task.env_id} needs a package that cannot be imported ({e}): "
            "install it with `pip install 'gymnasium[box2d]' ale-py`"
        ) from e


def machine_of(device: str) -> dict[str, Any]:
    """Returns hardware and versions, for the record."""
    from curriculum.runs.machine import hardware, versions

    return {"hardware": hardware(device), "versions": versions()}
