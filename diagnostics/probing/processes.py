"""A subprocess that cannot outstay: bounded in time, in output, and with its whole family.

`subprocess.run(timeout=...)` kills only the direct child and then waits, without a bound, for
whoever still holds its pipes. Here output goes to files, every wait has an end, and whatever the
child started is found by session, by descent and by an inherited environment variable.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from diagnostics.probing.patience import Patience
from diagnostics.probing.usage import Usage, stat_fields, usage

MARKER = "CURRICULUM_PROBE"
"""Environment variable that every guarded process and its descendants carry."""

OUTPUT_LIMIT_BYTES = 8 * 2**20
GRACE_S = 0.5
REAP_S = 2.0
SWEEP_ROUNDS = 20
SWEEP_PAUSE_S = 0.02


class ProcessEntry(NamedTuple):
    """One line of the process table; `start` tells a process from a later one of the same pid."""

    parent: int
    session: int
    start: float


class GuardedProcess:
    """A command in a session of its own, started at once and driven by `poll`.

    Args:
        argv: the command.
        timeout_s: seconds of its own after which it is terminated, then killed; on a busy machine
            it is given longer, see `Patience`.
        env: variables to set on top of this process's.
        files: files (name to text) to put into its private directory before it starts.

    Attributes:
        directory: its private working directory, removed by `close`.
        patience: its limit, and what it used of it.
        nonce: the value of `CURRICULUM_PROBE` in its environment.
        stopped_by: None if it ended by itself, else `timeout`, `flood` or the caller's word.
        returncode: as in `subprocess`; None if it could not even be killed.
        seconds: wall time from start to end.

    Raises:
        OSError: the private directory or the process could not be made.
    """

    def __init__(
        self,
        argv: Sequence[str],
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
    ) -> None:
        self.nonce = secrets.token_hex(16)
        self.stopped_by: str | None = None
        self.returncode: int | None = None
        self.seconds = 0.0
        self._over = False
        self._family: dict[int, ProcessEntry] = {}
        self._kill_at = 0.0
        self.directory = Path(tempfile.mkdtemp(prefix="curriculum-probe-"))
        # Held open here, so that a child which deletes its directory can still be watched.
        self._output: dict[str, BinaryIO] = {}
        try:
            for name, text in (files or {}).items():
                (self.directory / name).write_text(text, encoding="utf-8")
            for stream in ("stdout", "stderr"):
                self._output[stream] = (self.directory / stream).open("w+b")
            self._started = time.monotonic()
            self.patience = Patience(timeout_s)
            self._process = self._spawn(argv, env or {})
        except BaseException:
            self._clear()
            raise

    def poll(self) -> bool:
        """Moves the guard one step on, without blocking; returns whether the process is over."""
        if self._over:
            return True
        now = time.monotonic()
        if self._process.poll() is not None:
            self._finish()
        elif self.stopped_by is not None:
            if now >= self._kill_at:
                self._finish()
        elif self.patience.due() and self.patience.over(self.used()):
            self.stop("timeout")
        elif self._output_bytes() > OUTPUT_LIMIT_BYTES:
            self.stop("flood")
        return self._over

    def stop(self, reason: str) -> None:
        """Asks the process to end; `poll` kills it when the grace is over."""
        if self._over or self.stopped_by is not None:
            return
        self.stopped_by = reason
        self._kill_at = time.monotonic() + GRACE_S
        self._family = family(self._process.pid, self.nonce)
        _signal_group(self._process.pid, signal.SIGTERM)

    @property
    def age_s(self) -> float:
        """Wall time from its start to its end, or until now."""
        return self.seconds if self._over else time.monotonic() - self._started

    def used(self) -> Usage:
        """Returns what it and its relatives have used of the machine."""
        return usage({self._process.pid, *family(self._process.pid, self.nonce)})

    def wait(self, poll_s: float = 0.005) -> None:
        """Blocks until the process is over; bounded by its patience and the grace."""
        while not self.poll():
            time.sleep(poll_s)

    def close(self) -> None:
        """Kills whatever is left, without grace, and removes the private directory."""
        try:
            if not self._over:
                self.stopped_by = self.stopped_by or "closed"
                self._finish()
        finally:
            self._clear()

    @property
    def pid(self) -> int:
        """Its process, which leads its session."""
        return self._process.pid

    @property
    def flooded(self) -> bool:
        """Whether it printed more than a probe may, killed for it or not."""
        return self.stopped_by == "flood" or self._output_bytes() > OUTPUT_LIMIT_BYTES

    def tail(self, stream: str, size_bytes: int = 65536) -> str:
        """Returns the end of what it wrote to `stdout` or `stderr`."""
        fd = self._output[stream].fileno()
        start = max(0, os.fstat(fd).st_size - size_bytes)
        return os.pread(fd, size_bytes, start).decode("utf-8", "replace")

    def _spawn(self, argv: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=self._output["stdout"],
            stderr=self._output["stderr"],
            cwd=self.directory,
            env={**os.environ, **env, MARKER: self.nonce},
            start_new_session=True,
        )

    def _output_bytes(self) -> int:
        return sum(os.fstat(file.fileno()).st_size for file in self._output.values())

    def _clear(self) -> None:
        for file in self._output.values():
            file.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _finish(self) -> None:
        self._over = True
        self.seconds = time.monotonic() - self._started
        pid = self._process.pid
        if self._process.poll() is None:
            self._family |= family(pid, self.nonce)
        _signal_group(pid, signal.SIGKILL)
        try:
            self.returncode = self._process.wait(timeout=REAP_S)
        except subprocess.TimeoutExpired:
            # It sits in the kernel (a dead network disk, a wedged driver) and dies when that ends.
            self.returncode = None
        _sweep(pid, self.nonce, self._family)


def import_path() -> str:
    """Returns a PYTHONPATH under which a child imports exactly what this process would."""
    here = str(Path(__file__).resolve().parents[1])
    entries = [str(Path(p or ".").resolve()) for p in sys.path]
    return os.pathsep.join(dict.fromkeys([*entries, here]))


def family(pid: int, nonce: str) -> dict[int, ProcessEntry]:
    """Finds the living relatives of a guarded process, itself excluded.

    Args:
        pid: the guarded process, alive or dead.
        nonce: its marker; it finds descendants that left the session and lost their parent.
    """
    table = _process_table()
    found = {p for p, entry in table.items() if entry.session == pid}
    grown = {pid}
    while grown:
        found |= grown
        grown = {p for p, entry in table.items() if entry.parent in grown} - found
    found |= {p for p in table if p not in found and _carries(p, nonce)}
    return {p: table[p] for p in found - {pid, os.getpid()} if p in table}


def _sweep(pid: int, nonce: str, known: Mapping[int, ProcessEntry]) -> None:
    for _ in range(SWEEP_ROUNDS):
        table = _process_table() if known else {}
        left = {p for p, entry in known.items() if p in table and table[p].start == entry.start}
        left |= family(pid, nonce).keys()
        if not left:
            return
        for relative in left:
            _kill(relative)
        time.sleep(SWEEP_PAUSE_S)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # it ended in the meantime, or became another user's: nothing more can be done


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # nobody is left in the group (macOS says so with EPERM)


def _process_table() -> dict[int, ProcessEntry]:
    if not Path("/proc/self/stat").exists():
        return _psutil_table()
    table: dict[int, ProcessEntry] = {}
    for path in Path("/proc").iterdir():
        entry = _proc_entry(path) if path.name.isdigit() else None
        if entry is not None:
            table[int(path.name)] = entry
    return table


def _proc_entry(path: Path) -> ProcessEntry | None:
    try:
        state, parent, _, session, *rest = stat_fields(path)
    except OSError:
        return None  # it ended between the listing and the reading
    if state in "ZX":
        return None
    return ProcessEntry(int(parent), int(session), float(rest[15]))


def _carries(pid: int, nonce: str) -> bool:
    wanted = f"{MARKER}={nonce}"
    try:
        return wanted.encode() in Path("/proc", str(pid), "environ").read_bytes().split(b"\0")
    except OSError:
        return False  # it ended, is another user's, or there is no /proc


def _psutil_table() -> dict[int, ProcessEntry]:
    """The process table where there is no /proc; empty without psutil."""
    try:
        import psutil
    except ImportError:
        return {}
    table: dict[int, ProcessEntry] = {}
    for process in psutil.process_iter(["ppid", "create_time", "status"]):
        info = process.info
        if info["status"] != psutil.STATUS_ZOMBIE and info["create_time"] is not None:
            table[process.pid] = ProcessEntry(
                info["ppid"] or 0, _session_of(process.pid), info["create_time"]
            )
    return table


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0  # it ended, or the system keeps it to itself
