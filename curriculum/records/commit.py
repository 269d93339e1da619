"""Commits: numbered checkpoint directories that are verified before anything is read from them.

`commits/000012/` holds `state.safetensors` (arrays), `meta.json` (JSON facts) and `manifest.json`
(sizes and SHA-256 of both, and of itself). It is written under another name, synced and renamed,
so a crash leaves the commits before it as they were. Nothing in it is ever executed: whatever
somebody puts in a commit's place is arrays and JSON, or it is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from curriculum.records.facts import WrongFact, fact
from curriculum.records.files import (
    RESERVE_BYTES,
    Disk,
    Files,
    NotPlain,
    read_json,
    read_plain,
    refused,
    require_room,
    to_json,
    write_json,
)

__all__ = ["Commit", "CommitStore", "read_json", "write_json"]

SCHEMA = 1
STATE, META, MANIFEST = "state.safetensors", "meta.json", "manifest.json"
_MANIFEST_LIMIT = 2**20
_NUMBER = re.compile(r"\d{6,}")
LEFT_COMMIT = re.compile(r"\d{6,}\.tmp-\d+")
"""What a commit is called while it is written, or removed."""
_KINDS = "biuf"
_BODY = {"number": int, "complete": bool, "appended": dict[str, int], "files": dict[str, Any]}
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
        arrays: the saved arrays, writable and the reader's own.
    """

    number: int
    meta: dict[str, Any]
    complete: bool
    appended: dict[str, int]
    arrays: dict[str, np.ndarray] = field(repr=False)

    def part(self, name: str) -> dict[str, np.ndarray]:
        """Returns the arrays that were saved as `name/...`, by the rest of their names."""
        prefix = f"{name}/"
        return {k[len(prefix) :]: v for k, v in self.arrays.items() if k.startswith(prefix)}


class Unverified(Exception):
    """A commit directory is damaged; its text says where."""


class CommitStore:
    """The commits of one stage, in `directory/commits`.

    Only one process may save into a store: the run directory's lock sees to that.

    Args:
        directory: of the stage; created by the first save.
        keep: whole commits to keep, at least 2.
        files: the disk; tests hand in failing ones.
        identity: of the run and the place in it, e.g. `<run id>/pong/FULL/round-00/vision`. It is
            written into every manifest, and a commit with another one counts as damaged: somebody
            copied it here. Empty: any commit is taken.
        report: is told a sentence for every commit that `latest` passes over, where `latest` is
            given nobody else to tell.
        on_saved: is told the seconds that each commit took.
    """

    def __init__(
        self,
        directory: Path,
        keep: int = 2,
        files: Files | None = None,
        identity: str = "",
        report: Report | None = None,
        on_saved: Callable[[float], None] | None = None,
    ) -> None:
        if keep < 2:
            raise ValueError(f"keep is {keep}, expected at least 2: one may turn out damaged")
        self.directory = directory / "commits"
        self._keep = keep
        self._files = files or Disk()
        self._identity = identity
        self._report = report
        self._on_saved = on_saved

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
            RunIOError: the disk refused, or has too little room, which is found out before anything
                is written; `latest` still returns the commit before.
            ValueError: an array holds objects or text.
        """
        began = time.monotonic()
        number = max(self._numbers(), default=0) + 1
        contents = {STATE: pack(arrays), META: _encode(to_json(dict(meta)))}
        body = {
            "schema": SCHEMA,
            "number": number,
            "identity": self._identity,
            "complete": complete,
            "appended": {name: int(length) for name, length in appended.items()},
            "files": {name: fingerprint(data) for name, data in contents.items()},
        }
        contents[MANIFEST] = _seal(body)
        needed = sum(map(len, contents.values())) + RESERVE_BYTES
        try:
            self._sweep()
            require_room(self.directory, needed)
            self._write(number, contents)
            self._prune()
        except OSError as e:
            self._give_up(number)
            raise refused(e, f"write commit {number:06d}", self.directory, needed) from e
        if self._on_saved is not None:
            self._on_saved(time.monotonic() - began)
        return number

    def latest(self, report: Report | None = None) -> Commit | None:
        """Returns the newest commit that verifies, or None if there is none.

        Args:
            report: is told a sentence for every damaged commit that was passed over; the store's
                own `report` if None.

        Raises:
            RunIOError: the disk cannot be read.
        """
        tell = report or self._report
        for number in sorted(self._numbers(), reverse=True):
            try:
                return _read(self._path(number), self._identity)
            except Unverified as e:
                if tell is not None:
                    tell(f"commit {number:06d} in {self.directory} is damaged and passed over: {e}")
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
                _read(self._path(number), self._identity)
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
        """Removes what is older than the newest `keep` whole commits."""
        whole = 0
        for number in sorted(self._numbers(), reverse=True):
            path = self._path(number)
            if whole >= self._keep:
                # Renamed first, so that a crash cannot leave half a commit under a commit's name.
                self._files.replace(path, self._temporary(path))
            elif _looks_whole(path, self._identity):
                whole += 1
        self._sweep()

    def _sweep(self) -> None:
        """Removes leftovers of dead writers; before a save, because the room may be needed."""
        for leftover in self.directory.glob("*.tmp-*"):
            if LEFT_COMMIT.fullmatch(leftover.name):
                self._files.remove_tree(leftover)

    def _give_up(self, number: int) -> None:
        """Removes what a refused save left, so that it does not sit on a disk that is full."""
        with suppress(OSError):
            self._files.remove_tree(self._temporary(self._path(number)))

    def _temporary(self, path: Path) -> Path:
        return path.with_name(f"{path.name}.tmp-{os.getpid()}")


def pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Returns arrays as the bytes of a safetensors file; equal arrays give equal bytes.

    Raises:
        ValueError: an array holds something else than numbers or booleans.
    """
    from safetensors.numpy import save

    ready = {}
    for name, value in arrays.items():
        array = np.asarray(value)
        if array.dtype.kind not in _KINDS:
            raise ValueError(f"array {name} is of type {array.dtype}, expected numbers or booleans")
        native = array.dtype.newbyteorder("=")
        ready[name] = np.array(array, dtype=native, order="C", ndmin=array.ndim)
    return save(ready)


