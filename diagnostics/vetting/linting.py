"""What ruff says of Python files, and what it would make of one; in a guarded process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

MAX_COMPLAINTS = 500
_SAFE = ("--no-cache", "--no-unsafe-fixes")
"""Whatever a configuration beside the files asks for; which fixes are safe, it may say."""


def complaints(path: Path) -> dict[str, Any]:
    """Returns what ruff complains of in a file or folder, which it does not change.

    Returns:
        `complaints`, each a place, a text and whether a safe fix is known, and how many were left
        out as `more`; or `trouble` in words.
    """
    done = _ruff("--no-fix", "--output-format", "json", "--exit-zero", str(path))
    if isinstance(done, str):
        return {"trouble": done}
    found = [
        {
            "file": problem["filename"],
            "place": f"{problem['filename']}:{problem['location']['row']}",
            "text": f"{problem['code']} {problem['message']}",
            "fixable": (problem.get("fix") or {}).get("applicability") == "safe",
        }
        for problem in json.loads(done or b"[]")
    ]
    return {"complaints": found[:MAX_COMPLAINTS], "more": len(found[MAX_COMPLAINTS:])}


def mended(file: Path) -> dict[str, Any]:
    """Returns a file's text with ruff's safe fixes as `fixed`, or `trouble` in words."""
    before = file.read_bytes()
    done = _ruff(
        "--fix", "--quiet", "--exit-zero", "--stdin-filename", str(file), "-", given=before
    )
    if isinstance(done, str):
        return {"trouble": done}
    return {"fixed": done.decode("utf-8"), "before": before.decode("utf-8")}


def _ruff(*arguments: str, given: bytes = b"") -> bytes | str:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    if ruff is None:
        return "ruff is not installed"
    # Without a limit of its own: the guarded process around it has one, and ends it as well.
    command = [ruff, "check", *_SAFE, *arguments]
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    if done.returncode != 0:
        return f"ruff failed: {done.stderr.decode(errors='replace').strip()[-500:]}"
    return done.stdout
