"""Mending a stranger's files: never one that then turns out not to import.

What ruff makes of a file is tried before it is written, in a process of its own that imports the
file as if it held the new text. All files are tried together, then one after another: what one
file no longer has may be what another one imports.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from diagnostics.vetting.findings import Finding
from diagnostics.vetting.guard import review


@dataclass(frozen=True)
class Import:
    """What became of a file's import: the ids that it registered, or what it failed with."""

    registered: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Fix:
    """A file's text as it is, and as ruff would have it."""

    before: str
    after: str


def try_import(file: Path, timeout_s: float, fixes: Mapping[Path, Fix] | None = None) -> Import:
    """Imports a file in a guarded process.

    Args:
        file: to import.
        timeout_s: seconds it may take.
        fixes: files that are imported as if they were mended.
    """
    texts = {str(path.resolve()): fix.after for path, fix in (fixes or {}).items()}
    done = review("plugin", str(file), timeout_s, path=str(file), fixed=texts)
    if not done.complete:
        return Import(error="; ".join(f"{f.text}" for f in done.findings))
    return Import(tuple(done.facts["registered"]), done.facts["error"])


def mend(files: list[Path], known: Mapping[Path, Import], timeout_s: float) -> list[Finding]:
    """Mends files as far as they, and the others that are known, import as before.

    Args:
        files: that ruff knows a safe fix for.
        known: how the files that are reviewed import now.
        timeout_s: seconds for each look.
    """
    found: list[Finding] = []
    wanted: dict[Path, Fix] = {}
    for file in files:
        fix = _fix_of(file, timeout_s)
        if isinstance(fix, Finding):
            found.append(fix)
        elif fix.after != fix.before:
            wanted[file] = fix
    known = {**{file: try_import(file, timeout_s) for file in wanted if file not in known}, **known}
    if wanted and not _harm(wanted, known, timeout_s):
        return [*found, *(_written(file, fix) for file, fix in wanted.items())]
    accepted: dict[Path, Fix] = {}
    for file, fix in wanted.items():
        if harm := _harm({**accepted, file: fix}, known, timeout_s):
            text = f"was left as it is: mended, {harm}"
            found.append(Finding("warning", str(file), text, "mend it by hand"))
        else:
            accepted[file] = fix
            found.append(_written(file, fix))
    return found


def _fix_of(file: Path, timeout_s: float) -> Fix | Finding:
    if not os.access(file, os.W_OK) or file.stat().st_nlink > 1:
        text = "was left as it is: it cannot be written, or has a second name on this disk"
        return Finding("warning", str(file), text)
    done = review("lint", str(file), timeout_s, path=str(file), fix=True)
    if "fixed" not in done.facts:
        said = done.facts.get("trouble") or "; ".join(f.text for f in done.findings)
        return Finding("warning", str(file), f"was left as it is: {said}")
    return Fix(done.facts["before"], done.facts["fixed"])


def _harm(fixes: Mapping[Path, Fix], known: Mapping[Path, Import], timeout_s: float) -> str:
    """Returns in words what would no longer be as it was if files were mended, or ""."""
    for file, before in known.items():
        if before.error and file not in fixes:
            continue
        after = try_import(file, timeout_s, fixes)
        if after.error:
            return f"{file.name} {after.error}"
        if not before.error and after.registered != before.registered:
            now, then = (", ".join(i.registered) or "nothing" for i in (after, before))
            return f"{file.name} would register {now} instead of {then}"
    return ""


def _written(file: Path, fix: Fix) -> Finding:
    """Puts the mended text in a file's place, in one step; a link goes on leading to it."""
    target = file.resolve()
    try:
        if target.read_bytes() != fix.before.encode():
            return Finding("warning", str(file), "was left as it is: it changed in the meantime")
        _replace(target, fix.after.encode())
    except OSError as e:
        return Finding("warning", str(file), f"was left as it is: {e.strerror}: {e.filename}")
    return Finding("fixed", str(file), "was mended by ruff, and imports as before")


def _replace(target: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(target.stat().st_mode & 0o7777)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
