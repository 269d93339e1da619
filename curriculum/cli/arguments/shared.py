"""Options that several commands have."""

from __future__ import annotations

import argparse

from curriculum.cli.arguments.readers import seconds
from curriculum.lists import names

PRESETS = ("quick", "full", "paper")
CONFIG_HELP = "YAML file, or default, quick, simulation, dreams or demo, which come along"


def command(commands, name: str, module: str, help: str, **more) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=help,
        description=more.pop("description", help),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **more,
    )
    parser.set_defaults(module=module)
    return parser


def add_display(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    parser.add_argument("--quiet", action="store_true", help="show only the final table")


def add_probe_timeout(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--probe-timeout",
        type=seconds,
        metavar="S",
        help="limit of one component probe, 5 to 60 (same as --set curriculum.timeout_seconds=S)",
    )


def add_set(
    parser: argparse._ActionsContainer,
    help: str = "set a key over those it was learned with, e.g. --set evaluate.confidence=0.9",
) -> None:
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="K=V", help=help)


def add_plugins(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--plugins",
        type=names,
        default=[],
        metavar="A,B",
        help="modules that the run may import: those it was started with, if you trust them",
    )


def add_step_down(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--step-down",
        action="store_true",
        help="go on in a lesser mode where the one that a task was begun in cannot be had",
    )
