"""The door of `python -m diagnostics`: arguments here, the work in modules loaded when chosen."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

EPILOG = """\
examples:
  python -m diagnostics check                      what works here, and which mode each task gets
  python -m diagnostics check --task lunarlander   only what one task needs
  python -m diagnostics check --fresh --json -     probe again; JSON on stdout, tables on stderr
  python -m diagnostics imports                    do the light commands stay light?
  python -m diagnostics vet my_extension.py        review an extension, a config or a run directory
  python -m diagnostics contract vision mine --plugins my_vision   does it keep to its contract?
  python -m diagnostics bench controller           how fast is this machine?
  python -m diagnostics map --out plan.svg         which package imports which, as a drawing

exit codes: 0 all is well, 1 a check failed, 2 wrong usage, 4 FULL is not possible,
7 a file could not be written, 130 Ctrl-C, 143 terminated
"""
TIMEOUT_RANGE_S = (5.0, 60.0)
LOOK_RANGE_S = (1.0, 3600.0)


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser; each command's `module` is imported only when it is run."""
    parser = argparse.ArgumentParser(
        prog="python -m diagnostics",
        description="Finds out what this machine can run, safely, and says how to mend the rest.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_check(commands)
    _add_imports(commands)
    _add_vet(commands)
    _add_bench(commands)
    _add_contract(commands)
    _add_map(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    args = build_parser().parse_args(argv)
    from curriculum.errors import CurriculumError, ExitCode

    signal.signal(signal.SIGTERM, _terminate)
    try:
        return importlib.import_module(args.module).main(args)
    except CurriculumError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("stopped by Ctrl-C; nothing was left running", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    # An exception instead of death, so that running probes are killed on the way out.
    raise SystemExit(128 + number)


def _add_contract(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "contract",
        help="try whether a V, an M or a solver of your own keeps to its contract",
        description="Lets a part learn something small, and tries what else is promised of it: "
        "numbers that stay finite, a state that another one takes over bit for bit. Exits 0 if all "
        "is as it should be, else 1.",
    )
    parser.add_argument("kind", choices=("vision", "memory", "solver"))
    parser.add_argument("name", metavar="NAME", help="that it is registered by")
    parser.add_argument(
        "--plugins", metavar="A,B", default="", help="modules that register it as they are imported"
    )
    parser.add_argument(
        "--updates", type=int, default=300, metavar="N", help="that it may take (300)"
    )
    parser.set_defaults(module="diagnostics.contract")


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "check",
        help="probe every component and name the mode of each task",
        description="Imports and uses every component in guarded subprocesses, side by side, then "
        "names the mode each task gets and why. Exits 0 only when FULL is possible, else 4. "
        "Results are remembered: successes for a week, failures for ten minutes, time-outs never.",
    )
    parser.add_argument(
        *("--timeout", "--probe-timeout"),
        type=_timeout,
        default=15.0,
        metavar="S",
        help="seconds of its own per probe, 5-60 (15); a busy machine gives it up to 8 times that",
    )
    parser.add_argument("--fresh", action="store_true", help="probe again, whatever is remembered")
    parser.add_argument("--json", metavar="FILE", help="also write the findings; - is stdout")
    parser.add_argument(
        "--task", nargs="+", metavar="NAME", help="only these tasks, and only what they need"
    )
    parser.add_argument(
        "--component", nargs="+", metavar="NAME", help="only these components; no tasks"
    )
    parser.set_defaults(module="diagnostics.check")


def _add_imports(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "imports",
        help="verify that light commands start fast and load nothing heavy",
        description="Measures imports and --help in fresh interpreters (median of five) and fails, "
        "with exit code 1, if one is too slow or loads a heavy module such as torch. Time spent "
        "waiting for a processor does not count.",
    )
    parser.add_argument(
        "--check", action="store_true", help="for CI: measure again what seems to be too slow"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the findings; - is stdout")
    parser.set_defaults(module="diagnostics.imports")


def _add_vet(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "vet",
        help="review an installation, an extension, configs or run directories",
        description="Reviews Python files (lint, contracts of the environments they register), "
        "configuration files and run directories; without paths, this installation. Each look is "
        "taken in a guarded subprocess: what hangs, crashes or exits there is a finding.",
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files or directories to review")
    parser.add_argument("--fix", action="store_true", help="mend what can be mended safely")
    parser.add_argument(
        "--timeout", type=_look, default=120.0, metavar="S", help="seconds per look, 1-3600 (120)"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the findings; - is stdout")
    parser.set_defaults(module="diagnostics.vetting.command")


def _add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "bench",
        help="measure controllers, V, M, dreams and environments",
        description="Measures throughput with warm-up and medians; without suites, all of them. "
        "Only when named: growth (memory), and off-policy (steps that learners from a replay need "
        "beside those of Stable-Baselines3).",
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="what to measure")
    parser.add_argument(
        "--check",
        action="store_true",
        help="for CI: exit 1 if anything is, in three tries, not half as fast as it should be "
        "beside what it is compared with, or grows",
    )
    parser.add_argument(
        "--repeats", type=int, default=5, metavar="N", help="runs per figure, or seeds (5)"
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help="off-policy: cut each training after so many steps"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the figures; - is stdout")
    parser.set_defaults(module="diagnostics.bench")


def _add_map(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "map",
        help="draw which package imports which, on the floors of the house",
        description="Reads a source tree without running it and shows its packages on their "
        "floors, their sizes, who imports whom, and what goes up or round in a circle.",
    )
    parser.add_argument("path", nargs="?", metavar="PATH", help="another checkout than this one")
    parser.add_argument("--out", metavar="FILE", help="write it: .svg or .png a drawing, .txt text")
    parser.set_defaults(module="diagnostics.architecture.command")


def _timeout(text: str) -> float:
    return _seconds(text, *TIMEOUT_RANGE_S)


def _look(text: str) -> float:
    return _seconds(text, *LOOK_RANGE_S)


def _seconds(text: str, low: float, high: float) -> float:
    try:
        seconds = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from error
    if not low <= seconds <= high:
        raise argparse.ArgumentTypeError(f"{text} s is not between {low:g} and {high:g}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
