"""`demo`: what this program is in seconds, and its controllers alone."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from curriculum.config.loading import dump
from curriculum.config.schema import Config
from curriculum.errors import ConfigError, ExitCode
from curriculum.progress import say
from curriculum.records.rundir import RunDir
from curriculum.tasks import load_config

if TYPE_CHECKING:
    from curriculum.demo.seeded_dream import Learned

GENERATIONS = 40
TOLD = 5
"""Generations between two lines."""
ROWS = 12
"""That the pictures may be high, so that what was said stays above them."""
BATCH, REPEATS = 32768, 3

_PREFACE = """\
A pole stands on a cart that is pushed to the left or to the right; 500 steps are
a full score. Random play teaches M how it moves, C learns in M's dreams, checks
outside choose which C is kept, and what that one meets teaches M again (Ha &
Schmidhuber 2018). All of it is numpy: mode SIMULATION, the smallest of three.
"""


def demo(args: argparse.Namespace) -> ExitCode:
    """Runs `curriculum demo`."""
    if args.benchmark:
        return _benchmark(args)
    if args.train_linear:
        return _train_linear(args)
    if args.compare:
        return _compare(args)
    if args.dream:
        raise ConfigError("--dream was given alone; add --train-linear, --compare or --benchmark")
    return _at_a_glance(args)


COMMANDS: dict[str, Callable[[argparse.Namespace], ExitCode]] = {"demo": demo}


def _at_a_glance(args: argparse.Namespace) -> ExitCode:
    config = load_config(Path("demo"), sets=[f"seed={args.seed}"])
    if args.run_dir is None:
        with tempfile.TemporaryDirectory(prefix="wmc-demo-") as place:
            return _walked(args, config, Path(place) / "demo")
    if RunDir.exists(Path(args.run_dir)):
        raise ConfigError(f"{args.run_dir} holds a run already: choose another --run-dir")
    return _walked(args, config, Path(args.run_dir))


def _walked(args: argparse.Namespace, config: Config, directory: Path) -> ExitCode:
    from curriculum.cli.walk import probe, record_start
    from curriculum.demo import glance
    from curriculum.figures.pictures import write_illustrated
    from curriculum.records.ledger import Ledger
    from curriculum.stops import Barrier, signals_to

    began = time.monotonic()
    print(_PREFACE, flush=True)
    machine = probe(config, directory, quiet=True)
    barrier = Barrier(config.curriculum.commit_seconds, watcher=args.watcher)
    with RunDir.begin(directory, dump(config)) as rundir, signals_to(barrier):
        ledger = Ledger(rundir.ledger_path)
        record_start(config, machine, rundir, ledger)
        verdict = glance.walk(config, machine, rundir, ledger, barrier, partial(print, flush=True))
        met = verdict.score is not None and verdict.score >= verdict.target
        code = ExitCode.OK if met else ExitCode.TARGET_MISSED
        ledger.append("run_finished", exit_code=int(code))
        seconds = time.monotonic() - began
        print(f"\nThe pole {'stands' if met else 'falls'}. That took {seconds:.1f} s.")
        if not args.no_film:
            _show(rundir, args.seed)
        if args.run_dir:
            write_illustrated(rundir.path, ledger.events())
    args.watcher.tell("over")
    print(_next(args.run_dir))
    return code


def _show(rundir: RunDir, seed: int) -> None:
    from curriculum.demo import glance
    from curriculum.figures.half_blocks import can_show, show_film

    console = Console()
    if can_show(console):
        show_film(console, glance.films(rundir, seed), glance.STEP_SECONDS * glance.EVERY, ROWS)


def _next(run_dir: str | None) -> str:
    kept = (
        f"python -m curriculum report {run_dir}    what was learned, in tables\n" if run_dir else ""
    )
    return (
        f"\nGo on with\n{kept}"
        "python -m curriculum run quick         the four games in minutes\n"
        "python -m curriculum demo --compare    linear against MLP controllers\n"
        "python -m curriculum play --pretrained lunarlander"
    )


def _train_linear(args: argparse.Namespace) -> ExitCode:
    from curriculum.demo.seeded_dream import POPULATION, ROLLOUTS, SIZES, STEPS, SeededDream

    dream = SeededDream(args.seed)
    print(
        f"A linear C on z and h, {POPULATION} candidates of {ROLLOUTS} dreams of {STEPS} steps a "
        f"generation; random pushes earn {dream.random:.1f}"
    )

    def told(number: int, score: float) -> None:
        if number % TOLD == 0 or number == 1:
            print(f"generation {number:3d}   {score:6.1f} in dreams", flush=True)

    found = dream.learn(SIZES[0][1], GENERATIONS, told)
    print(
        f"{found.parameters:,} parameters learned from {found.dream_steps:,} dreamed steps in "
        f"{found.seconds:.1f} s: {found.before:.1f} before, {found.dreamed:.1f} after in other "
        f"dreams, {found.real:.1f} in the system that was dreamed of"
    )
    return ExitCode.OK


def _compare(args: argparse.Namespace) -> ExitCode:
    from curriculum.demo.seeded_dream import SIZES, SeededDream

    dream = SeededDream(args.seed)
    table = Table(title=f"controllers in a seeded dream; random pushes earn {dream.random:.1f}")
    for name in ("C", "parameters", "before", "dreamed", "real", "learned in", "an action"):
        table.add_column(name, justify="left" if name == "C" else "right")
    for name, hidden_sizes in SIZES:
        say(f"{name}: {GENERATIONS} generations")
        found: Learned = dream.learn(hidden_sizes, GENERATIONS)
        table.add_row(
            name,
            f"{found.parameters:,}",
            *(f"{score:.1f}" for score in (found.before, found.dreamed, found.real)),
            f"{found.seconds:.1f} s",
            f"{1000.0 / _rates(args.seed, name, 1):.3f} ms",
        )
    Console().print(table)
    print("before, dreamed: in dreams that learning did not use; real: in what was dreamed of")
    return ExitCode.OK


def _benchmark(args: argparse.Namespace) -> ExitCode:
    from curriculum.demo.seeded_dream import SIZES, controller

    table = Table(title="controllers of 288 features and six actions in numpy, this machine")
    for name in ("C", "parameters", "an action", f"actions, {BATCH:,} at once"):
        table.add_column(name, justify="left" if name == "C" else "right")
    for name, hidden_sizes in SIZES:
        one, many = (_rates(args.seed, name, batch) for batch in (1, BATCH))
        parameters = controller(hidden_sizes, args.seed).num_parameters
        table.add_row(name, f"{parameters:,}", f"{1000.0 / one:.3f} ms", f"{many:,.0f} a second")
    Console().print(table)
    print(f"medians of {REPEATS} runs")
    return ExitCode.OK


def _rates(seed: int, name: str, batch: int) -> float:
    """Returns how many actions a second a controller chooses, so many at once."""
    import numpy as np

    from curriculum.demo.seeded_dream import SIZES, controller
    from diagnostics.bench.measuring import Case, measure

    made = controller(dict(SIZES)[name], seed)
    features = np.random.default_rng(0).standard_normal((batch, made.num_features), np.float32)
    case = Case("demo", name, "numpy", "actions", batch, lambda: made.act(features))
    return measure([case], REPEATS)[0].median
