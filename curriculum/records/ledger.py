"""The ledger: `events.jsonl`, one JSON object a line, appended and never rewritten."""

from __future__ import annotations

import errno
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from curriculum.records.events import EVENTS, known, require_recordable
from curriculum.records.facts import WrongFact, fact, finite, shown
from curriculum.records.files import open_plain, read_plain, refused, to_json

Event = dict[str, Any]
Subscriber = Callable[[Event], None]

_HEAD: Mapping[str, Any] = MappingProxyType({"t": float, "event": str})
_NOWHERE = Path(os.devnull)
_END_OF_TIME = 253_402_300_800
"""The year 10000, which no calendar here can show."""

_ANY_PLACE: Mapping[str, Any] = MappingProxyType(
    {"task": str | None, "mode": str | None, "round": int | None, "stage": str | None}
)
_MOST_READ = 1 << 22
_UNREADABLE = "unreadable_line"
_COUNTS = ("step", "generation", "rollbacks")
"""Facts that say how far a stage had come when it told an event."""


class Ledger:
    """Appends events to one file and tells subscribers about them.

    Args:
        path: `events.jsonl`; created by the first append. An unfinished last line, left by a
            crash, is cut off then. `/dev/null` keeps nothing and only tells subscribers.
        clock: unix seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._subscribers: list[Subscriber] = []
        self._mended = False

    def subscribe(self, subscriber: Subscriber) -> None:
        """Calls `subscriber` with every event appended from now on, as it stands in the file."""
        self._subscribers.append(subscriber)

    def append(self, event: str, /, **facts: Any) -> Event:
        """Writes one event and returns it as it stands in the file.

        Args:
            event: its name, one of `curriculum.records.events`.
            facts: of that table's fields; JSON-compatible values, numpy ones included; floats
                that are not finite are written as the texts `nan`, `inf` and `-inf`.

        Raises:
            RunIOError: the disk refused.
            WrongEvent: the table has no such event, or not with these fields.
        """
        kind = require_recordable(event, facts)
        entry = {"t": round(self._clock(), 3), "event": event, **_finite(to_json(facts))}
        line = (json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n").encode(
            errors="backslashreplace"
        )
        try:
            self._write(line, sync=kind.durable)
        except OSError as e:
            raise refused(e, f"record {event}", self.path, len(line)) from e
        for subscriber in self._subscribers:
            subscriber(entry)
        return entry

    def events(self, name: str | None = None) -> list[Event]:
        """Returns all events so far, or those of one name, oldest first.

        Raises:
            WrongEvent: there is no event of that name.
        """
        events = list(read_events(self.path))
        if name is None:
            return events
        known(name)
        return [e for e in events if e["event"] == name]

    def length(self) -> int:
        """Returns the file's length in bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def truncate(self, length: int) -> None:
        """Cuts the file back to a length it had before.

        Raises:
            RunIOError: the disk refused.
            ValueError: the file is shorter than that.
        """
        if length > self.length():
            raise ValueError(f"{self.path} has {self.length()} bytes, cannot be cut to {length}")
        if length == self.length():
            return
        try:
            handle = open_plain(self.path, os.O_RDWR)
            try:
                os.ftruncate(handle, length)
            finally:
                os.close(handle)
        except OSError as e:
            raise refused(e, "cut the ledger", self.path) from e

    def _write(self, line: bytes, sync: bool) -> None:
        if self.path == _NOWHERE:
            return
        if not self._mended:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(open_plain(self.path, os.O_WRONLY | os.O_CREAT))
            self.truncate(_whole_lines(self.path))
            self._mended = True
        before = self.length()
        # Not created again: a ledger that was removed together with its run has to be missed.
        handle = open_plain(self.path, os.O_WRONLY | os.O_APPEND)
        with os.fdopen(handle, "ab", buffering=0) as file:
            if file.write(line) != len(line):
                os.ftruncate(file.fileno(), before)
                raise OSError(errno.ENOSPC, "the disk took only a part of the line")
            if sync:
                os.fsync(file.fileno())


