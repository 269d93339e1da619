"""`python -m diagnostics imports`: what should start at once does, and loads nothing heavy."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from curriculum.errors import ExitCode
from diagnostics.json_report import write_json
from diagnostics.processes import GuardedProcess, import_path

if TYPE_CHECKING:
    from rich.table import Table

HEAVY = frozenset(
    {"Box2D", "ale_py", "cma", "cv2", "gymnasium", "pygame", "stable_baselines3", "tensorboard"}
    | {"torch"}
)
"""Top-level modules that no light command may load."""

REPEATS = 5
TIMEOUT_S = 20.0
TRACE_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Start:
    """One thing that must start fast.

    Attributes:
        title: as a person would type it.
        arguments: of the interpreter.
        limit_s: seconds allowed, interpreter start included; None where only what it loads counts.
    """

    title: str
    arguments: tuple[str, ...]
    limit_s: float | None


@dataclass(frozen=True)
class Finding:
    """How one start went: median wall time, heavy modules it loaded, and what is wrong, if any."""

    title: str
    seconds: float
    limit_s: float | None
    heavy: tuple[str, ...]
    fault: str

    @property
    def passed(self) -> bool:
        return not self.fault


STARTS = (
    Start("import models.controller_cpu", ("-c", "import models.controller_cpu"), 1.0),
    Start("import curriculum.cli.main", ("-c", "import curriculum.cli.main"), None),
    Start("import diagnostics.probe", ("-c", "import diagnostics.probe"), None),
    Start("python -m curriculum --help", ("-m", "curriculum", "--help"), 0.5),
    Start("python -m diagnostics --help", ("-m", "diagnostics", "--help"), 0.5),
    Start("python -m baselines --help", ("-m", "baselines", "--help"), 0.5),
)


def main(args: argparse.Namespace) -> int:
    """Measures every start, shows a table and returns 0 if all pass, else 1.

    Args:
        args: `json`, as declared in `__main__`.

    Raises:
        RunIOError: the JSON file cannot be written.
    """
    from rich.console import Console

    findings = [measure(start) for start in STARTS]
    Console(stderr=args.json == "-", highlight=False).print(_table(findings))
    passed = all(f.passed for f in findings)
    if args.json:
        rows = [{**asdict(f), "passed": f.passed} for f in findings]
        write_json(args.json, {"schema": 1, "passed": passed, "starts": rows})
    return int(ExitCode.OK if passed else ExitCode.INTERNAL)


def measure(start: Start, repeats: int = REPEATS) -> Finding:
    """Starts it in fresh interpreters: once to see what it loads, then `repeats` times for time."""
    fault, trace = _launch(("-X", "importtime", *start.arguments))[1:]
    heavy = heavy_modules(trace)
    if fault:
        return Finding(start.title, 0.0, start.limit_s, heavy, fault)
    seconds = statistics.median(_launch(start.arguments)[0] for _ in range(repeats))
    if heavy:
        fault = f"loads {', '.join(heavy)}"
    elif start.limit_s is not None and seconds >= start.limit_s:
        fault = f"takes {seconds:.2f} s, {start.limit_s:g} s are allowed"
    return Finding(start.title, seconds, start.limit_s, heavy, fault)


def heavy_modules(trace: str) -> tuple[str, ...]:
    """Names the heavy top-level modules in the output of `python -X importtime`."""
    lines = (line.rpartition("|")[2] for line in trace.splitlines() if "import time:" in line)
    return tuple(sorted({name.strip().split(".")[0] for name in lines} & HEAVY))


def _launch(arguments: Sequence[str]) -> tuple[float, str, str]:
    """Returns wall seconds, what went wrong (empty if nothing did) and stderr."""
    argv = [sys.executable, *arguments]
    process = GuardedProcess(argv, TIMEOUT_S, {"PYTHONPATH": import_path()})
    try:
        process.wait(poll_s=0.002)
        trace = process.tail("stderr", TRACE_BYTES)
        fault = ""
        if process.stopped_by is not None:
            fault = f"did not end within {TIMEOUT_S:g} s"
        elif process.returncode != 0:
            said = [x for x in trace.strip().splitlines() if not x.startswith("import time:")]
            fault = f"exits with {process.returncode}: {said[-1] if said else 'without a word'}"
        return process.seconds, fault, trace
    finally:
        process.close()


def _table(findings: Sequence[Finding]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("start", no_wrap=True)
    table.add_column("median s", justify="right", no_wrap=True)
    table.add_column("allowed", justify="right", no_wrap=True)
    table.add_column("result", overflow="fold")
    for finding in findings:
        verdict = Text("pass", "green") if finding.passed else Text(f"FAIL {finding.fault}", "red")
        limit = "-" if finding.limit_s is None else f"{finding.limit_s:g}"
        table.add_row(finding.title, f"{finding.seconds:.3f}", limit, verdict)
    return table
