"""What the commands take that look at runs, agents and configurations."""

from __future__ import annotations

import argparse

from curriculum.cli.arguments.readers import natural, positive
from curriculum.cli.arguments.shared import (
    CONFIG_HELP,
    PRESETS,
    add_display,
    add_plugins,
    add_probe_timeout,
    add_set,
    command,
)
from curriculum.lists import names


def add_writing(commands) -> None:
    init = command(commands, "init", "inspect", "write a configuration of your own to edit")
    init.add_argument(
        "name", nargs="?", default="default", metavar="NAME", help="which to begin with (default)"
    )
    init.add_argument("--out", metavar="FILE", help="where to write it (NAME.yaml)")
    init.add_argument("--force", action="store_true", help="write over a file that is there")

    completion = command(
        commands,
        "completion",
        "inspect",
        "print what has a shell complete the words of wmc",
        description=(
            "Prints what has a shell complete the words of wmc. With bash, for example:\n"
            "  wmc completion bash > ~/.local/share/bash-completion/completions/wmc"
        ),
    )
    completion.add_argument("shell", choices=("bash", "zsh"), help="which shell")

    keys = command(
        commands, "keys", "inspect", "list every key with its default, range and meaning"
    )
    keys.add_argument(
        "--schema", action="store_true", help="as a JSON Schema, for editors that complete YAML"
    )


def add_demo(commands) -> None:
    demo = command(
        commands,
        "demo",
        "demo",
        "see in seconds what this is: a dream is learned, and learned in",
        description=(
            "Balances a pole with a controller that learns in dreams, in nothing but numpy, and\n"
            "shows it. With --train-linear, --compare or --benchmark, controllers alone."
        ),
    )
    demo.add_argument("--seed", type=natural, default=0, metavar="N", help="default: 0")
    demo.add_argument(
        "--run-dir", metavar="D", help="keep the run here (it is deleted if not given)"
    )
    demo.add_argument("--no-film", action="store_true", help="show no pictures in the terminal")
    demo.add_argument("--dream", action="store_true", help="controllers alone, in a seeded dream:")
    alone = demo.add_mutually_exclusive_group()
    alone.add_argument("--train-linear", action="store_true", help="a linear one learns in it")
    alone.add_argument("--compare", action="store_true", help="linear against MLP-32 and MLP-128")
    alone.add_argument("--benchmark", action="store_true", help="how fast they choose actions")


def add_inspection(commands) -> None:
    validate = command(
        commands, "validate", "inspect", "check a configuration and show what it means"
    )
    validate.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    add_set(validate, "set any key")
    validate.add_argument("--preset", choices=PRESETS, help="budgets laid over it")
    validate.add_argument("--full", action="store_true", help="print the resolved configuration")

    tasks = command(commands, "tasks", "inspect", "list the tasks and their targets")
    tasks.add_argument("config", nargs="?", metavar="CONFIG", help="a configuration's tasks")
    tasks.add_argument("--json", action="store_true", help="print JSON")

    report = command(commands, "report", "inspect", "tables of one run or several")
    report.add_argument("runs", nargs="+", metavar="RUN", help="run directories")
    report.add_argument("--json", action="store_true", help="print JSON")
    report.add_argument(
        "--html", metavar="FILE", help="also write them as a page with curves (needs matplotlib)"
    )


def add_evaluate(commands) -> None:
    evaluate = command(
        commands,
        "evaluate",
        "play",
        "score an agent again, on fresh seeds",
        description=(
            "Scores the agents of a run, or a pretrained one, on seeds that neither training nor\n"
            "the run's evaluation used. Exits 0 if the policy that judges reaches the target:\n"
            "the one that evaluate.sampled chooses, or the only one that is asked for; else 3."
        ),
    )
    _add_agent(evaluate)
    evaluate.add_argument(
        "--episodes", type=positive, default=100, metavar="N", help="default: 100"
    )
    evaluate.add_argument(
        "--task", "--tasks", type=names, dest="tasks", metavar="A,B", help="only these tasks"
    )
    evaluate.add_argument(
        "--seed", type=natural, default=1, metavar="N", help="of the episodes (default: 1)"
    )
    evaluate.add_argument("--greedy", action="store_true", help="only the most likely actions")
    evaluate.add_argument("--sampled", action="store_true", help="only actions drawn from C")
    evaluate.add_argument(
        "--workers", type=natural, metavar="N", help="processes; results do not depend on it"
    )
    evaluate.add_argument(
        "--env-id", metavar="ID", help="play here instead; it must look and act alike"
    )
    evaluate.set_defaults(dream=False)
    add_probe_timeout(evaluate)
    add_set(evaluate)
    add_display(evaluate)


def add_play(commands) -> None:
    play = command(commands, "play", "play", "watch an agent, for real or in its dream")
    _add_agent(play)
    play.add_argument(
        "--task", metavar="T", help="which task (default: the first that was learned)"
    )
    where = play.add_mutually_exclusive_group()
    where.add_argument("--dream", action="store_true", help="play inside M and decode its latents")
    where.add_argument(
        "--beside-dream", action="store_true", help="play both from the same frame, side by side"
    )
    play.add_argument(
        "--film",
        "--gif",
        dest="film",
        metavar="F",
        help="write the episode to this file instead of showing it: .gif (its first 30 s) or .mp4",
    )
    play.add_argument("--no-film", action="store_true", help="show no pictures in the terminal")
    play.add_argument("--seed", type=natural, default=1, metavar="N", help="of the episode")
    add_probe_timeout(play)
    add_set(play)


