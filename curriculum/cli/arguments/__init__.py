"""What can be typed: every command, option and example; importing this loads only argparse."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from curriculum import series
from curriculum.cli.arguments import looking, running
from curriculum.cli.arguments.readers import spelled_out

EPILOG = """\
examples:
  python -m curriculum demo                                   what this is, in seconds
  python -m curriculum run configs/quick.yaml                 all four tasks in minutes
  python -m curriculum run default --tasks pong               one task, full budgets
  python -m curriculum run --env LunarLander-v3               the same, by the name of its game
  python -m curriculum run configs/default.yaml --seeds 0-4 --jobs 2   five runs, one report
  python -m curriculum resume runs/default                    go on after any stop
  python -m curriculum evaluate runs/default --episodes 100   score again, on other seeds
  python -m curriculum evaluate --pretrained pong             score an agent that is shipped
  python -m curriculum report runs/default                    tables from the ledger

exit codes: 0 all targets met, 1 internal error, 2 usage or configuration, 3 a target missed,
  4 component missing, 5 no usable checkpoint, 6 run directory locked, 7 I/O error,
  8 an environment or plugin of yours failed,
  75 stopped but resumable, 130 Ctrl-C, 143 SIGTERM (both after a commit)
"""


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of `python -m curriculum`."""
    parser = _Parser(
        prog="wmc" if Path(sys.argv[0]).name == "wmc" else "python -m curriculum",
        description="Learns world models on a curriculum of games; steps down, does not fall over.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, help="show which version this is")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    looking.add_demo(commands)
    running.add_run(commands)
    running.add_resume(commands)
    looking.add_writing(commands)
    looking.add_inspection(commands)
    looking.add_evaluate(commands)
    looking.add_play(commands)
    looking.add_laps(commands)
    looking.add_watch(commands)
    looking.add_export(commands)
    looking.add_onnx(commands)
    looking.add_data(commands)
    return parser


class _Parser(argparse.ArgumentParser):
    """A parser whose switches never take the next word for their value."""

    def parse_known_args(self, args=None, namespace=None):
        given = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(spelled_out(given), namespace)


class _Version(argparse.Action):
    """Prints the version, which is looked up only where it is asked for."""

    def __init__(self, option_strings, dest, **more) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **more)

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        from diagnostics.distribution import NAME, version

        print(f"{NAME} {version()}, Python {sys.version.split()[0]}")
        parser.exit()


def of_several_seeds(args: argparse.Namespace) -> bool:
    """Tells whether a command is about runs of several seeds, and so has no engine of its own."""
    if args.command == "run":
        return args.seeds is not None
    runs = [args.run] if args.command == "resume" else vars(args).get("runs", [])
    return len(runs) == 1 and series.exists(Path(runs[0]))
