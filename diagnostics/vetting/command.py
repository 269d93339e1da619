"""`python -m diagnostics vet`: reviews an installation, an extension, configs or run directories.

Each path is reviewed for what it is: a Python file or folder (lint, imports, the contracts of the
environments it registers), a YAML file (the configuration it holds), a run directory (every commit,
the ledger and the data it names). Without paths, this installation is reviewed. All of it happens
in guarded subprocesses: nothing that is reviewed can end, delay or fool the review of the rest.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from curriculum.errors import ConfigError
from curriculum.show.words import plain
from diagnostics.vetting.extensions import Extension
from diagnostics.vetting.findings import Finding, show
from diagnostics.vetting.guard import review


def main(args: argparse.Namespace) -> int:
    """Runs `python -m diagnostics vet`; returns 1 if there is an error, else 0."""
    kinds = {Path(os.path.abspath(p)): _kind(Path(p)) for p in args.paths}  # noqa: PTH100
    findings: list[Finding] = []
    for path, kind in kinds.items():
        findings += _review(path, kind, args)
    if not kinds:
        findings += review("installation", "this installation", args.timeout).findings
    show(findings, args.json)
    return 1 if any(f.level == "error" for f in findings) else 0


def _kind(path: Path) -> str:
    """Returns what a path is to be reviewed as.

    Raises:
        ConfigError: it is not there, or nothing that can be reviewed.
    """
    shown = plain(path)
    if not path.exists():
        raise ConfigError(
            f"there is no {shown}: give a Python file, a YAML file or a run directory"
        )
    if path.is_dir():
        return "run" if os.path.lexists(path / "run.json") else "extension"
    if path.suffix in (".yaml", ".yml"):
        return "configuration"
    if path.suffix == ".py":
        return "extension"
    raise ConfigError(f"{shown} is neither Python, YAML nor a run directory")


def _review(path: Path, kind: str, args: argparse.Namespace) -> list[Finding]:
    if kind == "extension":
        return Extension(path, args.timeout).review(args.fix)
    return review(kind, str(path), args.timeout, path=str(path), fix=args.fix).findings
