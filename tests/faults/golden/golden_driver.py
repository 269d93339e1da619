"""Runs of the command line that kill themselves at chosen points, as nothing else could.

A server process imports what is slow to import and forks a life per request, each in a session of
its own. In a life every durable step (files, columns, ledger) and every barrier is a point; at the
chosen one the whole process group gets SIGKILL. Steps that write have a third point in their
middle, where half of the bytes are written.

A request and its answer are one JSON object a line, on stdin and stdout.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curriculum.datasets import columns
from curriculum.learning.off_policy import OffPolicy
from curriculum.records import files, ledger
from curriculum.stops import Barrier

WHERE = {"at": 0, "spare": [], "skip": -1, "only": ""}
"""What a request may say of where its life ends, and what it says otherwise; see `Points`."""

STAGE = re.compile(r"tasks/[^/]+/[^/]+/round-\d+/([^/]+)")


class Points:
    """Counts the points of a life and ends it at one of them.

    Args:
        at: number of the point to die at, counted from 1; 0 is never.
        spare: labels at which the life does not die, if it is to die at the first new one.
        skip: new ones to let pass first; -1 pays no heed to labels.
        only: the one label at which the life may die; "" is any.
    """

    def __init__(self, at: int, spare: list[str], skip: int, only: str = "") -> None:
        self.labels: list[str] = []
        self.place = ""
        self._at = at
        self._spare, self._only = set(spare), only
        self._skip = skip

    def reached(self, label: str) -> bool:
        """Marks a point and tells whether the life ends here."""
        label = f"{self.place} {label}"
        self.labels.append(label)
        if len(self.labels) == self._at:
            return True
        if self._skip < 0 or label in self._spare or label != (self._only or label):
            return False
        self._skip -= 1
        return self._skip < 0

    def point(self, label: str) -> None:
        """Marks a point and dies if it is the one."""
        if self.reached(label):
            self.die()

    def die(self) -> None:
        """Ends the whole process group at once; its last label is the server's answer."""
        print(self.labels[-1], file=sys.stderr, flush=True)
        os.killpg(0, signal.SIGKILL)
        time.sleep(60)

    @contextmanager
    def around(self, label: str, half: Callable[[], None] | None = None) -> Iterator[None]:
        """Marks the points before, in the middle of and after a step."""
        self.point(f"{label} before")
        if half is not None and self.reached(f"{label} half"):
            half()
            self.die()
        yield
        self.point(f"{label} after")


def enumerate_points(points: Points) -> None:
    """Makes every durable step, every barrier and every gradient from a replay a point."""
    _watch_files(points)
    _watch_columns(points)
    _watch_ledger(points)
    _watch_barriers(points)
    _watch_gradients(points)


def _watch_files(points: Points) -> None:
    def watched(name: str, step: Callable[..., None]) -> Callable[..., None]:
        def run(self: files.Disk, path: Path, *args: Any) -> None:
            _locate(points, path)

            def torn() -> None:
                path.write_bytes(args[0][: len(args[0]) // 2])

            half = torn if name == "write" else None
            with points.around(f"{name} {_kind(path)}", half):
                step(self, path, *args)

        return run

    for name in ("make_directory", "write", "replace", "sync_directory", "remove_tree"):
        setattr(files.Disk, name, watched(name, getattr(files.Disk, name)))


def _watch_columns(points: Points) -> None:
    append, sync = columns.ColumnWriter.append, columns.ColumnWriter.sync

    def append_watched(self: columns.ColumnWriter, rows: Any) -> None:
        _locate(points, self.path)

        def half() -> None:
            data = bytes(memoryview(rows.astype(self.dtype)).cast("B")) if rows.size else b""
            with self.path.open("r+b") as file:
                file.seek(self.length())
                file.write(data[: len(data) // 2])

        with points.around("append rows", half):
            append(self, rows)

    def sync_watched(self: columns.ColumnWriter) -> None:
        _locate(points, self.path)
        with points.around("sync rows"):
            sync(self)

    columns.ColumnWriter.append = append_watched
    columns.ColumnWriter.sync = sync_watched


def _watch_ledger(points: Points) -> None:
    write = ledger.Ledger._write

    def write_watched(self: ledger.Ledger, line: bytes, sync: bool) -> None:
        event = json.loads(line)
        if "stage" in event:
            points.place = event["stage"]

        def half() -> None:
            with self.path.open("ab", buffering=0) as file:
                file.write(line[: len(line) // 2])

        with points.around(f"tell {event['event']}", half):
            write(self, line, sync)

    ledger.Ledger._write = write_watched


def _watch_barriers(points: Points) -> None:
    for name in ("reached", "may_stop"):
        step = getattr(Barrier, name)

        def run(self: Barrier, *args: Any, _step: Any = step, _name: str = name) -> Any:
            if self._commit_seconds <= 1.0:
                # Then every barrier is to commit, however fast it follows another.
                self._last_commit = -1e9
            with points.around(f"barrier {_name}"):
                return _step(self, *args)

        setattr(Barrier, name, run)


def _watch_gradients(points: Points) -> None:
    step = OffPolicy._step

    def step_watched(self: OffPolicy, *args: Any) -> Any:
        with points.around("gradient"):
            return step(self, *args)

    OffPolicy._step = step_watched


def _locate(points: Points, path: Path) -> None:
    found = STAGE.search(path.as_posix())
    if found:
        points.place = found.group(1)


def _kind(path: Path) -> str:
    """Returns what a path is, so that equal steps have equal names."""
    if path.parent.name.startswith(("commits", "0")) or path.name == "commits":
        return "commit"
    return "result" if "result.json" in path.name else "file"


def _take_for_granted() -> None:
    """Spares the lives their probes: everything that is asked for is here."""
    from curriculum.cli import walk
    from diagnostics.probe import ProbeResult, ProbeState

    def probe_all(timeout_s: float, names: list[str], **_: Any) -> dict[str, ProbeResult]:
        return {name: ProbeResult(name, ProbeState.OK, None, 0.0, "") for name in names}

    walk.probe_all = probe_all


def _life(request: dict[str, Any]) -> None:
    """Is one life, in a process of its own; does not return."""
    os.setsid()
    where = (request.get(name, default) for name, default in WHERE.items())
    points = Points(*where)
    if "timer_s" in request:
        signal.signal(signal.SIGALRM, lambda number, frame: os.killpg(0, signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, request["timer_s"])
    else:
        enumerate_points(points)
    if request.get("murder"):
        _murder_workers(random.Random(request["murder"]))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    handle = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(handle, 2)
    os.chdir(request["cwd"])
    from curriculum.cli.main import main

    code = main(request["args"])
    sys.stderr.flush()
    Path(request["log"] + ".points").write_text(json.dumps(points.labels))
    os._exit(code)


def _murder_workers(moments: random.Random) -> None:
    """Kills workers now and then, just after they were given a unit of work."""
    from curriculum.pool.process import WorkerProcess

    give = WorkerProcess.give

    def give_and_kill(self: Any, *args: Any) -> None:
        give(self, *args)
        if moments.random() < 0.15:
            self.end.interpreter.process.kill()

    setattr(WorkerProcess, "give", give_and_kill)  # noqa: B010


def _serve() -> None:
    for name in ("curriculum.cli.commands.run", *sys.argv[1:]):
        importlib.import_module(name)
    _take_for_granted()
    for line in sys.stdin:
        request = json.loads(line)
        started = time.monotonic()
        child = os.fork()
        if child == 0:
            _life(request)
        _, status = os.waitpid(child, 0)
        answer = {"code": os.waitstatus_to_exitcode(status), "s": time.monotonic() - started}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
