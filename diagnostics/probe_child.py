"""Runs inside a probe's own interpreter: bounds it, runs the components, leaves the proofs.

It is started as a file, so that nothing of ours is loaded beside it. The proof is the nonce of this
probe, written to a file of its own: whatever a component prints, or however it exits, cannot be
taken for success. Several components that rest on the same library share an interpreter, as steps:
the first one that fails is the last one.
"""

from __future__ import annotations

import ast
import faulthandler
import json
import os
import resource
import runpy
import signal
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

FILE_LIMIT_BYTES = 64 * 2**20
PR_SET_PDEATHSIG = 1
ORPHAN_GRACE_S = 10
TRACE_AT = 0.7
DETAIL_CHARACTERS = 300


class MissingComponentError(Exception):
    """The component says itself that it is not here (no CUDA device, for example)."""


class UnexpectedResultError(Exception):
    """The component ran but gave a wrong result."""


def missing(reason: str) -> None:
    """Ends the probe with the state `missing`; for component code."""
    raise MissingComponentError(reason)


def expect(condition: object, otherwise: str) -> None:
    """Ends the probe with the state `broken` unless the condition holds; for component code."""
    if not condition:
        raise UnexpectedResultError(otherwise)


def bound(hard_s: float, parent: int) -> None:
    """Limits file sizes, forbids core dumps, and makes an orphaned probe end by itself.

    When the prober's SIGTERM comes, the stack is written to stderr, so that the report can say
    where a component hangs.

    Args:
        hard_s: seconds after which it ends, if the prober has not ended it before.
        parent: process id of the prober.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = FILE_LIMIT_BYTES if hard == resource.RLIM_INFINITY else min(FILE_LIMIT_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(int(hard_s) + ORPHAN_GRACE_S)
    _end_with(parent)
    faulthandler.enable()
    faulthandler.register(signal.SIGTERM, chain=True)


def _end_with(parent: int) -> None:
    """Makes the kernel end this process together with the prober, where it can (Linux)."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)  # it died before that


def imported_names(code: str) -> set[str]:
    """Names the modules that component code imports, parents included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names | {".".join(n.split(".")[:i]) for n in names for i in range(1, n.count(".") + 1)}


def describe(error: BaseException, code: str) -> dict[str, Any]:
    """Returns the state and detail of a failed component.

    A module is `missing` only if the component's own import did not find it; a module that is
    there and fails to find another is `broken`.
    """
    if isinstance(error, MissingComponentError):
        return {"state": "missing", "detail": str(error)}
    if isinstance(error, ModuleNotFoundError) and error.name in imported_names(code):
        return {"state": "missing", "detail": f"no module named {error.name}"}
    said = str(error).strip().partition("\n")[0]
    return {"state": "broken", "detail": f"{type(error).__name__}: {said}"[:DETAIL_CHARACTERS]}


def write_record(directory: Path, step: int, record: dict[str, Any]) -> None:
    """Writes the outcome of a step, signed with the probe's nonce, in one piece."""
    partial = directory / "outcome.tmp"
    facts = {"nonce": os.environ["CURRICULUM_PROBE"], "cpu_s": time.process_time()}
    partial.write_text(json.dumps({**facts, "waited_s": waited_s(), **record}))
    partial.replace(directory / f"outcome{step}.json")


def waited_s() -> float | None:
    """Returns the seconds in which this process was ready and had no core, None if unknown."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None


def main(directory: Path, limit_s: float, hard_s: float, parent: int, steps: int) -> None:
    """Runs `step0.py`, `step1.py`, … of the probe's directory and records how each went.

    Args:
        directory: of the probe.
        limit_s: seconds one step may take; towards its end the stack is written, so that the report
            can say where a component hangs that ignores SIGTERM.
        hard_s, parent: see `bound`.
        steps: how many there are.
    """
    bound(hard_s, parent)
    running = [0, ""]

    def record_failure(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        step, code = running
        write_record(directory, int(step), {"last": True, **describe(error, str(code))})
        sys.__excepthook__(kind, error, trace)

    sys.excepthook = record_failure
    for step in range(steps):
        component = directory / f"step{step}.py"
        running[:] = step, component.read_text(encoding="utf-8")
        faulthandler.dump_traceback_later(TRACE_AT * limit_s, repeat=True)
        write_record(directory, step, run(component))


def run(component: Path) -> dict[str, Any]:
    """Runs one component and returns what to record; one that says itself that it is not here has
    failed without spoiling anything for the next one."""
    try:
        seen = runpy.run_path(str(component), {"missing": missing, "expect": expect})
    except MissingComponentError as error:
        return describe(error, "")
    version, detail = seen.get("version"), seen.get("detail", "")
    return {"state": "ok", "version": version and str(version), "detail": str(detail)}


if __name__ == "__main__":
    _, _place, _limit_s, _hard_s, _parent, _steps = sys.argv
    main(Path(_place), float(_limit_s), float(_hard_s), int(_parent), int(_steps))
