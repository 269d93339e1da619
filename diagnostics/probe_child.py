"""Runs inside a probe's own interpreter: bounds it, runs the component, leaves the proof.

It is started as a file, so that nothing of ours is loaded beside it. The proof is the nonce of this
probe, written to a file of its own: whatever a component prints, or however it exits, cannot be
taken for success.
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
from pathlib import Path
from types import TracebackType
from typing import Any

FILE_LIMIT_BYTES = 64 * 2**20
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


def bound(timeout_s: float) -> None:
    """Limits file sizes, forbids core dumps, and makes an orphaned probe end by itself.

    Towards the timeout, and again when the prober's SIGTERM comes, the stack is written to stderr,
    so that the report can say where a component hangs, even one that ignores the signal.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = FILE_LIMIT_BYTES if hard == resource.RLIM_INFINITY else min(FILE_LIMIT_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(int(timeout_s) + ORPHAN_GRACE_S)
    faulthandler.enable()
    faulthandler.register(signal.SIGTERM, chain=True)
    faulthandler.dump_traceback_later(TRACE_AT * timeout_s, exit=False)


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


def write_record(directory: Path, record: dict[str, Any]) -> None:
    """Writes the probe's outcome, signed with its nonce, in one piece."""
    partial = directory / "outcome.tmp"
    partial.write_text(json.dumps({"nonce": os.environ["CURRICULUM_PROBE"], **record}))
    partial.replace(directory / "outcome.json")


def main(directory: Path, timeout_s: float) -> None:
    """Runs `component.py` of the probe's directory and records how it went."""
    bound(timeout_s)
    component = directory / "component.py"
    code = component.read_text(encoding="utf-8")

    def record_failure(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        write_record(directory, describe(error, code))
        sys.__excepthook__(kind, error, trace)

    sys.excepthook = record_failure
    seen = runpy.run_path(str(component), {"missing": missing, "expect": expect})
    version, detail = seen.get("version"), seen.get("detail", "")
    write_record(
        directory,
        {"state": "ok", "version": version and str(version), "detail": str(detail)},
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
