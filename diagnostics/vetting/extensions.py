"""The review of Python files: lint, imports, and the environments that they register."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diagnostics.vetting.findings import Finding
from diagnostics.vetting.fixing import Import, mend, try_import
from diagnostics.vetting.guard import review

MAX_FILES = 1000
MAX_FILE_BYTES = 2**20
MAX_TIMEOUTS = 20
"""The limits of single looks that all looks at one path may take together."""


class Extension:
    """A Python file, or a folder whose files are linted and whose own modules are imported.

    Args:
        path: absolute.
        timeout_s: seconds for each look.
    """

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._over_at = time.monotonic() + MAX_TIMEOUTS * timeout_s
        self._files: list[Path] = []
        self._known: dict[Path, Import] = {}

    def review(self, fix: bool) -> list[Finding]:
        """Returns everything that is found; `fix` has ruff mend what it can safely."""
        found = list(self._collect())
        for file in self._files:
            if file.parent == self._path or file == self._path:
                if late := self._late(str(file)):
                    found.append(late)
                else:
                    self._known[file] = try_import(file, self._timeout_s)
        found = [*self._lint(fix), *found]
        for file, seen in self._known.items():
            found += self._imported(file, seen)
        return found

    def _collect(self) -> Iterator[Finding]:
        """Gathers the files that can be read, and yields a finding for each that cannot."""
        for file in self._python():
            if len(self._files) == MAX_FILES:
                text = f"holds more than {MAX_FILES} Python files: the rest was not reviewed"
                yield Finding("warning", str(self._path), text, "give a smaller folder")
                return
            if not file.is_file():
                yield Finding("error", str(file), "is no regular file, expected Python")
            elif file.stat().st_size > MAX_FILE_BYTES:
                text = f"is larger than {MAX_FILE_BYTES // 2**20} MiB, too large to be reviewed"
                yield Finding("error", str(file), text)
            else:
                self._files.append(file)

    def _python(self) -> Iterator[Path]:
        if not self._path.is_dir():
            yield self._path
            return
        for folder, folders, names in os.walk(self._path):
            folders[:] = sorted(n for n in folders if not n.startswith(".") and n != "__pycache__")
            for name in sorted(names):
                if name.endswith(".py"):
                    yield Path(folder, name)

    def _lint(self, fix: bool) -> Iterator[Finding]:
        if not self._files:
            return
        facts = yield from self._complaints()
        fixable = {c["file"] for c in facts.get("complaints", ()) if c["fixable"]}
        files = [file for file in self._files if str(file) in fixable]
        if fix and files:
            yield from mend(files, self._known, self._timeout_s)
            facts = yield from self._complaints()
        for complaint in facts.get("complaints", ()):
            hint = "run vet --fix" if complaint["fixable"] and not fix else ""
            yield Finding("warning", complaint["place"], complaint["text"], hint)
        if facts.get("more"):
            yield Finding("warning", str(self._path), f"{facts['more']} more complaints of ruff")
        if facts.get("complaints") == []:
            yield Finding("ok", str(self._path), "ruff has no complaint")

    def _complaints(self) -> Any:
        """Yields what kept ruff from its work, and returns what it said."""
        place = str(self._path)
        done = review("lint", place, self._timeout_s, path=place, fix=False)
        yield from done.findings
        if trouble := done.facts.get("trouble"):
            missing = "not installed" in trouble
            fix = "pip install ruff" if missing else ""
            level = "warning" if missing else "error"
            yield Finding(level, place, f"was not linted: {trouble}", fix)
        return done.facts

    def _imported(self, file: Path, seen: Import) -> Iterator[Finding]:
        if seen.error:
            yield Finding("error", str(file), seen.error)
            return
        if not seen.registered:
            yield Finding("ok", str(file), "imports, and registers no environment")
        for env_id in seen.registered:
            if late := self._late(env_id):
                yield late
                continue
            order = {"path": str(file), "env_id": env_id}
            yield from review("environment", env_id, self._timeout_s, **order).findings

    def _late(self, place: str) -> Finding | None:
        """Returns the finding for what is no longer looked at, None while there is time."""
        if time.monotonic() < self._over_at:
            return None
        spent = MAX_TIMEOUTS * self._timeout_s
        text = f"was not reviewed: the looks at {self._path} took more than {spent:g} s"
        return Finding("error", place, text, "review it alone, or raise --timeout")
