"""`run` and `resume`: the configuration and the run directory, before anything heavy is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any

from curriculum.cli.meaning import config_path, directory_of, idle, sets_of, stages_of
from curriculum.cli.probing import probe_limit
from curriculum.config.loading import changes, dump
from curriculum.config.plugins import code_of, flag, refuse_inside_run, require_agreed, run_of
from curriculum.config.schema import Config
from curriculum.errors import ConfigError, ExitCode
from curriculum.progress import STAGES, say
from curriculum.records.rundir import RunDir
from curriculum.tasks import load_config

if TYPE_CHECKING:
    from curriculum.runs.imports import Machine


def run(args: argparse.Namespace) -> ExitCode:
    """Runs `curriculum run`."""
    began = args.watcher.orders.began
    if began:
        config, directory = _config_of(began), Path(began["run_dir"])
    else:
        config = configured(args)
        directory = directory_of(args, config)
        _refuse_a_run_that_is_there(args, directory)
    stages = stages_of(args)
    _refuse_what_cannot_begin(directory, stages, bool(args.fork))
    from curriculum.cli.walk import dry_run, walk

    machine = _machine(args, config, directory)
    if args.dry_run:
        return dry_run(args, config, machine, directory, stages)
    source = _source(Path(args.fork), config) if args.fork else None
    there = directory.absolute()
    # It may change the working directory.
    _import_plugins(args, config)
    with _rundir(there, config) as rundir:
        rundir.given = directory
        if source is not None:
            _fork(source, rundir, config)
        return walk(args, config, machine, rundir, stages)


def resume(args: argparse.Namespace) -> ExitCode:
    """Runs `curriculum resume`."""
    with RunDir.open(Path(args.run)) as rundir:
        config = load_config(rundir.config_path, sets=probe_limit(args))
        require_agreed(config, args.plugins, rundir.given)
        from curriculum.cli.walk import walk

        machine = _machine(args, config, rundir.path)
        _import_plugins(args, config)
        return walk(args, config, machine, rundir, STAGES)


COMMANDS: dict[str, Callable[[argparse.Namespace], ExitCode]] = {"run": run, "resume": resume}


def configured(args: argparse.Namespace) -> Config:
    """Returns the configuration that `run` was given, options laid over it.

    Raises:
        ConfigError: it does not hold, or names code that nobody has agreed to.
    """
    path = config_path(args)
    config = load_config(path, sets_of(args, say), args.preset, notice=say)
    _require_agreed(config, path, args)
    for line in idle(args, config):
        say(line)
    return config


def _machine(args: argparse.Namespace, config: Config, directory: Path) -> Machine:
    """Probes the machine, or takes what an earlier process of this command found."""
    from curriculum.cli.walk import probe
    from curriculum.runs.history import begun_in
    from curriculum.runs.imports import Machine

    watcher = args.watcher
    watcher.tell("limits", **_limits(config))
    if watcher.orders.began:
        return Machine(**watcher.orders.began["machine"])
    machine = probe(config, directory, args.quiet, may_step_down=args.step_down)
    facts = {"config": dump(config), "machine": asdict(machine), "tasks": begun_in(directory)}
    watcher.tell("began", run_dir=str(directory.absolute()), plugins=flag(config), **facts)
    return machine


def _import_plugins(args: argparse.Namespace, config: Config) -> None:
    from curriculum.backends.backend import import_plugins
    from curriculum.runs.imports import announced_to

    import_plugins(config.curriculum.plugins, announced_to(args.watcher))


def _limits(config: Config) -> dict[str, float]:
    """Returns how long this process may stand still before something is wrong, in seconds."""
    limits = config.curriculum
    return {"import_s": limits.timeout_seconds, "work_s": limits.unit_deadline_seconds}


def _config_of(began: Mapping[str, Any]) -> Config:
    """Returns the configuration that a run began with, whatever has become of its file."""
    with NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        file.write(began["config"])
        file.flush()
        return load_config(Path(file.name))


def _refuse_what_cannot_begin(directory: Path, stages: Sequence[str], forked: bool) -> None:
    """Says before anything is written what would be found out after it.

    Raises:
        ConfigError: a file is where the run is to be, or a new run is to begin in its middle.
    """
    for path in (directory, *directory.parents):
        if path.exists() and not path.is_dir():
            raise ConfigError(f"{path} is a file: give a directory for the run")
    if stages[0] != STAGES[0] and not forked and not RunDir.exists(directory):
        raise ConfigError(
            f"a new run cannot begin with the stage {stages[0]}, which needs the results of those "
            "before it: run the stages in order, or leave --stage away, or take them over by --fork"
        )


def _refuse_a_run_that_is_there(args: argparse.Namespace, directory: Path) -> None:
    if not args.dry_run and args.resume == "never" and RunDir.exists(directory):
        raise ConfigError(
            f"{directory} holds a run already: choose another --run-dir, or leave --resume away"
        )
    if args.fork and RunDir.exists(directory):
        raise ConfigError(
            f"{directory} holds a run already: --fork starts a new one, so choose another --run-dir"
        )


def _require_agreed(config: Config, path: Path, args: argparse.Namespace) -> None:
    """A configuration of one's own may name code; one that lies in a run is the run's word."""
    run = run_of(path)
    if run is not None:
        require_agreed(config, args.plugins, run)
    for name in code_of(config):
        refuse_inside_run(name)


def _source(path: Path, config: Config) -> RunDir:
    """Opens the run that another one starts from; what speaks against it is said before a new one
    lies on the disk, where it would stand in the way of the next try."""
    from curriculum.runs.fork import common_tasks

    source = RunDir.open(path)
    common_tasks(source, config)
    return source


def _fork(source: RunDir, rundir: RunDir, config: Config) -> None:
    """Takes over what fits, and says what that is; not twice, where an earlier process has."""
    from curriculum.records.ledger import Ledger
    from curriculum.runs.fork import fork

    if Ledger(rundir.ledger_path).events("forked"):
        return
    taken = [f"{t.task} {t.mode} {t.stage}" for t in fork(source, rundir, config)]
    different = changes(source.config(), config)
    facts = {"source": str(source.given), "source_id": source.id, "changes": different}
    Ledger(rundir.ledger_path).append("forked", **facts, taken=taken)
    say(f"taken over from {source.given}: {', '.join(taken) or 'nothing'}")


def _rundir(directory: Path, config: Config) -> RunDir:
    if not RunDir.exists(directory):
        return RunDir.begin(directory, dump(config))
    rundir = RunDir.open(directory)
    rundir.require_same_config(config)
    return rundir
