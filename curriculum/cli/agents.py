"""Opens agents to be played by commands: those of a run, and pretrained ones."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from curriculum.agent import work
from curriculum.agent.agent import Agent
from curriculum.agent.loading import agent_from
from curriculum.agent.work import WorkSpec
from curriculum.backends.backend import Backend, fitted, import_plugins
from curriculum.backends.components import ImportFailed
from curriculum.backends.unread import NOT_READ
from curriculum.cli.probing import learned_config, tell
from curriculum.config.plugins import require_agreed
from curriculum.config.schema import Config, TaskConfig
from curriculum.envs.interface import EnvSpec
from curriculum.errors import ComponentMissing, ConfigError, NoCheckpoint, StageFailure
from curriculum.mode import decide
from curriculum.pool import Pool
from curriculum.pretrained.bundle import TASK, Bundle, load
from curriculum.pretrained.export import gather
from curriculum.pretrained.finding import find
from curriculum.progress import Listener, Unwatched, Watcher
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.runs.endings import unsuitable
from curriculum.runs.imports import Machine, announced_to, guarded, import_backend
from curriculum.runs.machine import machine_from, mending, probe_names
from curriculum.show.dashboard import make_display
from curriculum.stops import Barrier, signals_to
from curriculum.tasks import needs_to_play
from diagnostics.cache import probe_all
from models.numeric.threads import allow_one_thread


@dataclass(frozen=True)
class OpenedAgent:
    """A learned agent and what plays it.

    Attributes:
        agent: ready to play.
        task: what it plays, as its backend can.
        backend: of the mode it was learned in.
        work: the same agent, for workers.
    """

    agent: Agent
    task: TaskConfig
    backend: Backend
    work: WorkSpec

    @property
    def target(self) -> float:
        """The score that passes in its environments."""
        return self.task.target_of(simulated=self.backend.environment == "simulation")


@dataclass(frozen=True)
class Agents:
    """The agents of a run, or a pretrained one, on this machine.

    Attributes:
        config: what they are played with.
        machine: what this machine can do.
        executor: plays whole episodes.
        barrier, listener, watcher: as in a run.
        bundle_of: reads what was learned of a task.
    """

    config: Config
    machine: Machine
    executor: Pool
    barrier: Barrier
    listener: Listener
    watcher: Watcher
    bundle_of: Callable[[TaskConfig], Bundle]

    def open(self, task: TaskConfig, dreaming: bool = False) -> OpenedAgent:
        """Opens the agent that was learned last in the best mode that has one.

        Args:
            task: one of the configuration's.
            dreaming: whether M is needed even where C does not read it.

        Raises:
            NoCheckpoint: nothing was learned, or it cannot be used.
            ComponentMissing: this machine lacks what the agent needs.
        """
        bundle = self.bundle_of(task)
        self._require(task, bundle.mode, dreaming)
        machine = self.machine
        if "mdnrnn" not in needs_to_play(task, dreaming).world_model:
            # M stays away if nothing reads it.
            machine = replace(machine, states={**machine.states, "mdnrnn": NOT_READ})
        what = f"the agent of {task.name} cannot play in {bundle.mode}"
        backend = self._backend(task, bundle.mode, machine, what)
        spec = self._look_at(task, backend)
        work_spec = WorkSpec(
            task=fitted(task, backend),
            mode=bundle.mode,
            states=dict(machine.states),
            plugins=self.config.curriculum.plugins,
            learned=bundle.learned,
        )
        agent = self._built(bundle, backend, spec, task)
        return OpenedAgent(agent, work_spec.task, backend, work_spec)

    def environment(self, task: TaskConfig, mode: str) -> EnvSpec:
        """Returns what a task's environments look like in a mode.

        Raises:
            ComponentMissing: this machine lacks what they need.
        """
        what = f"the environment of {task.name} cannot be made in {mode}"
        return self._look_at(task, self._backend(task, mode, self.machine, what))

    def _backend(self, task: TaskConfig, mode: str, machine: Machine, what: str) -> Backend:
        ledger = Ledger(Path(os.devnull))
        try:
            return import_backend(task, mode, machine, ledger, self.watcher)
        except ImportFailed as e:
            raise ComponentMissing(f"{what}: {e}") from e

    def _require(self, task: TaskConfig, mode: str, dreaming: bool) -> None:
        machine, needs = self.machine, needs_to_play(task, dreaming)
        decision = decide(machine.states, needs, mode, machine.details)
        if decision.mode is None:
            mended = mending(machine, decision.missing, self.config.curriculum.timeout_seconds)
            raise ComponentMissing(
                f"the agent of {task.name} was learned in mode {mode} and plays in no other: "
                f"{'; '.join(decision.reasons)}{mended}"
            )

    def _look_at(self, task: TaskConfig, backend: Backend) -> EnvSpec:
        """Builds one environment to learn its shapes."""

        def look() -> EnvSpec:
            with unsuitable(task):
                env = backend.make_env(task, 1, lambda text: None)
            env.close()
            return env.spec

        looking = partial(guarded, look, f"the environment {task.env_id} cannot be made")
        return self.barrier.breaking_off(looking, lambda: None)

    def _built(self, bundle: Bundle, backend: Backend, spec: EnvSpec, task: TaskConfig) -> Agent:
        building = partial(agent_from, bundle, backend, spec, task)
        try:
            return guarded(building, "its parts cannot be built")
        except StageFailure as e:
            raise NoCheckpoint(f"the agent of {task.name} cannot be loaded: {e}") from e


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[Agents]:
    """Opens the run, or the pretrained agent, that the command line names; nothing is written.

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
        gathered = partial(_gathered, rundir, config)
    else:
        directory = find(args.pretrained)
        bundle = load(directory)
        config = learned_config(directory / TASK, args)
        # Episodes are played on the CPU wherever the agent was learned.
        config = replace(config, curriculum=replace(config.curriculum, device="cpu"))
        gathered = partial(_handed_on, bundle)
    env_id = getattr(args, "env_id", None)
    if env_id:
        config = replace(config, tasks=tuple(replace(t, env_id=env_id) for t in config.tasks))
    with _running(config, gathered, args) as agents:
        yield agents


