"""Commits: numbered checkpoint directories that are verified before anything is read from them.

`commits/000012/` holds `state.safetensors` (arrays), `meta.json` (JSON facts) and `manifest.json`
(sizes and SHA-256 of both, and of itself). It is written under another name, synced and renamed,
so a crash leaves the commits before it as they were.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from curriculum.records.files import Disk, Files, read_json, refused, to_json, write_json

__all__ = ["Commit", "CommitStore", "read_json", "write_json"]

SCHEMA = 1
STATE, META, MANIFEST = "state.safetensors", "meta.json", "manifest.json"
_NUMBER = re.compile(r"\d{6,}")
_KINDS = "biuf"
_NOTHING: Mapping[str, int] = MappingProxyType({})

Report = Callable[[str], None]


@dataclass(frozen=True)
class Commit:
    """One verified checkpoint.

    Attributes:
        number: grows by one with each commit of a store.
        meta: JSON facts, as they were saved.
        complete: whether this is the final commit of its stage.
        appended: byte lengths of append-only files that belong to it, by file name.
    """

    number: int
    meta: dict[str, Any]
    complete: bool
    appended: dict[str, int]
    _state: bytes = field(repr=False)

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The saved arrays: writable copies with their shapes and dtypes."""
        from safetensors.numpy import load

        return {name: array.copy() for name, array in load(self._state).items()}


class Unverified(Exception):
    """A commit directory is damaged; its text says where."""


class CommitStore:
    """The commits of one stage, in `directory/commits`.

    Only one process may save into a store: the run directory's lock sees to that.

    Args:
        directory: of the stage; created by the first save.
        keep: whole commits to keep, at least 2.
        files: the disk; tests hand in failing ones.
    """

    def __init__(self, directory: Path, keep: int = 2, files: Files | None = None) -> None:
        if keep < 2:
            raise ValueError(f"keep is {keep}, expected at least 2: one may turn out damaged")
        self.directory = directory / "commits"
        self._keep = keep
        self._files = files or Disk()

    def save(
        self,
        arrays: Mapping[str, np.ndarray],
        meta: Mapping[str, Any],
        *,
        complete: bool = False,
        appended: Mapping[str, int] = _NOTHING,
    ) -> int:
        """Writes the next commit and removes what is older than the newest `keep`.

        Args:
            arrays: numbers or booleans of any shape, by name.
            meta: JSON-compatible facts.
            complete: whether the stage is done.
            appended: lengths in bytes of append-only files, which must be synced already.

        Returns:
            The commit's number.

        Raises:
            RunIOError: the disk refused; `latest` still returns the commit before.
            ValueError: an array holds objects or text.
        """
        number = max(self._numbers(), default=0) + 1
        contents = {STATE: _pack(arrays), META: _encode(to_json(dict(meta)))}
        body = {
            "schema": SCHEMA,
            "number": number,
            "complete": complete,
            "appended": {name: int(length) for name, length in appended.items()},
            "files": {name: _fingerprint(data) for name, data in contents.items()},
        }
        contents[MANIFEST] = _seal(body)
        needed = sum(map(len, contents.values()))
        try:
            self._write(number, contents)
            self._prune()
        except OSError as e:
            raise refused(e, f"write commit {number:06d}", self.directory, needed) from e
        return number

    def latest(self, report: Report | None = None) -> Commit | None:
        """Returns the newest commit that verifies, or None if there is none.

        Args:
            report: is told a sentence for every damaged commit that was passed over.

        Raises:
            RunIOError: the disk cannot be read.
        """
        for number in sorted(self._numbers(), reverse=True):
            try:
                return _read(self._path(number))
            except Unverified as e:
                if report is not None:
                    report(
                        f"commit {number:06d} in {self.directory} is damaged and passed over: {e}"
                    )
            except OSError as e:
                raise refused(e, f"read commit {number:06d}", self.directory) from e
        return None

    def damage(self) -> list[str]:
        """Verifies every commit and returns a sentence for each damaged one.

        Raises:
            RunIOError: the disk cannot be read.
        """
        found = []
        for number in sorted(self._numbers()):
            try:
                _read(self._path(number))
            except Unverified as e:
                found.append(f"commit {number:06d} in {self.directory}: {e}")
            except OSError as e:
                raise refused(e, f"read commit {number:06d}", self.directory) from e
        return found

    def _path(self, number: int) -> Path:
        return self.directory / f"{number:06d}"

    def _numbers(self) -> list[int]:
        if not self.directory.is_dir():
            return []
        return [int(p.name) for p in self.directory.iterdir() if _NUMBER.fullmatch(p.name)]

    def _write(self, number: int, contents: Mapping[str, bytes]) -> None:
        target = self._path(number)
        temporary = self._temporary(target)
        self._files.make_directory(temporary)
        for name, data in contents.items():
            self._files.write(temporary / name, data)
        self._files.sync_directory(temporary)
        self._files.replace(temporary, target)
        self._files.sync_directory(self.directory)

    def _prune(self) -> None:
        """Removes leftovers of dead writers and commits older than the newest `keep` whole ones."""
        whole = 0
        for number in sorted(self._numbers(), reverse=True):
            path = self._path(number)
            if whole >= self._keep:
                # Renamed first, so that a crash cannot leave half a commit under a commit's name.
                self._files.replace(path, self._temporary(path))
            elif _looks_whole(path):
                whole += 1
        for leftover in self.directory.glob("*.tmp-*"):
            self._files.remove_tree(leftover)

    def _temporary(self, path: Path) -> Path:
        return path.with_name(f"{path.name}.tmp-{os.getpid()}")


def _read(directory: Path) -> Commit:
    body = _open_manifest(directory)
    contents = {}
    for name in (STATE, META):
        data = _bytes(directory / name)
        if body["files"].get(name) != _fingerprint(data):
            raise Unverified(f"{name} is not what its manifest says")
        contents[name] = data
    meta = json.loads(contents[META])
    return Commit(body["number"], meta, body["complete"], body["appended"], contents[STATE])


def _open_manifest(directory: Path) -> dict[str, Any]:
    data = _bytes(directory / MANIFEST)
    try:
        body = json.loads(data)["body"]
        sealed = _seal(body)
    except (ValueError, TypeError, KeyError, RecursionError) as e:
        raise Unverified(f"{MANIFEST} is no manifest: {e}") from e
    if sealed != data:
        raise Unverified(f"{MANIFEST} does not agree with its own hash")
    if body["schema"] != SCHEMA:
        raise Unverified(f"its format is {body['schema']}, this program reads {SCHEMA}")
    if body["number"] != int(directory.name):
        raise Unverified(f"it was written as number {body['number']}")
    return body


def _looks_whole(directory: Path) -> bool:
    """Checks the manifest and the sizes, but not the hashes: cheap enough for every save."""
    try:
        listed = _open_manifest(directory)["files"]
        return all((directory / name).stat().st_size == f["size"] for name, f in listed.items())
    except (Unverified, FileNotFoundError):
        return False


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as e:
        raise Unverified(f"{path.name} is missing") from e


def _pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save

    ready = {}
    for name, value in arrays.items():
        array = np.asarray(value)
        if array.dtype.kind not in _KINDS:
            raise ValueError(f"array {name} is of type {array.dtype}, expected numbers or booleans")
        native = array.dtype.newbyteorder("=")
        ready[name] = np.array(array, dtype=native, order="C", ndmin=array.ndim)
    return save(ready)


def _fingerprint(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _seal(body: Mapping[str, Any]) -> bytes:
    return _encode({"body": body, "sha256": hashlib.sha256(_encode(body)).hexdigest()})


def _encode(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