def add_laps(commands) -> None:
    laps = command(
        commands,
        "laps",
        "play",
        "see what becomes of a driver's laps, in numbers and a picture",
        description=(
            "Drives greedy laps on fresh seeds and tells of each how many tiles were visited and\n"
            "left behind, when the car came round, and where it left the road. The picture shows\n"
            "the worst and the median lap, missed tiles marked. CarRacing tells of laps."
        ),
    )
    _add_agent(laps)
    laps.add_argument(
        "--task", metavar="T", help="which task (default: the first that was learned)"
    )
    laps.add_argument("--episodes", type=positive, default=20, metavar="N", help="default: 20")
    laps.add_argument(
        "--seed", type=natural, default=1, metavar="N", help="of the episodes (default: 1)"
    )
    laps.add_argument("--png", metavar="F", help="write the picture to this file")
    laps.add_argument(
        "--workers", type=natural, metavar="N", help="processes; results do not depend on it"
    )
    laps.set_defaults(dream=False)
    add_probe_timeout(laps)
    add_set(laps)
    add_display(laps)


def add_watch(commands) -> None:
    watch = command(
        commands,
        "watch",
        "watch",
        "see runs go on, and play with their agents and in their dreams, in a browser",
        description=(
            "Serves a page on this machine: what runs do, and their agents in reality and in\n"
            "their dreams, with yourself at the keys if you like. It speaks to no other machine."
        ),
    )
    watch.add_argument("runs", nargs="*", metavar="RUN", help="run directories")
    watch.add_argument(
        "--pretrained", nargs="+", metavar="NAME", help="agents that are shipped, or were exported"
    )
    watch.add_argument(
        "--port", type=natural, default=0, metavar="N", help="to listen on (0: a free one)"
    )
    watch.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="A",
        help="address to listen on; elsewhere than on this machine alone a token is asked for",
    )
    watch.add_argument("--open", action="store_true", help="open a browser")
    add_plugins(watch)


def add_onnx(commands) -> None:
    onnx = command(
        commands,
        "onnx",
        "export",
        "write V, M and C of an agent as ONNX graphs",
        description=(
            "Writes what an agent is made of for other programs, tries it with ONNX's runtime and\n"
            "refuses what says something else than the agent. onnx.json tells inputs and outputs."
        ),
    )
    _add_agent(onnx)
    onnx.add_argument("--task", metavar="T", help="which task of the run, where it has several")
    onnx.add_argument("--to", required=True, metavar="DIR", help="where to write the graphs")
    onnx.set_defaults(dream=True)
    add_probe_timeout(onnx)
    add_set(onnx)


def add_data(commands) -> None:
    data = command(
        commands,
        "data",
        "export",
        "write the episodes of a run in a public format",
        description=(
            "Writes what a run has collected as a dataset of Minari (extra minari), which\n"
            "minari.load_dataset(ID) opens. The way back is the key collect.dataset: V and M\n"
            "learn from a dataset in place of episodes that are played at random."
        ),
    )
    data.add_argument("what", choices=("export",), help="what to do")
    data.add_argument("run", metavar="RUN", help="a run directory")
    data.add_argument("--task", metavar="T", help="which task, if the run has several")
    data.add_argument("--to", choices=("minari",), default="minari", help="format (minari)")
    data.add_argument(
        "--id", default="", metavar="ID", help="of the dataset (TASK/RUN-v0); its version is last"
    )
    data.add_argument(
        "--rounds", type=natural, nargs="+", metavar="N", help="which rounds, from 0 (all)"
    )
    data.set_defaults(pretrained=None, dream=False)
    add_plugins(data)
    add_probe_timeout(data)
    add_set(data)


def add_export(commands) -> None:
    export = command(
        commands,
        "export",
        "export",
        "write a run's agent as a directory to hand on, or its dream as one page",
    )
    export.add_argument(
        "run", metavar="RUN", help="a run directory; with --web also a pretrained agent, e.g. pong"
    )
    export.add_argument(
        "--web",
        action="store_true",
        help="write the dream as a page that needs no server and no network: --to dream.html",
    )
    export.add_argument("--seed", type=natural, default=0, help="of what dreams begin with (0)")
    export.add_argument("--task", metavar="T", help="which task, if the run has several")
    export.add_argument(
        "--to", required=True, metavar="D", help="directory, e.g. models/pretrained/pong"
    )
    export.add_argument(
        "--why", default="", metavar="TEXT", help="why this run and seed, for the card"
    )
    add_plugins(export)
    add_probe_timeout(export)
    add_set(export)


def _add_agent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help="a run directory")
    parser.add_argument(
        "--pretrained",
        metavar="NAME",
        help="instead of RUN: an agent in models/pretrained, or a directory that export wrote",
    )
    add_plugins(parser)
