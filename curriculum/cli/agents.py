"""Opens agents to be played: those of a run, and pretrained ones as if they were a run's."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from curriculum.backends.backend import load_backend
from curriculum.backends.unread import NOT_READ
from curriculum.cli.probing import learned_config, tell
from curriculum.config.loading import dump
from curriculum.config.plugins import require_agreed
from curriculum.config.schema import Config, TaskConfig
from curriculum.errors import ComponentMissing, ConfigError, NoCheckpoint
from curriculum.mode import LADDER, decide
from curriculum.pretrained.bundle import TASK, Bundle, load
from curriculum.pretrained.declared import require_held
from curriculum.pretrained.finding import find, learned_in
from curriculum.progress import Unwatched
from curriculum.records.agent_state import AgentState, with_moments_of
from curriculum.records.files import write_json
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.runs.machine import machine_from, mending, probe_names
from curriculum.runs.runner import Runner
from curriculum.show.dashboard import make_display
from curriculum.stages import evaluate as evaluation
from curriculum.stages.stage import StageContext
from curriculum.stops import Barrier, signals_to
from curriculum.tasks import needs_to_play
from diagnostics.cache import probe_all
from models.interfaces import Memory, State, Vision

_Model = TypeVar("_Model", Vision, Memory)


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[Runner]:
    """Opens the run, or the pretrained agent, that the command line names.

    Nothing is written or locked in a run. A pretrained agent is unpacked into a temporary one.

    Raises:
        ConfigError: neither is named, or both, or it is not there.
        NoCheckpoint: a pretrained agent cannot be used.
        ComponentMissing: this machine lacks what a pretrained agent needs.
    """
    if bool(args.run) == bool(args.pretrained):
        raise ConfigError("give either a run directory, or --pretrained with a name or a directory")
    if args.run:
        rundir = RunDir.open(Path(args.run))
        config = learned_config(rundir.config_path, args)
        require_agreed(config, getattr(args, "plugins", ()), rundir.given)
        with _running(config, rundir, args) as runner:
            yield runner
        return
    directory = find(args.pretrained)
    bundle = load(directory)
    bundle = replace(bundle, config=learned_config(directory / TASK, args))
    with TemporaryDirectory(prefix="pretrained-") as directory:
        rundir = RunDir.create(Path(directory) / "run", dump(bundle.config))
        # Episodes are played on the CPU wherever the agent was learned.
        curriculum = replace(bundle.config.curriculum, device="cpu")
        with _running(replace(bundle.config, curriculum=curriculum), rundir, args) as runner:
            _unpack(bundle, runner, args.dream)
            yield runner


def agent_of(runner: Runner, task: TaskConfig, dreaming: bool = False) -> StageContext:
    """Returns the context to play the agent that was learned last in the best mode that has one.

    Args:
        runner: of the run.
        task: of the run.
        dreaming: whether M is needed even where C does not read it.

    Raises:
        NoCheckpoint: nothing was learned.
        ComponentMissing: this machine lacks what the agent needs.
    """
    mode, last = learned_in(runner.rundir, runner.config, task.name)
    return _context(runner, task, mode, last, dreaming)


@contextmanager
def _running(config: Config, rundir: RunDir, args: argparse.Namespace) -> Iterator[Runner]:
    env_id = getattr(args, "env_id", None)
    if env_id:
        config = replace(config, tasks=tuple(replace(t, env_id=env_id) for t in config.tasks))
    quiet = getattr(args, "quiet", False)
    probes = probe_all(
        config.curriculum.timeout_seconds,
        names=probe_names(config, partial(needs_to_play, dreaming=args.dream)),
        notice=None if quiet else tell,
    )
    machine = machine_from(config, probes)
    workers = getattr(args, "workers", None)
    if workers is not None:
        machine = replace(machine, workers=workers)
    if machine.workers == 0:
        # torch is not loaded yet; with a worker's one thread it adds in a worker's order.
        os.environ["OMP_NUM_THREADS"] = "1"
    watcher = getattr(args, "watcher", Unwatched())
    barrier = Barrier(commit_seconds=float("inf"), watcher=watcher)
    display = make_display(
        config, quiet=getattr(args, "quiet", True), json=getattr(args, "json", False)
    )
    with display, signals_to(barrier):
        runner = Runner(
            config,
            rundir,
            Ledger(Path(os.devnull)),
            machine,
            barrier,
            display.on_progress,
            watcher=watcher,
        )
        try:
            yield runner
        finally:
            runner.close()


def _context(
    runner: Runner, task: TaskConfig, mode: str, number: int, dreaming: bool
) -> StageContext:
    """Returns the context of an agent that can be played here; M stays away if nothing reads it."""
    _require(runner, task, mode, dreaming)
    ctx = runner.context_of(task, mode, number, evaluation.NAME)
    if "mdnrnn" in needs_to_play(task, dreaming).world_model:
        return ctx
    states = {**ctx.states, "mdnrnn": NOT_READ}
    return replace(ctx, states=states, backend=load_backend(mode, states, runner.machine.device))


def _require(runner: Runner, task: TaskConfig, mode: str, dreaming: bool) -> None:
    machine, needs = runner.machine, needs_to_play(task, dreaming)
    timeout_s = runner.config.curriculum.timeout_seconds
    decision = decide(machine.states, needs, mode, machine.details)
    if decision.mode is None:
        raise ComponentMissing(
            f"the agent of {task.name} was learned in mode {mode} and plays in no other: "
            f"{'; '.join(decision.reasons)}{mending(machine, decision.missing, timeout_s)}"
        )


def _unpack(bundle: Bundle, runner: Runner, dreaming: bool) -> None:
    """Leaves the bundle in the runner's directory as the finished stages of round 0 would."""
    (task,) = runner.config.tasks
    other = task.env_id != bundle.task.env_id
    if other and bundle.mode == LADDER[-1].value:
        raise ConfigError(
            f"this agent was learned in {bundle.mode} and plays no real environment: leave "
            f"--env-id away"
        )
    require_held(bundle)
    ctx = _context(runner, task, bundle.mode, 0, dreaming)
    try:
        vision = _loaded(ctx.new_vision(), bundle.learned.vision)
        memory = _loaded(ctx.new_memory(), bundle.learned.memory)
        features = ctx.num_features(vision, memory)
        controller = ctx.backend.make_controller(ctx.task, ctx.spec.action, features)
        controller.set_parameters(bundle.learned.parameters)
    except ValueError as e:
        if other:
            raise ConfigError(
                f"the agent of {task.name} cannot play {task.env_id}: it needs observations and "
                f"actions like those of {bundle.task.env_id}: {e}"
            ) from e
        raise NoCheckpoint(
            f"the weights of {task.name} do not fit its task.yaml: {e}; take the agent anew from "
            f"where it came from"
        ) from e
    learned: dict[str, State] = {"vision": vision.state(), "memory": memory.state()}
    learned["controller"] = AgentState(bundle.learned.parameters).arrays()
    for stage, arrays in learned.items():
        there = ctx.at(stage)
        there.store.save(arrays, {}, complete=True)
        write_json(there.directory / "result.json", {})


def _loaded(model: _Model, learned: State) -> _Model:
    """Loads what a bundle holds; what it leaves out is as in a model that has learned nothing."""
    model.load_state(with_moments_of(model.state(), learned))
    return model
