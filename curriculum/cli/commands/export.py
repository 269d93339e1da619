"""`export` and `onnx`: an agent as a directory that can be handed on, or as graphs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from curriculum.cli.agents import opened
from curriculum.cli.card import card
from curriculum.cli.probing import learned_config
from curriculum.errors import ConfigError, ExitCode
from curriculum.pretrained.bundle import NAMES
from curriculum.pretrained.export import export
from curriculum.records.rundir import RunDir
from curriculum.tasks import chosen


def export_agent(args: argparse.Namespace) -> ExitCode:
    """Writes an agent with its card, and says where."""
    rundir = RunDir.open(Path(args.run))
    config = learned_config(rundir.config_path, args)
    tasks = [task.name for task in chosen(config, [args.task] if args.task else [])]
    if len(tasks) != 1:
        raise ConfigError(f"this run has several tasks, {', '.join(tasks)}: choose with --task")
    directory = Path(args.to).absolute()
    bundle = export(rundir, tasks[0], directory, partial(card, why=args.why), config)
    size = sum((directory / name).stat().st_size for name in NAMES)
    print(
        f"{args.to}: {bundle.task.name} of round {bundle.round} in {bundle.mode}, "
        f"{size:,} bytes in {len(NAMES)} files; play it with "
        f"python -m curriculum play --pretrained {args.to}"
    )
    return ExitCode.OK


def write_graphs(args: argparse.Namespace) -> ExitCode:
    """Writes an agent's parts as ONNX graphs, and says what they take and give."""
    directory = Path(args.to)
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


COMMANDS: dict[str, Callable[[argparse.Namespace], ExitCode]] = {
    "export": export_agent,
    "onnx": write_graphs,
}
