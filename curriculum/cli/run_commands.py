"""`run` and `resume`: the configuration and the run directory, before anything heavy is loaded."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from curriculum.cli.arguments import SHORTCUTS
from curriculum.config.loading import changes, dump
from curriculum.config.plugins import code_of, refuse_inside_run, require_agreed, run_of
from curriculum.config.schema import Config
from curriculum.errors import ConfigError, ExitCode
from curriculum.progress import STAGES
from curriculum.records.rundir import RunDir
from curriculum.tasks import load_config


def run(args: argparse.Namespace) -> ExitCode:
    """Runs `curriculum run`."""
    config = load_config(Path(args.config), sets=_sets(args), preset=args.preset)
    _require_agreed(config, Path(args.config), args)
    directory = Path(args.run_dir) if args.run_dir else Path(config.run_dir) / config.name
    if not args.dry_run and args.resume == "never" and RunDir.exists(directory):
        raise ConfigError(
            f"{directory} holds a run already: choose another --run-dir, or leave --resume away"
        )
    if args.fork and RunDir.exists(directory):
        raise ConfigError(
            f"{directory} holds a run already: --fork starts a new one, so choose another --run-dir"
        )
    from curriculum.backends.backend import import_plugins
    from curriculum.cli.walk import dry_run, probe, walk

    stages = tuple(args.stages or STAGES)
    machine = probe(config, directory, may_step_down=args.step_down)
    if args.dry_run:
        return dry_run(args, config, machine, directory, stages)
    import_plugins(config.curriculum.plugins)
    source = RunDir.open(Path(args.fork)) if args.fork else None
    with _rundir(directory, config) as rundir:
        if source is not None:
            _fork(source, rundir, config)
        return walk(args, config, machine, rundir, stages)


def resume(args: argparse.Namespace) -> ExitCode:
    """Runs `curriculum resume`."""
    with RunDir.open(Path(args.run)) as rundir:
        config = load_config(rundir.config_path)
        require_agreed(config, args.plugins, rundir.given)
        from curriculum.backends.backend import import_plugins
        from curriculum.cli.walk import probe, walk

        machine = probe(config, rundir.path, may_step_down=args.step_down)
        import_plugins(config.curriculum.plugins)
        return walk(args, config, machine, rundir, STAGES)


COMMANDS: dict[str, Callable[[argparse.Namespace], ExitCode]] = {"run": run, "resume": resume}


def _sets(args: argparse.Namespace) -> list[str]:
    """Turns every option into the `--set` it stands for; `--set` itself comes last and wins."""
    sets = []
    if args.seed is not None:
        sets.append(f"seed={args.seed}")
    if args.tasks:
        sets.append(f"curriculum.tasks=[{', '.join(args.tasks)}]")
    for option in ("mode", "device"):
        if getattr(args, option):
            sets.append(f"curriculum.{option}={getattr(args, option)}")
    if args.save_videos:
        sets.append("curriculum.save_videos=true")
    for option, key in SHORTCUTS.items():
        value = getattr(args, option)
        if value is not None:
            sets.append(f"{key}={json.dumps(value)}")
    return sets + args.sets


def _require_agreed(config: Config, path: Path, args: argparse.Namespace) -> None:
    """A configuration of one's own may name code; one that lies in a run is the run's word."""
    run = run_of(path)
    if run is not None:
        require_agreed(config, args.plugins, run)
    for name in code_of(config):
        refuse_inside_run(name)


def _fork(source: RunDir, rundir: RunDir, config: Config) -> None:
    """Takes over what fits, and says what that is."""
    from curriculum.records.ledger import Ledger
    from curriculum.runs.fork import fork

    taken = [f"{t.task} {t.mode} {t.stage}" for t in fork(source, rundir, config)]
    different = changes(source.config(), config)
    facts = {"source": str(source.given), "source_id": source.id, "changes": different}
    Ledger(rundir.ledger_path).append("forked", **facts, taken=taken)
    print(f"taken over from {source.given}: {', '.join(taken) or 'nothing'}", file=sys.stderr)


def _rundir(directory: Path, config: Config) -> RunDir:
    if not RunDir.exists(directory):
        return RunDir.begin(directory, dump(config))
    rundir = RunDir.open(directory)
    rundir.require_same_config(config)
    return rundir
