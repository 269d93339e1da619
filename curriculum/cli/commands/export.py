"""`export`, `onnx` and `data`: an agent to be handed on, or as graphs; episodes as a dataset."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

from curriculum.agent.loading import open_bundle
from curriculum.agent.loading import opened as agent_of
from curriculum.cli.agents import opened
from curriculum.cli.card import card
from curriculum.cli.probing import learned_config
from curriculum.config.schema import Config, TaskConfig
from curriculum.datasets.collected import collected_in
from curriculum.datasets.episodes import Dataset
from curriculum.errors import ComponentMissing, ConfigError, ExitCode
from curriculum.mode import least
from curriculum.pretrained.bundle import NAMES
from curriculum.pretrained.export import export
from curriculum.records.files import output_path, write_bytes
from curriculum.records.rundir import RunDir
from curriculum.tasks import chosen

NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_]+")
"""What the id of a dataset cannot hold."""


def export_agent(args: argparse.Namespace) -> ExitCode:
    """Writes an agent with its card, or its dream as a page, and says where."""
    if args.web:
        return _write_page(args)
    rundir = RunDir.open(Path(args.run))
    config = learned_config(rundir.config_path, args)
    task = _one_task(config, args.task)
    directory = Path(args.to).absolute()
    bundle = export(rundir, task.name, directory, partial(card, why=args.why), config)
    size = sum((directory / name).stat().st_size for name in NAMES)
    print(
        f"{args.to}: {bundle.task.name} of round {bundle.round} in {bundle.mode}, "
        f"{size:,} bytes in {len(NAMES)} files; play it with "
        f"python -m curriculum play --pretrained {shlex.quote(str(args.to))}"
    )
    return ExitCode.OK


def _write_page(args: argparse.Namespace) -> ExitCode:
    file = output_path(Path(args.to))
    if file.suffix != ".html":
        raise ConfigError(
            f"--to {args.to} was given for a page, expected a name that ends in .html"
        )
    bundle = open_bundle(args.run, args.task or "", plugins=args.plugins)
    agent = agent_of(bundle)
    try:
        from curriculum.watch.single import write_page
    except ImportError as e:
        raise ComponentMissing(f"a dream is written as a page with torch: {e}") from e
    title = f"The dream of {bundle.task.name}"
    page = write_page(agent, title, bundle.task.dream.temperature, args.seed)
    write_bytes(file, page)
    print(f"written: {args.to}, {len(page):,} bytes; open it in any browser, it needs nothing else")
    return ExitCode.OK


def write_graphs(args: argparse.Namespace) -> ExitCode:
    """Writes an agent's parts as ONNX graphs, and says what they take and give."""
    directory = output_path(Path(args.to))
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"--to {args.to} is a file: give a directory for the graphs")
    with opened(args) as agents:
        from curriculum.onnx.writing import ABOUT, write_onnx

        task = chosen(agents.config, [args.task] if args.task else [])[0]
        graphs = write_onnx(agents.open(task, dreaming=True).agent, directory)
    for graph in graphs:
        given, told = (", ".join(names) for names in (graph.inputs, graph.outputs))
        print(
            f"{directory / graph.file}: {given} -> {told}, from the agent "
            f"{graph.difference:.1e} at most"
        )
    print(f"{directory / ABOUT}: shapes, features and actions")
    return ExitCode.OK


def export_data(args: argparse.Namespace) -> ExitCode:
    """Writes what a run has collected as a Minari dataset, and says where."""
    rundir = RunDir.open(Path(args.run))
    with opened(args) as agents:
        from curriculum.minari.writing import write_minari

        task = _one_task(agents.config, args.task)
        simulated, rounds = collected_in(rundir, task.name, args.rounds)
        spec = agents.environment(task, least(simulates=simulated).value)
        data = Dataset(rounds)
        run = NOT_IN_IDS.sub("-", rundir.path.name).strip("-") or "run"
        named = args.id or f"{task.name}/{run}-v0"
        about = f"{data.num_episodes} episodes of {spec.env_id}, as the task {task.name} shows them"
        directory = write_minari(data, spec, named, about)
    print(
        f"{named}: {data.num_episodes} episodes, {data.num_steps:,} steps of {spec.env_id}, in "
        f"{directory}; learn from it with python -m curriculum run default --tasks {task.name} "
        f"--set collect.dataset={named}"
    )
    return ExitCode.OK


COMMANDS: dict[str, Callable[[argparse.Namespace], ExitCode]] = {
    "export": export_agent,
    "onnx": write_graphs,
    "data": export_data,
}


def _one_task(config: Config, named: str | None) -> TaskConfig:
    tasks = chosen(config, [named] if named else [])
    if len(tasks) != 1:
        names = ", ".join(task.name for task in tasks)
        raise ConfigError(f"this run has several tasks, {names}: choose with --task")
    return tasks[0]
