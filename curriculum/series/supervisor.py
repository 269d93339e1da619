"""Walks the runs of a series, some at the same time: starts them, waits for them, stops them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from curriculum.config.schema import Config
from curriculum.errors import ExitCode, RunIOError
from curriculum.series.display import SeriesDisplay
from curriculum.series.following import OVER, Following, is_over
from curriculum.series.plan import Series
from curriculum.series.process import Member
from curriculum.stops import heeded

TICK_S = 0.5
STOPPED = (ExitCode.RESUMABLE, ExitCode.INTERRUPTED, ExitCode.TERMINATED)
"""Exit codes of runs that go on when they are resumed."""


def followed(series: Series, config: Config) -> dict[int, Following]:
    """Returns what is to be known of each run, by seed."""
    return {seed: Following(config, series.ledger(seed)) for seed in series.seeds}


class Supervisor:
    """Has the runs of a series walked until all are over, or it has to stop.

    Args:
        series: whose lock is held.
        config: of its runs.
        jobs: runs at the same time.
        runs: what is known of each run, by seed.
        display: is shown all of it.
        left_s: seconds after which all runs commit and stop; None is never.
    """

    def __init__(
        self,
        series: Series,
        config: Config,
        jobs: int,
        runs: Mapping[int, Following],
        display: SeriesDisplay,
        left_s: float | None,
    ) -> None:
        self._series, self._config, self._jobs = series, config, jobs
        self._runs, self._display = runs, display
        self._end = None if left_s is None else time.monotonic() + left_s
        self._working: dict[int, Member] = {}
        self._stop: int | None = None
        self.codes: dict[int, int] = {}
        """What each run that is over, or was stopped, ended with."""

    def run(self) -> ExitCode:
        """Walks the runs and returns the exit code of them all.

        Raises:
            RunIOError: no process can be started.
        """
        tasks = {task.name for task in self._config.tasks}
        waiting = []
        for seed in self._series.seeds:
            over = is_over(self._series.ledger(seed), tasks)
            self._runs[seed].look()  # what was told before is not told again
            if over is None:
                waiting.append(seed)
            else:
                self._turned(seed, int(over))
        with self._signals():
            try:
                while self._working or (waiting and self._may_begin()):
                    while waiting and len(self._working) < self._jobs and self._may_begin():
                        self._begin(waiting.pop(0))
                    time.sleep(TICK_S)
                    self._attend()
            except BaseException:
                self._pass_on(signal.SIGTERM)
                raise
        return self._code(begun_all=not waiting)

    def _may_begin(self) -> bool:
        return self._stop is None and (self._left_s() is None or self._left_s() != 0.0)

    def _left_s(self) -> float | None:
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def _begin(self, seed: int) -> None:
        series = self._series
        arguments = series.arguments(seed, self._config, self._left_s())
        try:
            member = Member(seed, arguments, series.threads, series.log(seed))
        except OSError as e:
            raise RunIOError(
                f"the run of seed {seed} cannot be started: {e}; end other programs or free disk "
                f"space, then resume"
            ) from e
        self._working[seed] = member
        self._display.turned(seed, None)

    def _attend(self) -> None:
        for seed, member in list(self._working.items()):
            code = member.ended()
            self._look(seed)
            if code is not None:
                del self._working[seed]
                # A run that something killed has no code of its own.
                self._turned(seed, int(ExitCode.INTERNAL) if code < 0 else code)
        self._display.refresh()

    def _look(self, seed: int) -> None:
        for event in self._runs[seed].look():
            self._display.told(seed, event)

    def _turned(self, seed: int, code: int) -> None:
        self.codes[seed] = code
        self._display.turned(seed, code)

    def _code(self, begun_all: bool) -> ExitCode:
        if self._stop is not None:
            interrupted = self._stop == signal.SIGINT
            return ExitCode.INTERRUPTED if interrupted else ExitCode.TERMINATED
        codes = [self.codes[seed] for seed in self._series.seeds if seed in self.codes]
        wrong = next((code for code in codes if code not in (*OVER, *STOPPED)), None)
        if wrong is not None:
            return ExitCode(wrong) if wrong in set(ExitCode) else ExitCode.INTERNAL
        if not begun_all or any(code in STOPPED for code in codes):
            return ExitCode.RESUMABLE
        return ExitCode.TARGET_MISSED if ExitCode.TARGET_MISSED in codes else ExitCode.OK

    def _pass_on(self, number: int) -> None:
        for member in self._working.values():
            member.signal(number)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Passes on what asks to stop; the runs commit, and end at once if asked again."""

        def on_stop(number: int, frame: FrameType | None) -> None:
            self._stop = self._stop or number
            self._pass_on(number)

        before = {number: signal.signal(number, on_stop) for number in heeded()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
