"""The command line: parses, hands over to one module per group of commands, maps errors to codes.

Parsing imports nothing heavy; a command's module is imported only when it runs.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence

from curriculum.cli.arguments import build_parser, of_several_seeds
from curriculum.errors import CurriculumError, ExitCode, Stopped
from curriculum.progress import Unwatched, Watcher, say
from curriculum.stops import ending_on_signals
from models.numeric.threads import wait_passively


def main(argv: Sequence[str] | None = None, watcher: Watcher | None = None) -> int:
    """Runs one command in this process and returns its exit code (README lists them).

    Args:
        argv: what was typed; that of this process if None.
        watcher: the process that watches this one, if any does.
    """
    wait_passively()
    replace_what_cannot_be_encoded()
    parser = build_parser()
    try:
        args = parser.parse_args(argv)
        if args.command is None:
            parser.print_help()
            return int(ExitCode.USAGE)
        args.watcher = watcher or Unwatched()
        with ending_on_signals():
            return int(_dispatch(args))
    except Stopped as e:
        say(str(e))
        return int(e.exit_code)
    except CurriculumError as e:
        say(f"error: {e}")
        return int(e.exit_code)
    except KeyboardInterrupt:
        say("interrupted: the last commit is valid")
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; without this, Python complains again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.OK)
    except OSError as e:
        say(f"error: the system refused: {e}; free space or change permissions, then resume")
        return int(ExitCode.IO)


def _dispatch(args: argparse.Namespace) -> int:
    name = "series" if of_several_seeds(args) else args.module
    module = importlib.import_module(f"curriculum.cli.commands.{name}")
    return module.COMMANDS[args.command](args)


def replace_what_cannot_be_encoded() -> None:
    """Has a stream that knows only ASCII show question marks, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
