"""Walks the runs of a series, some at the same time: starts them, waits for them, stops them."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping

from curriculum.config.schema import Config
from curriculum.errors import ExitCode, RunIOError
from curriculum.pool.programs import Child, Children
from curriculum.series.display import SeriesDisplay
from curriculum.series.following import OVER, Following, is_over
from curriculum.series.plan import Series

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
        self._series, self._config = series, config
        self._runs, self._display = runs, display
        self._end = None if left_s is None else time.monotonic() + left_s
        self._children = Children(
            self._begin, jobs, self._turned, self._look, lambda: self._left_s() != 0.0
        )
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
        self._children.run(waiting)
        return self._code()

    def _left_s(self) -> float | None:
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    def _begin(self, seed: int) -> Child:
        series = self._series
        arguments = series.arguments(seed, self._config, self._left_s())
        try:
            return Child("curriculum.door.member", arguments, series.threads, series.log(seed))
        except OSError as e:
            raise RunIOError(
                f"the run of seed {seed} cannot be started: {e}; end other programs or free disk "
                f"space, then resume"
            ) from e

    def _look(self) -> None:
        for seed, run in self._runs.items():
            for event in run.look():
                self._display.told(seed, event)
        self._display.refresh()

    def _turned(self, seed: int, code: int | None) -> None:
        # A run that something killed has no code of its own.
        code = int(ExitCode.INTERNAL) if code is not None and code < 0 else code
        if code is not None:
            self.codes[seed] = code
        self._display.turned(seed, code)

    def _code(self) -> ExitCode:
        if self._children.stop is not None:
            interrupted = self._children.stop == signal.SIGINT
            return ExitCode.INTERRUPTED if interrupted else ExitCode.TERMINATED
        codes = [self.codes[seed] for seed in self._series.seeds if seed in self.codes]
        wrong = next((code for code in codes if code not in (*OVER, *STOPPED)), None)
        if wrong is not None:
            return ExitCode(wrong) if wrong in set(ExitCode) else ExitCode.INTERNAL
        if not self._children.begun_all or any(code in STOPPED for code in codes):
            return ExitCode.RESUMABLE
        return ExitCode.TARGET_MISSED if ExitCode.TARGET_MISSED in codes else ExitCode.OK
