"""Where a run may stop: barriers that commit when it is time and end the run when asked to.

Between barriers only what would be done again as a whole is broken off: `Barrier.breakable`.
"""

from __future__ import annotations

import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

from curriculum.errors import ExitCode, StageFailure, Stopped
from curriculum.progress import Unwatched, Watcher

_T = TypeVar("_T")

REASONS = {
    ExitCode.INTERRUPTED: "stopped by Ctrl-C",
    ExitCode.TERMINATED: "stopped by SIGTERM",
    ExitCode.RESUMABLE: "stopped because --max-time was reached",
}


WATCH_SECONDS = 2.0
"""Time between two looks at what is watched."""

AGAIN_SECONDS = 0.25
"""Time until work that has to stop is broken off again, where something caught it the last time."""


class BrokenOff(BaseException):
    """Ends breakable work in its middle, because the run has to stop; no error, nobody's fault."""


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
        watcher: is told that the run goes on, commits and stops.
    """

    def __init__(
        self,
        commit_seconds: float,
        max_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        watch: Callable[[], StageFailure | None] | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self._clock = clock
        self._commit_seconds = commit_seconds
        self._end = None if max_seconds is None else clock() + max_seconds
        self._last_commit = clock()
        self._deadline: float | None = None
        self._requested: ExitCode | None = None
        self._watch = watch
        self._watcher = watcher or Unwatched()
        self._breakable = False
        self.commits, self.committing_s = 0, 0.0
        self.stopwatch = Stopwatch()
        self._next_look = clock()

    def request_stop(self, code: ExitCode) -> None:
        """Asks the run to commit and stop at the next barrier; called from signal handlers."""
        self._requested = code

    @property
    def left_s(self) -> float | None:
        """Seconds until the run commits and stops by itself; None is never."""
        return None if self._end is None else max(0.0, self._end - self._clock())

    @contextmanager
    def breakable(self) -> Iterator[None]:
        """Marks work that a stop may break off anywhere: nobody sees what it has done by then.

        Raises:
            BrokenOff: the run has to stop; `may_stop` says so to whoever called it.
        """
        try:
            self._breakable = True
            self.break_off()
            yield
        finally:
            self._breakable = False

    def breaking_off(self, work: Callable[[], _T], save: Callable[[], None]) -> _T:
        """Does work that may be broken off anywhere: what `save` commits is as it was before.

        Raises:
            Stopped: after the save, if the run was asked to stop.
        """
        try:
            with self.breakable():
                return work()
        except BrokenOff:
            self.may_stop(save)
            raise  # a stop that was asked for is never taken back

    def break_off(self) -> None:
        """Breaks off breakable work if the run has to stop; called from signal handlers.

        Raises:
            BrokenOff: there is such work.
        """
        if self._breakable and self._stop_code() is not None:
            raise BrokenOff

    def committed(self, seconds: float) -> None:
        """Counts a commit of the present stage and the time it took."""
        self._watcher.tell("kept")
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
            # What is committed within breakable work must not be.
            self._breakable = False
            self._watcher.tell("stopping")
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
        if self._clock() < self._next_look:
            return None
        self._watcher.tell("alive")
        self._next_look = self._clock() + WATCH_SECONDS
        return None if self._watch is None else self._watch()

    def _stop_code(self) -> ExitCode | None:
        if self._requested is not None:
            return self._requested
        if self._end is not None and self._clock() >= self._end:
            return ExitCode.RESUMABLE
        return None


class Guard:
    """A barrier, and what is committed where the run has to stop at it.

    Args:
        barrier: of the run.
        save: commits what stands.
    """

    def __init__(self, barrier: Barrier, save: Callable[[], None]) -> None:
        self._barrier, self._save = barrier, save

    def reached(self) -> None:
        """Marks a safe point; see `Barrier.reached`."""
        self._barrier.reached(self._save)

    def may_stop(self) -> None:
        """Marks a point with nothing new to commit; see `Barrier.may_stop`."""
        self._barrier.may_stop(self._save)

    def breaking_off(self, work: Callable[[], _T]) -> _T:
        """Does work that may be broken off anywhere; see `Barrier.breaking_off`."""
        return self._barrier.breaking_off(work, self._save)

    def spending(self, name: str) -> AbstractContextManager[None]:
        """Counts the time spent inside as that of `name`."""
        return self._barrier.stopwatch.on(name)


@contextmanager
def signals_to(barrier: Barrier) -> Iterator[None]:
    """Turns Ctrl-C, SIGTERM, a lost terminal and the end of `--max-time` into a stop at the next
    barrier, a second Ctrl-C into one now."""
    seen: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        if seen and number == signal.SIGINT:
            raise KeyboardInterrupt
        seen.append(number)
        code = ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED
        barrier.request_stop(code)
        alarm_in(AGAIN_SECONDS)
        barrier.break_off()

    def on_alarm(number: int, frame: FrameType | None) -> None:
        barrier.break_off()

    def alarm_in(seconds: float) -> None:
        # Not before it is needed: an environment may have an alarm of its own.
        before.setdefault(signal.SIGALRM, signal.signal(signal.SIGALRM, on_alarm))
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3), AGAIN_SECONDS)

    before = {number: signal.signal(number, on_signal) for number in heeded()}
    if barrier.left_s is not None:
        alarm_in(barrier.left_s)
    try:
        yield
    finally:
        if signal.SIGALRM in before:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Ends a command at once on SIGTERM or a lost terminal, but cleaning up on the way.

    It does nothing outside the main thread, where no signal is handled.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for number in heeded() if number != signal.SIGINT]
    before = {number: signal.signal(number, _end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def resume_command(run: Path, plugins: str = "") -> str:
    """Returns the command that goes on with a run, from any directory and by this interpreter.

    Args:
        run: its directory.
        plugins: the option that names them, with a space before it.
    """
    typed = [sys.executable, "-m", "curriculum", "resume", str(run.absolute())]
    return shlex.join(typed) + plugins


def heeded() -> list[signal.Signals]:
    """Returns the signals that ask to stop, without those that whoever started us had ignored.

    A script's `&` takes Ctrl-C away from a command, and nohup the end of its terminal.
    """
    asking = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    return [n for n in asking if n == signal.SIGTERM or signal.getsignal(n) != signal.SIG_IGN]


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped(f"stopped by {signal_name(number)}", ExitCode.TERMINATED)


def signal_name(number: int) -> str:
    """Returns what a signal is called; real-time signals have no name of their own."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