def unpack(data: bytes, name: str) -> dict[str, np.ndarray]:
    """Reads arrays, and nothing but arrays: a hash that fits does not say who made a file.

    Args:
        data: of a safetensors file.
        name: of the file.

    Raises:
        Unverified: it is no such file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return {key: array.copy() for key, array in load(data).items()}
    except (SafetensorError, ValueError, KeyError, TypeError) as e:
        raise Unverified(f"{name} holds no arrays: {e}") from e


def fingerprint(data: bytes) -> dict[str, Any]:
    """Returns the size of a file's contents and their hash."""
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _read(directory: Path, identity: str) -> Commit:
    body = _open_manifest(directory, identity)
    contents = {}
    for name in (STATE, META):
        listed = body["files"].get(name)
        size = listed.get("size") if isinstance(listed, dict) else None
        if not isinstance(size, int):
            raise Unverified(f"{MANIFEST} does not list {name}")
        data = _bytes(directory / name, size)
        if listed != fingerprint(data):
            raise Unverified(f"{name} is not what its manifest says")
        contents[name] = data
    meta, arrays = _parsed(contents[META]), unpack(contents[STATE], STATE)
    return Commit(body["number"], meta, body["complete"], body["appended"], arrays)


def _open_manifest(directory: Path, identity: str) -> dict[str, Any]:
    data = _bytes(directory / MANIFEST, _MANIFEST_LIMIT)
    try:
        body = json.loads(data)["body"]
        sealed = _seal(body)
    except (ValueError, TypeError, KeyError, RecursionError) as e:
        raise Unverified(f"{MANIFEST} is no manifest: {e}") from e
    if sealed != data:
        raise Unverified(f"{MANIFEST} does not agree with its own hash")
    schema = body.get("schema") if isinstance(body, dict) else None
    if schema != SCHEMA:
        raise Unverified(f"its format is {schema}, this program reads {SCHEMA}")
    try:
        for name, kind in _BODY.items():
            fact(kind, body.get(name), name)
    except WrongFact as e:
        raise Unverified(f"{MANIFEST} cannot be used: {e}") from e
    if body["number"] != int(directory.name):
        raise Unverified(f"it was written as number {body['number']}")
    if identity and body.get("identity") != identity:
        raise Unverified(f"it was written by {body.get('identity') or 'nobody known'}, not here")
    return body


def _looks_whole(directory: Path, identity: str) -> bool:
    """Checks the manifest and the sizes, but not the hashes: cheap enough for every save."""
    try:
        listed = _open_manifest(directory, identity)["files"]
        return all((directory / name).stat().st_size == f["size"] for name, f in listed.items())
    except (Unverified, OSError, KeyError, TypeError):
        return False


def _bytes(path: Path, limit: int) -> bytes:
    try:
        return read_plain(path, limit)
    except (FileNotFoundError, NotADirectoryError) as e:
        raise Unverified(f"{path.name} is missing") from e
    except NotPlain as e:
        raise Unverified(f"{path.name} is missing: {e.strerror}") from e


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        meta = json.loads(data)
    except (ValueError, RecursionError) as e:
        raise Unverified(f"{META} is no JSON: {e}") from e
    if not isinstance(meta, dict):
        raise Unverified(f"{META} holds no facts")
    return meta


def _seal(body: Mapping[str, Any]) -> bytes:
    return _encode({"body": body, "sha256": hashlib.sha256(_encode(body)).hexdigest()})


def _encode(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
