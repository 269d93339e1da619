"""`evaluate` and `play`: the agents of a finished run, scored again or watched."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.cli.machine import machine_from, probe_names
from curriculum.config.schema import Config, TaskConfig
from curriculum.errors import ConfigError, ExitCode, NoCheckpoint, StageFailure
from curriculum.mode import LADDER
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.runner import Machine, Runner
from curriculum.seeds import env_seed
from curriculum.show.dashboard import make_display
from curriculum.stages import evaluate as evaluation
from curriculum.stages.stage import StageContext
from curriculum.stops import Barrier, signals_to
from curriculum.tasks import load_config
from diagnostics.cache import probe_all


def evaluate(args: argparse.Namespace) -> ExitCode:
    """Plays fresh episodes with every agent of a run and prints its scores."""
    with _opened(args) as (runner, config):
        results = {
            task.name: _evaluated(runner, task, args) for task in _chosen(config, args.tasks)
        }
    if args.json:
        print(json.dumps(results, indent=2))
        return ExitCode.OK
    for name, found in results.items():
        low, high = found["interval"]
        print(
            f"{name} ({found['mode']}, {found['env_id']}): {found['score']:.1f} "
            f"[{low:.1f}, {high:.1f}] over {len(found['scores'])} {found['policy']} episodes, "
            f"target {found['target']:g}"
        )
    return ExitCode.OK


def play(args: argparse.Namespace) -> ExitCode:
    """Plays one episode, prints its score, and writes it as a GIF where asked."""
    with _opened(args) as (runner, config):
        from curriculum.show.videos import play_dream, play_episode

        task = _chosen(config, [args.task] if args.task else None)[0]
        ctx = _agent(runner, task)
        film = play_dream if args.dream else play_episode
        seed = env_seed(args.seed, task.name, "play")
        played = film(ctx, seed, gif=Path(args.gif) if args.gif else None)
    where = "its dream" if args.dream else ctx.spec.env_id
    print(
        f"{task.name} ({ctx.backend.mode}) in {where}: "
        f"score {played.score:.1f}, {played.steps} steps"
    )
    if args.gif:
        print(f"written: {args.gif}")
    return ExitCode.OK


COMMANDS: dict[str, Callable[[argparse.Namespace], ExitCode]] = {"evaluate": evaluate, "play": play}


@contextmanager
def _opened(args: argparse.Namespace) -> Iterator[tuple[Runner, Config]]:
    """Opens a run for reading: nothing in its directory is written or locked."""
    rundir = RunDir.open(Path(args.run))
    config = load_config(rundir.config_path)
    probes = probe_all(config.curriculum.timeout_seconds, names=probe_names(config))
    machine: Machine = machine_from(config, probes)
    barrier = Barrier(commit_seconds=float("inf"))
    display = make_display(
        config, quiet=getattr(args, "quiet", True), json=getattr(args, "json", False)
    )
    with display, signals_to(barrier):
        runner = Runner(
            config, rundir, Ledger(Path(os.devnull)), machine, barrier, display.on_progress
        )
        try:
            yield runner, config
        finally:
            runner.close()


def _chosen(config: Config, names: list[str] | None) -> list[TaskConfig]:
    tasks = {task.name: task for task in config.tasks}
    for name in names or ():
        if name not in tasks:
            raise ConfigError(f"this run has no task {name!r}: it has {', '.join(tasks)}")
    return [tasks[name] for name in names] if names else list(tasks.values())


def _agent(runner: Runner, task: TaskConfig) -> StageContext:
    """Finds the agent learned last in the best mode that has one."""
    for mode in LADDER:
        for number in reversed(range(runner.config.curriculum.rounds)):
            directory = runner.rundir.stage_dir(task.name, mode.value, number, "controller")
            if (directory / "result.json").exists():
                return runner.context_of(task, mode.value, number, evaluation.NAME)
    raise NoCheckpoint(
        f"{runner.rundir.path} holds no finished controller for {task.name}: "
        f"run it first, or resume it with: python -m curriculum resume {runner.rundir.path}"
    )


def _evaluated(runner: Runner, task: TaskConfig, args: argparse.Namespace) -> dict[str, Any]:
    ctx = _agent(runner, task)
    try:
        parameters = ctx.completed("controller").arrays["parameters"]
        ctx.pool.refresh((ctx.work(vision=ctx.vision().state(), memory=ctx.memory().state()),))
    except StageFailure as e:
        raise NoCheckpoint(f"the agent of {task.name} cannot be loaded: {e}") from e
    seeds = [env_seed(args.seed, task.name, "again", n) for n in range(args.episodes)]
    played = evaluation.play(ctx, parameters, seeds, sampled=args.sampled)
    scores = np.array([e.score for e in played])
    facts = evaluation.summarise(ctx, scores, np.array([e.steps for e in played])).facts
    return {
        **facts,
        "policy": "sampled" if args.sampled else "greedy",
        "mode": ctx.backend.mode.value,
        "env_id": ctx.spec.env_id,
        "target": ctx.target,
        "seed": args.seed,
    }
