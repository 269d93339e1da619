"""`python -m diagnostics map`: the plan of imports of a source tree, as a table or a drawing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from curriculum.errors import ConfigError, ExitCode, RunIOError
from diagnostics.architecture.plan import Plan, plan_of
from diagnostics.architecture.table import as_text, counts

HERE = Path(__file__).resolve().parents[2]
KINDS = (".svg", ".png", ".txt")


def main(args: argparse.Namespace) -> int:
    """Runs `python -m diagnostics map`.

    Args:
        args: `path` and `out`, as declared in `__main__`.

    Returns:
        0.

    Raises:
        ConfigError: the tree cannot be read, or the file's kind is unknown.
        RunIOError: the file cannot be written.
    """
    if args.out and Path(args.out).suffix not in KINDS:
        raise ConfigError(f"--out {args.out}: expected a file that ends in {', '.join(KINDS)}")
    plan = plan_of(Path(args.path) if args.path else HERE)
    if args.out:
        _write(plan, args.out)
        print("\n".join(counts(plan)))
    else:
        sys.stdout.write(as_text(plan))
    return int(ExitCode.OK)


def _write(plan: Plan, target: str) -> None:
    # Only here: they bring numpy and Pillow, and a table needs neither.
    from curriculum.records.files import output_path
    from diagnostics.architecture.drawing import as_svg, draw, save_png

    path = output_path(Path(target))
    try:
        if path.suffix == ".png":
            save_png(draw(plan), path)
        else:
            text = as_text(plan) if path.suffix == ".txt" else as_svg(draw(plan))
            path.write_text(text, encoding="utf-8")
    except OSError as e:
        raise RunIOError(
            f"The map could not be written to {target}: {e.strerror}. "
            "Name a file in a directory that exists and can be written."
        ) from e
