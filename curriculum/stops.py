"""Where a run may stop: barriers that commit when it is time and end the run when asked to."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from curriculum.errors import ExitCode, StageFailure, Stopped

REASONS = {
    ExitCode.INTERRUPTED: "stopped by Ctrl-C",
    ExitCode.TERMINATED: "stopped by SIGTERM",
    ExitCode.RESUMABLE: "stopped because --max-time was reached",
}


WATCH_SECONDS = 2.0
"""Time between two looks at what is watched."""


class Stopwatch:
    """Seconds by what they went into; what lies inside something else counts only there.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: list[str] = []
        self._since = 0.0
        self.seconds: dict[str, float] = {}

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Counts the time of a block to `name`, and not to what is around it."""
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def _turn(self) -> None:
        now = self._clock()
        if self._open:
            name = self._open[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


class Barrier:
    """Decides at each safe point whether to commit, go on or stop.

    No decision made here changes a result: the clock only says when to commit and when to stop.

    Args:
        commit_seconds: time between commits.
        max_seconds: time after which the run commits and stops; None is never.
        clock: seconds that only grow, whatever is done to the time of day.
        watch: is called every few seconds and returns why the stage cannot go on, if so.
    """

    def __init__(
        self,
        commit_seconds: float,
        max_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        watch: Callable[[], StageFailure | None] | None = None,
    ) -> None:
        self._clock = clock
        self._commit_seconds = commit_seconds
        self._end = None if max_seconds is None else clock() + max_seconds
        self._last_commit = clock()
        self._deadline: float | None = None
        self._requested: ExitCode | None = None
        self._watch = watch
        self.commits, self.committing_s = 0, 0.0
        self.stopwatch = Stopwatch()
        self._next_look = clock()

    def request_stop(self, code: ExitCode) -> None:
        """Asks the run to commit and stop at the next barrier; called from signal handlers."""
        self._requested = code

    def committed(self, seconds: float) -> None:
        """Counts a commit of the present stage and the time it took."""
        self.commits += 1
        self.committing_s += seconds

    def start_stage(self, deadline_s: float) -> None:
        """Starts the clocks of a stage."""
        self.commits, self.committing_s = 0, 0.0
        self.stopwatch = Stopwatch()
        self._last_commit = self._clock()
        self._deadline = self._last_commit + deadline_s

    def reached(self, save: Callable[[], None]) -> None:
        """Marks a safe point: saves when it is time or when the run has to stop.

        Raises:
            Stopped: after the save, if the run was asked to stop.
            StageFailure: the stage is past its deadline, or what is watched says so.
        """
        if self._stop_code() is None and self._clock() - self._last_commit >= self._commit_seconds:
            save()
            self._last_commit = self._clock()
        self.may_stop(save)

    def may_stop(self, save: Callable[[], None]) -> None:
        """Marks a point where the run can stop but has nothing new to commit.

        Raises:
            Stopped: after the save, if the run was asked to stop.
            StageFailure: the stage is past its deadline, or what is watched says so.
        """
        code = self._stop_code()
        if code is not None:
            save()
            raise Stopped(REASONS[code], code)
        if self._deadline is not None and self._clock() > self._deadline:
            save()
            raise StageFailure(
                "the stage ran past curriculum.stage_deadline_seconds", {"deadline": True}
            )
        problem = self._look()
        if problem is not None:
            save()
            raise problem

    def _look(self) -> StageFailure | None:
        if self._watch is None or self._clock() < self._next_look:
            return None
        self._next_look = self._clock() + WATCH_SECONDS
        return self._watch()

    def _stop_code(self) -> ExitCode | None:
        if self._requested is not None:
            return self._requested
        if self._end is not None and self._clock() >= self._end:
            return ExitCode.RESUMABLE
        return None


@contextmanager
def signals_to(barrier: Barrier) -> Iterator[None]:
    """Turns Ctrl-C, SIGTERM or a lost terminal into a stop at the next barrier, a second Ctrl-C
    into one now."""
    seen: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        if seen and number == signal.SIGINT:
            raise KeyboardInterrupt
        seen.append(number)
        code = ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED
        barrier.request_stop(code)

    numbers = [signal.SIGINT, signal.SIGTERM]
    # Whoever started the run with nohup wants it to outlive the terminal.
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    previous = {n: signal.signal(n, on_signal) for n in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
