"""`run --seeds`, and `resume` and `report` of what it made: runs of several seeds as one."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from curriculum.cli.commands.inspect import write_page
from curriculum.cli.commands.run import configured
from curriculum.cli.meaning import directory_of, stages_of
from curriculum.config.plugins import flag, require_agreed
from curriculum.config.schema import Config
from curriculum.errors import ConfigError, ExitCode
from curriculum.progress import printable, say
from curriculum.records.files import output_path
from curriculum.series.display import make_display
from curriculum.series.following import OVER
from curriculum.series.plan import Series
from curriculum.series.report import write_report
from curriculum.series.supervisor import STOPPED, Supervisor, followed
from curriculum.show.lines import LosableStream
from curriculum.stops import resume_command


def run(args: argparse.Namespace) -> ExitCode:
    """Runs `curriculum run --seeds`."""
    if args.seed is not None:
        raise ConfigError("--seed and --seeds were both given: give one of them")
    if args.fork:
        raise ConfigError("--fork starts one run from another one: it does not go with --seeds")
    config = configured(args)
    directory = directory_of(args, config)
    if args.dry_run:
        return _planned(args, config, directory)
    series = Series.begin(directory, config, args.seeds, args.jobs, _options(args, config))
    return _walk(args, series, config)


def resume(args: argparse.Namespace) -> ExitCode:
    """Runs `curriculum resume` on a series."""
    series = Series.open(Path(args.run))
    config = series.config()
    require_agreed(config, args.plugins, series.given)
    return _walk(args, series, config)


def report(args: argparse.Namespace) -> ExitCode:
    """Runs `curriculum report` on a series."""
    series = Series.open(Path(args.runs[0]))
    if args.html:
        write_page(output_path(Path(args.html)), [series.given])
    text, facts = write_report(series)
    print(json.dumps(facts, indent=2) if args.json else text)
    return ExitCode.OK


COMMANDS: dict[str, Callable[[argparse.Namespace], ExitCode]] = {
    "run": run,
    "resume": resume,
    "report": report,
}


def _walk(args: argparse.Namespace, series: Series, config: Config) -> ExitCode:
    """Walks the runs that are not over, and reports on them all."""
    lock = series.lock()
    lock.take()
    try:
        runs = followed(series, config)
        with make_display(config, runs, quiet=args.quiet, json=args.json) as display:
            supervisor = Supervisor(series, config, args.jobs, runs, display, args.max_time)
            code = supervisor.run()
        text, facts = write_report(series)
    finally:
        lock.release()
    stream = LosableStream(sys.stdout)
    if args.json:
        print(json.dumps(facts, indent=2), file=stream)
    else:
        print(printable(text), file=stream)
        print(f"report: {series.given / 'report.md'}", file=stream)
    _say_what_is_left(series, config, supervisor.codes)
    return code


def _say_what_is_left(series: Series, config: Config, codes: dict[int, int]) -> None:
    left = [seed for seed in series.seeds if codes.get(seed) not in OVER]
    for seed in left:
        if codes.get(seed, ExitCode.RESUMABLE) not in STOPPED:
            say(f"seed {seed} ended with exit code {codes[seed]}: see {series.log(seed)}")
    if left:
        again = resume_command(series.path, flag(config))
        say(f"{len(left)} of {len(series.seeds)} runs are not over. Go on with:\n  {again}")


def _options(args: argparse.Namespace, config: Config) -> Sequence[str]:
    """Returns the options that concern every run, but are no keys of the configuration."""
    named = stages_of(args) if args.stages or args.skipped else ()
    stages = [word for stage in named for word in ("--stage", stage)]
    return [*stages, *(["--step-down"] if args.step_down else [])]


def _planned(args: argparse.Namespace, config: Config, directory: Path) -> ExitCode:
    """Says what would run, and writes nothing."""
    runs = {str(seed): str(directory / f"seed-{seed}") for seed in args.seeds}
    tasks = [task.name for task in config.tasks]
    if args.json:
        print(json.dumps({"run_dir": str(directory), "tasks": tasks, "runs": runs}, indent=2))
        return ExitCode.OK
    print(f"would run {len(runs)} seeds, {args.jobs} at a time, nothing written")
    print(printable(f"  tasks: {', '.join(tasks)}"))
    for seed, place in runs.items():
        print(printable(f"  seed {seed} in {place}"))
    return ExitCode.OK
