"""`python -m diagnostics imports`: what should start at once does, and loads nothing heavy.

Time in which a start was ready to run but had to wait for a processor is not its own, and does not
count against it. So a busy machine is not taken for a slow start.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

from curriculum.errors import ExitCode
from diagnostics.json_report import write_json
from diagnostics.probing.processes import GuardedProcess, import_path
from diagnostics.probing.usage import starved_s

if TYPE_CHECKING:
    from rich.table import Table

HEAVY = frozenset(
    {"Box2D", "ale_py", "cma", "cv2", "gymnasium", "pygame", "stable_baselines3", "tensorboard"}
    | {"torch"}
)
"""Top-level modules that no light command may load."""

REPEATS = 5
ROUNDS = 4
"""With `--check`, so many rounds of measurements are taken before a start counts as too slow."""

TIMEOUT_S = 120.0
TRACE_BYTES = 8 * 2**20


@dataclass(frozen=True)
class ImportStart:
    """One thing that must start fast.

    Attributes:
        title: as a person would type it.
        arguments: of the interpreter.
        limit_s: seconds allowed, interpreter start included; None where only what it loads counts.
        code: the exit code it ends with.
    """

    title: str
    arguments: tuple[str, ...]
    limit_s: float | None
    code: int = 0


@dataclass(frozen=True)
class ImportFinding:
    """How one start went.

    Attributes:
        title: as in `ImportStart`.
        seconds: median wall time.
        own_s: the same without the time in which it waited for a processor.
        limit_s: as in `ImportStart`.
        heavy: heavy modules that it loaded.
        fault: what is wrong, if anything is.
    """

    title: str
    seconds: float
    own_s: float
    limit_s: float | None
    heavy: tuple[str, ...]
    fault: str

    @property
    def passed(self) -> bool:
        return not self.fault


class Launch(NamedTuple):
    """One launch: its wall time, what of that was its own, what went wrong, and its stderr."""

    seconds: float
    own_s: float
    fault: str
    trace: str


STARTS = (
    ImportStart("import models.controller_cpu", ("-c", "import models.controller_cpu"), 1.0),
    ImportStart("import curriculum.cli.main", ("-c", "import curriculum.cli.main"), None),
    ImportStart("import diagnostics.probe", ("-c", "import diagnostics.probe"), None),
    ImportStart("python -m curriculum --help", ("-m", "curriculum", "--help"), 0.5),
    ImportStart("python -m diagnostics --help", ("-m", "diagnostics", "--help"), 0.5),
    ImportStart("python -m baselines --help", ("-m", "baselines", "--help"), 0.5),
    ImportStart(
        "python -m curriculum run absent.yaml", ("-m", "curriculum", "run", "absent.yaml"), 1.0, 2
    ),
)


def main(args: argparse.Namespace) -> int:
    """Measures every start, shows a table and returns 0 if all pass, else 1.

    Args:
        args: `check` and `json`, as declared in `__main__`.

    Raises:
        RunIOError: the JSON file cannot be written.
    """
    from rich.console import Console

    findings = [measure(start, REPEATS, ROUNDS if args.check else 1) for start in STARTS]
    Console(stderr=args.json == "-", highlight=False).print(_table(findings))
    passed = all(f.passed for f in findings)
    if args.json:
        rows = [{**asdict(f), "passed": f.passed} for f in findings]
        write_json(args.json, {"schema": 1, "passed": passed, "starts": rows})
    return int(ExitCode.OK if passed else ExitCode.INTERNAL)


def measure(start: ImportStart, repeats: int = REPEATS, rounds: int = 1) -> ImportFinding:
    """Starts it in fresh interpreters: once to see what it loads, then for time.

    Args:
        start: what to start.
        repeats: measurements of which the median is taken.
        rounds: how often that is done, at most, until the median is within the limit.
    """
    traced = _launch(start, "-X", "importtime")
    heavy = heavy_modules(traced.trace)
    fault = traced.fault or (f"loads {', '.join(heavy)}" if heavy else "")
    if fault:
        return ImportFinding(start.title, 0.0, 0.0, start.limit_s, heavy, fault)
    for _ in range(rounds):
        finding = _timed(start, repeats)
        if finding.passed:
            break
    return finding


def _timed(start: ImportStart, repeats: int) -> ImportFinding:
    """Returns the medians of some measurements of a start that loads nothing heavy."""
    launches = [_launch(start) for _ in range(repeats)]
    seconds = statistics.median(launch.seconds for launch in launches)
    own_s = statistics.median(launch.own_s for launch in launches)
    fault = next((launch.fault for launch in launches if launch.fault), "")
    if not fault and start.limit_s is not None and own_s >= start.limit_s:
        fault = f"takes {own_s:.2f} s, {start.limit_s:g} s are allowed"
    return ImportFinding(start.title, seconds, own_s, start.limit_s, (), fault)


def heavy_modules(trace: str) -> tuple[str, ...]:
    """Names the heavy top-level modules in the output of `python -X importtime`."""
    lines = (line.rpartition("|")[2] for line in trace.splitlines() if "import time:" in line)
    return tuple(sorted({name.strip().split(".")[0] for name in lines} & HEAVY))


def _launch(start: ImportStart, *options: str) -> Launch:
    argv = [sys.executable, *options, *start.arguments]
    process = GuardedProcess(argv, TIMEOUT_S, {"PYTHONPATH": import_path()})
    waited_s = 0.0
    try:
        while not process.poll():
            waited_s = max(waited_s, starved_s(process.pid))
            time.sleep(0.002)
        trace = process.tail("stderr", TRACE_BYTES)
        fault = ""
        if process.stopped_by is not None:
            fault = f"did not end within {TIMEOUT_S:g} s"
        elif process.returncode != start.code:
            said = [x for x in trace.strip().splitlines() if not x.startswith("import time:")]
            fault = f"exits with {process.returncode}: {said[-1] if said else 'without a word'}"
        own_s = max(0.0, process.seconds - waited_s)
        return Launch(process.seconds, own_s, fault, trace)
    finally:
        process.close()


def _table(findings: Sequence[ImportFinding]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("start", no_wrap=True)
    table.add_column("median s", justify="right", no_wrap=True)
    table.add_column("of its own", justify="right", no_wrap=True)
    table.add_column("allowed", justify="right", no_wrap=True)
    table.add_column("result", overflow="fold")
    for finding in findings:
        verdict = Text("pass", "green") if finding.passed else Text(f"FAIL {finding.fault}", "red")
        limit = "-" if finding.limit_s is None else f"{finding.limit_s:g}"
        seconds = (f"{finding.seconds:.3f}", f"{finding.own_s:.3f}")
        table.add_row(finding.title, *seconds, limit, verdict)
    return table