def _gathered(rundir: RunDir, config: Config, task: TaskConfig) -> Bundle:
    return gather(rundir, task.name, config)


def _handed_on(bundle: Bundle, task: TaskConfig) -> Bundle:
    return bundle


@contextmanager
def _running(
    config: Config, bundle_of: Callable[[TaskConfig], Bundle], args: argparse.Namespace
) -> Iterator[Agents]:
    quiet = getattr(args, "quiet", False)
    dreaming = args.dream or getattr(args, "beside_dream", False)
    probes = probe_all(
        config.curriculum.timeout_seconds,
        names=probe_names(config, partial(needs_to_play, dreaming=dreaming)),
        notice=None if quiet else tell,
    )
    machine = machine_from(config, probes)
    workers = getattr(args, "workers", None)
    if workers is not None:
        machine = replace(machine, workers=workers)
    if machine.workers == 0:
        # torch is not loaded yet; with a worker's one thread it adds in a worker's order.
        allow_one_thread()
    watcher = getattr(args, "watcher", Unwatched())
    barrier = Barrier(commit_seconds=float("inf"), watcher=watcher)
    display = make_display(
        config, quiet=getattr(args, "quiet", True), json=getattr(args, "json", False)
    )
    with display, signals_to(barrier):
        import_plugins(config.curriculum.plugins, announced_to(watcher))
        executor = Pool(
            machine.workers,
            build=work.build,
            deadline_s=config.curriculum.unit_deadline_seconds,
            breakable=barrier.breakable,
        )
        listener = display.on_progress
        try:
            yield Agents(config, machine, executor, barrier, listener, watcher, bundle_of)
        finally:
            executor.close()
