"""What a configuration means, and what runs have shown."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from curriculum.config.schema import TaskConfig
from curriculum.errors import ComponentMissing, ConfigError, ExitCode, RunIOError
from curriculum.progress import printable, say
from curriculum.tasks import builtin_tasks, load_config
from diagnostics import distribution


def validate(args: argparse.Namespace) -> ExitCode:
    """Checks a configuration and prints its tasks, or all of it."""
    from curriculum.config.loading import dump
    from curriculum.envs.aliases import DEFAULT_EPISODE_STEPS, UNLIMITED, resolve

    config = load_config(Path(args.config), args.sets, args.preset, notice=say)
    if args.full:
        print(dump(config), end="")
        return ExitCode.OK
    tasks = f"{len(config.tasks)} task{'' if len(config.tasks) == 1 else 's'}"
    print(printable(f"{args.config} is valid: {tasks}, seed {config.seed}"))
    for task in config.tasks:
        print(f"  {_line(task)}")
        found, notice = resolve(task.env_id)
        plugins = ", ".join(config.curriculum.plugins)
        if notice and found == task.env_id and plugins:
            notice = f"{task.env_id} is to be registered by {plugins}, which is not imported here"
        if notice:
            print(printable(f"    {notice}"))
        if found in UNLIMITED and not task.env.max_episode_steps:
            print(
                f"    {found} declares no limit of its episodes: one that goes on is truncated "
                f"after {DEFAULT_EPISODE_STEPS:,} steps (env.max_episode_steps)"
            )
    return ExitCode.OK


def init(args: argparse.Namespace) -> ExitCode:
    """Writes a configuration that comes with the package, to be edited."""
    from curriculum.config.shipped import text
    from curriculum.records.files import output_path, write_bytes

    content = text(args.name)
    named = Path(args.out or f"{args.name}.yaml")
    path = output_path(named)
    if path.exists() and not args.force:
        raise ConfigError(f"{named} is there already: name another --out, or give --force")
    write_bytes(path, content.encode())
    print(f"written: {named}; run it with: python -m curriculum run {shlex.quote(str(named))}")
    return ExitCode.OK


def completion(args: argparse.Namespace) -> ExitCode:
    """Prints what has a shell complete the words of `wmc`.

    Raises:
        ComponentMissing: shtab cannot be imported.
    """
    from curriculum.cli.arguments import build_parser

    try:
        import shtab
    except ImportError as e:
        raise ComponentMissing(
            f"completion needs shtab, which cannot be imported ({e}): install it with "
            f"`{distribution.install('shtab')}`"
        ) from e
    parser = build_parser()
    parser.prog = "wmc"
    print(shtab.complete(parser, args.shell))
    return ExitCode.OK


def keys(args: argparse.Namespace) -> ExitCode:
    """Lists every key of the configuration, as Markdown or as a JSON Schema."""
    if args.schema:
        from curriculum.reference.json_schema import json_schema

        print(json.dumps(json_schema(), indent=2))
        return ExitCode.OK
    from curriculum.reference.keys import reference

    print(reference())
    return ExitCode.OK


def tasks(args: argparse.Namespace) -> ExitCode:
    """Lists the tasks of a configuration, or the four built-in ones."""
    from curriculum.config.writing import plain_of

    listed = load_config(Path(args.config), notice=say).tasks if args.config else builtin_tasks()
    if args.json:
        print(json.dumps([plain_of(task) for task in listed], indent=2))
        return ExitCode.OK
    for task in listed:
        print(_line(task))
    return ExitCode.OK


def report(args: argparse.Namespace) -> ExitCode:
    """Writes one run's report again and prints it, or compares several."""
    from curriculum.figures.pictures import write_illustrated
    from curriculum.records.files import output_path
    from curriculum.records.ledger import read_events
    from curriculum.records.rundir import RunDir
    from curriculum.show.report import compare_runs, report_json, report_text

    page = args.html and output_path(Path(args.html))
    ledgers = {}
    for name in args.runs:
        rundir = RunDir.open(Path(name))
        ledgers[name] = list(read_events(rundir.ledger_path))
    if page:
        write_page(page, list(map(Path, args.runs)))
    if args.json:
        print(json.dumps({name: report_json(events) for name, events in ledgers.items()}, indent=2))
        return ExitCode.OK
    if len(ledgers) == 1:
        name, events = next(iter(ledgers.items()))
        print(report_text(events))
        try:
            write_illustrated(Path(name), events)
        except RunIOError as e:
            print(f"the report is shown, but was not written: {e}", file=sys.stderr)
    else:
        print(compare_runs(ledgers))
    return ExitCode.OK


def write_page(file: Path, runs: Sequence[Path]) -> None:
    """Writes runs, or series of them, as one HTML file.

    Raises:
        ComponentMissing: matplotlib cannot be imported.
        RunIOError: a ledger cannot be read, or the disk refused.
    """
    from baselines.study import writing
    from baselines.study.sides import contests
    from baselines.study.verdicts import judged

    names = list(map(str, runs))
    command = shlex.join(["python", "-m", "curriculum", "report", *names, "--html", str(file)])
    writing.write_page(file, ", ".join(names), [judged(c) for c in contests(runs, [])], [command])


COMMANDS: dict[str, Callable[[argparse.Namespace], ExitCode]] = {
    "validate": validate,
    "completion": completion,
    "init": init,
    "keys": keys,
    "tasks": tasks,
    "report": report,
}


def _line(task: TaskConfig) -> str:
    simulated = "no simulation"
    if task.env.simulation:
        simulated = f"simulation/{task.env.simulation} target {task.simulation_target:g}"
    return printable(
        f"{task.name}: {task.env_id} ({task.observation}), target {task.target:g}; {simulated}"
    )
