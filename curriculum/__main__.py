"""`python -m curriculum` and `wmc`: what works for long, or imports much, works in an engine."""

from __future__ import annotations

import sys
from importlib import import_module

from curriculum.cli import main as command
from curriculum.cli.arguments import build_parser, of_several_seeds

AGAIN = ("run", "resume")
"""Commands whose engine is started again when it dies."""

ONCE = ("evaluate", "play")
"""Commands with one engine: they have nothing to go on with."""

BESIDE = ("baselines", "diagnostics")
"""The other two programs, which `wmc` starts too: `wmc diagnostics check`."""


def main() -> int:
    """Runs the command that was typed and returns its exit code (README lists them)."""
    command.replace_what_cannot_be_encoded()
    arguments = sys.argv[1:]
    if arguments and arguments[0] in BESIDE:
        return int(import_module(f"{arguments[0]}.__main__").main(arguments[1:]))
    args = build_parser().parse_args(arguments)
    again = args.command in AGAIN and not getattr(args, "dry_run", False)
    if of_several_seeds(args) or not (again or args.command in ONCE):
        return command.main(arguments)
    from curriculum.door.door import Door

    return Door(arguments, again=again).run()


if __name__ == "__main__":
    sys.exit(main())