class Tail:
    """The whole lines that a growing ledger has got since the last look.

    Args:
        path: of the ledger; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0

    def events(self) -> Iterator[Event]:
        """Yields the new events; lines that are none are left to the report to tell of."""
        while data := self._read():
            whole = data[: data.rfind(b"\n") + 1]
            if not whole:
                return
            self._at += len(whole)
            yield from (e for e in parse_events(whole) if e["event"] != _UNREADABLE)

    def _read(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                return file.read(_MOST_READ)
        except OSError:
            return b""


def read_events(path: Path) -> Iterator[Event]:
    """Yields the events of a ledger, oldest first; nothing if there is no file.

    An unfinished last line is left out. A damaged line elsewhere is yielded as an event
    `unreadable_line` with its number and the reason.

    Raises:
        RunIOError: it cannot be read, or is no plain file.
    """
    if path == _NOWHERE:
        return
    try:
        data = read_plain(path)
    except FileNotFoundError:
        return
    except OSError as e:
        raise refused(e, "read the ledger", path) from e
    yield from parse_events(data)


def parse_events(data: bytes) -> Iterator[Event]:
    """Yields the events that the bytes of a ledger hold; see `read_events`."""
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        yield _parse(line, number)


def effective_events(path: Path) -> list[Event]:
    """Returns the events of a ledger as a run that was never killed would have told them."""
    return effective(read_events(path))


def effective(events: Iterable[Mapping[str, Any]]) -> list[Event]:
    """Leaves out what was told twice because a process died, and what came to nothing.

    A stage that goes on says in `stage_started` what its commit had reached (`resumed_at`);
    whatever its forerunner told beyond that, counted by `step`, `generation` or `rollbacks`, is
    told again. Of a stage's start in the same attempt, and of its being skipped, only the first
    telling counts.

    Args:
        events: oldest first.
    """
    kept: dict[int, Event] = {}
    of_place: dict[tuple[Any, ...], list[int]] = {}
    for number, event in enumerate(events):
        here = of_place.setdefault(_place(event), [])
        name = event.get("event")
        if name == "stage_started" and "resumed_at" in event:
            beyond = [n for n in here if _is_beyond(kept[n], event["resumed_at"] or {})]
            for old in beyond:
                here.remove(old)
                del kept[old]
        if not _is_repeated(event, (kept[n] for n in here)):
            kept[number] = dict(event)
            here.append(number)
    return list(kept.values())


def _place(event: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(event.get(key) for key in ("task", "mode", "round", "stage"))


def _is_beyond(event: Event, reached: Mapping[str, Any]) -> bool:
    counts = ((event.get(key), reached.get(key, -1)) for key in _COUNTS)
    return any(isinstance(count, int) and count > end for count, end in counts)


def _is_repeated(event: Mapping[str, Any], before: Iterator[Event]) -> bool:
    name = event.get("event")
    if name == "stage_started":
        same = ("event", "attempt")
        return any(all(old.get(k) == event.get(k) for k in same) for old in before)
    return name == "stage_skipped" and any(
        old["event"] in ("stage_done", "stage_skipped") for old in before
    )


def _parse(line: bytes, number: int) -> Event:
    try:
        found = json.loads(line)
        for name, kind in _HEAD.items():
            fact(kind, found[name] if isinstance(found, dict) else found, name)
        if not (finite(found["t"]) and 0 <= found["t"] < _END_OF_TIME):
            raise WrongFact(f"`t` is {shown(found['t'])}, expected unix seconds")
        kind_of = EVENTS.get(found["event"])
        for name, kind in {**_ANY_PLACE, **(kind_of.read if kind_of else {})}.items():
            fact(kind, found.get(name), name)
    except (ValueError, RecursionError, KeyError, WrongFact) as e:
        why = f"`{e.args[0]}` is missing" if isinstance(e, KeyError) else str(e)
        return {"t": 0.0, "event": _UNREADABLE, "line": number, "reason": why}
    return found


def _whole_lines(path: Path) -> int:
    """Returns the length up to and including the last newline."""
    with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
