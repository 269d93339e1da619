"""A run told in plain lines, for logs, pipes and simple terminals; and a run told not at all."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TextIO

from curriculum.config.schema import Config
from curriculum.progress import Progress
from curriculum.records.events import handlers
from curriculum.show.panels import progress_line
from curriculum.show.view import RunView
from curriculum.show.words import duration, facts, interval, number, outcome, plain, tried

BETWEEN_LINES_S = 5.0

MOST_WAITING_BYTES = 1 << 20
PATIENCE_S = 1.0
"""What waits for a reader at most, and how long its taking nothing is borne at the end."""


class LosableStream:
    """Writes to a stream until it is closed or refuses, and is silent from then on.

    A run is worth more than its picture: whoever reads our output may go away (`| head`, a closed
    terminal) at any time, or stay and read nothing.

    Args:
        stream: where to write; None, as `sys.stdout` is where there is none, is lost already.
        waits: whether to wait for a reader, as a result is worth; otherwise nobody ever waits, and
            what a reader leaves standing beyond `MOST_WAITING_BYTES` is dropped.

    Attributes:
        lost: why nothing is written any more; empty while all is well.
    """

    def __init__(self, stream: TextIO | None, waits: bool = True) -> None:
        self._stream = stream
        self.lost = "" if stream is not None else "there is no stream"
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self.errors = "replace"
        self._writer = None if waits else _writer_to(stream)

    def write(self, text: str) -> int:
        if self._writer is not None:
            self._writer.write(text.encode(self.encoding, "replace"))
        elif not self.lost and self._stream is not None:
            try:
                self._stream.write(self._encodable(text))
            except (OSError, ValueError) as e:
                self._lose(e)
        return len(text)

    def flush(self) -> None:
        if self._writer is None and not self.lost and self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as e:
                self._lose(e)

    def drain(self) -> None:
        """Gives a reader that is slow a moment to take what waits for it."""
        if self._writer is not None:
            self._writer.drain()

    def isatty(self) -> bool:
        """Whether a terminal is at the other end; a closed stream has none."""
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError as e:
            self._lose(e)
            return False

    def fileno(self) -> int:
        if self._stream is None:
            raise OSError("there is no stream")
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def _encodable(self, text: str) -> str:
        return text.encode(self.encoding, "replace").decode(self.encoding)

    def _lose(self, error: Exception) -> None:
        self.lost = f"{type(error).__name__}: {error}"
        if self._stream is not None and self._stream is sys.stdout and not self._stream.closed:
            # What is still buffered would fail again when the interpreter flushes at its end.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


class _Writer:
    """Writes to a file descriptor in a thread of its own, which alone waits for a reader."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting: deque[bytes] = deque()
        self._bytes, self._taken = 0, 0
        self._lost = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="writer", daemon=True).start()

    def write(self, data: bytes) -> None:
        with self._changed:
            if data and not self._lost and self._bytes + len(data) <= MOST_WAITING_BYTES:
                self._waiting.append(data)
                self._bytes += len(data)
                self._changed.notify_all()

    def drain(self) -> None:
        with self._changed:
            before = -1
            while self._bytes and before != self._taken:
                before = self._taken
                self._changed.wait_for(lambda: not self._bytes, PATIENCE_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                data = self._waiting[0]
            try:
                written = os.write(self._fd, data)
            except OSError:
                # Whoever read has gone.
                self._lose()
                return
            with self._changed:
                self._waiting[0] = data[written:]
                if not self._waiting[0]:
                    self._waiting.popleft()
                self._bytes -= written
                self._taken += written
                self._changed.notify_all()

    def _lose(self) -> None:
        with self._changed:
            self._lost = True
            self._waiting.clear()
            self._bytes = 0
            self._changed.notify_all()


def _writer_to(stream: TextIO | None) -> _Writer | None:
    """Returns what writes to a stream without waiting; None where it is no file of the system."""
    try:
        if stream is None:
            return None
        stream.flush()
        return _Writer(stream.fileno())
    except (OSError, ValueError):
        return None  # a stream in memory, or a closed one: writing there waits for nobody


class PlainLines:
    """Writes one line per start, end and verdict, and progress at most every few seconds.

    Args:
        config: of the run.
        stream: where to write.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        config: Config,
        stream: TextIO | LosableStream | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream = stream if isinstance(stream, LosableStream) else LosableStream(stream)
        self._clock = clock
        self._view = RunView(config, clock)
        self._last = clock()
        self._said = 0
        self._told_fallbacks: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stream.flush()
        self.stream.drain()

    def on_event(self, event: dict[str, Any]) -> None:
        """Writes what an event means to a person, if anything."""
        before = len(self._view.notices)
        newest = self._view.notices[-1] if before else None
        self._view.on_event(event)
        tell = _TELL.get(event["event"])
        if tell is not None:
            self._write(tell(event))
        if self._view.notices and self._view.notices[-1] is not newest:
            self._write(self._view.notices[-1][1])
        self._tell_fallbacks()

    def on_progress(self, progress: Progress) -> None:
        """Writes a line of progress unless the last one was just written."""
        self._view.on_progress(progress)
        if self._clock() - self._last < BETWEEN_LINES_S:
            return
        shown = {k: v for k, v in progress.facts.items() if k != "rate"}
        place = _place(vars(progress))
        parts = [progress_line(self._view), facts(shown)]
        self._write(f"{place}: {' · '.join(part for part in parts if part)}")

    def _tell_fallbacks(self) -> None:
        for text, tasks in self._view.fallbacks.items():
            for task in tasks:
                if (text, task) not in self._told_fallbacks:
                    self._told_fallbacks.add((text, task))
                    self._write(f"{task} runs on less: {text}")

    def _write(self, text: str) -> None:
        self.stream.write(f"[{duration(self._view.elapsed_s):>6}] {plain(text)}\n")
        self.stream.flush()
        self._last = self._clock()


def wants_lines(stream: LosableStream, environ: Mapping[str, str]) -> bool:
    """Tells whether a stream is to get plain lines: it is no terminal, or a simple one.

    Args:
        stream: where to show.
        environ: `TERM=dumb` asks for plain lines; `NO_COLOR` takes the colours alone.
    """
    simple = environ.get("TERM", "") in ("", "dumb", "unknown")
    return simple or not stream.isatty()


class Quiet:
    """Shows nothing while the run works."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Has nothing to end."""

    def on_event(self, event: dict[str, Any]) -> None:
        """Shows nothing."""

    def on_progress(self, progress: Progress) -> None:
        """Shows nothing."""


def _place(event: dict[str, Any]) -> str:
    round_ = f"round {int(event.get('round') or 0) + 1}"
    return " ".join(str(event.get(k)) for k in ("task", "mode", "stage")) + f" {round_}"


def _started(event: dict[str, Any]) -> str:
    hardware = event.get("hardware") or {}
    machine = ", ".join(f"{k} {v}" for k, v in hardware.items())
    resumed = "goes on" if event.get("resumed") else "starts"
    return (
        f"run {event.get('name')} {resumed} in {event.get('run_dir')}, "
        f"seed {event.get('seed')}, {machine}"
    )


def _stage_started(event: dict[str, Any]) -> str:
    attempt = event.get("attempt") or 0
    return f"{_place(event)}: started" + (f", attempt {attempt + 1}" if attempt else "")


def _stage_done(event: dict[str, Any]) -> str:
    return f"{_place(event)}: done in {duration(event.get('seconds'))}, {event.get('result')}"


def _stage_skipped(event: dict[str, Any]) -> str:
    return f"{_place(event)}: was done before, {event.get('result')}"


def _check(event: dict[str, Any]) -> str:
    score, target = number(event.get("score")), number(event.get("target"))
    told = f"{_place(event)}: update {event.get('generation')} checked, {score} of {target}"
    if event.get("median") is None:
        return told
    return (
        f"{told}, median {number(event.get('median'))}, {number(event.get('lowest'))} to "
        f"{number(event.get('highest'))}, {plain(event.get('distinct_games'))} different games of "
        f"{plain(event.get('episodes'))}"
    )


def _verdict(event: dict[str, Any]) -> str:
    mode, task, why = event.get("mode"), plain(event.get("task")), _why_not(event)
    if mode is None and why:
        return f"{task} was not run: {why.removeprefix(f'{task}: ')}"
    return (
        f"{event.get('task')} {mode or 'no mode'} verdict: "
        f"{outcome(event.get('verdict'), mode)}, {number(event.get('score'))} "
        f"{interval(event.get('interval'))} of {number(event.get('target'))}"
        + "".join(f", {words}" for words in [tried(event), why] if words)
    )


def _why_not(event: dict[str, Any]) -> str:
    """Says why a task has no score; empty if it has one."""
    reasons = event.get("reasons") or ()
    return str(reasons[-1]) if event.get("score") is None and reasons else ""


def _stopped(event: dict[str, Any]) -> str:
    return f"{event.get('reason')}; go on with: {event.get('resume')}"


def _finished(event: dict[str, Any]) -> str:
    return f"finished, exit code {event.get('exit_code')}"


_TELL = handlers(
    {
        "run_started": _started,
        "stage_started": _stage_started,
        "stage_done": _stage_done,
        "stage_skipped": _stage_skipped,
        "check": _check,
        "verdict": _verdict,
        "run_stopped": _stopped,
        "run_finished": _finished,
    }
)
