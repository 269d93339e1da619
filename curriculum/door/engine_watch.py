"""One engine under watch: what it says, whether it goes on, and when it has to be ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from typing import Any

from curriculum.door.faults import Death
from curriculum.door.process import EngineProcess
from curriculum.door.watch import Stillness
from curriculum.errors import ExitCode
from curriculum.stops import signal_name
from diagnostics.probing.usage import starved_s

GRACE_S = 2.2
"""Seconds from a signal to the engine's end or to its beginning to commit."""

GRACE_AT_ONCE_S = 1.5
COMMIT_S = 30.0
"""Seconds a last commit may take."""

MOST_STARVED_S = 15.0
"""Seconds that a busy machine may add to a grace."""

START_S = 60.0
WORK_S = 600.0
MORE_THAN_A_UNIT_S = 60.0
"""Seconds an engine may stand still beyond what a worker's unit of work may take."""

CPU_OF_AN_IMPORT, TIME_OF_AN_IMPORT = 10, 40
"""An import is over after so many times its seconds, on processors and altogether."""

_ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class EngineWatch:
    """Watches one engine.

    Args:
        engine: just started.
        asked: signals that asked to stop, and when they came; the door adds to it.
        end: when `--max-time` is over; None if it is not known, or never.
    """

    def __init__(
        self, engine: EngineProcess, asked: Sequence[tuple[int, float]], end: float | None
    ) -> None:
        self.engine, self.end = engine, end
        self.stillness = Stillness(engine.pid)
        self.result: int | None = None
        self._asked, self._passed_on = asked, 0
        self._starved_before = 0.0
        self._importing, self._place = "", dict[str, Any]()
        self._import_s, self._work_s = START_S, WORK_S
        self._ready = self._over = self._stopping = self._kept = False
        self._ended, self._timed_out = "", False

    def heed(self, kind: str, facts: dict[str, Any]) -> None:
        """Takes a message of the engine."""
        self.stillness.alive()
        if kind == "ready":
            self._ready = True
            self.pass_on()
        elif kind == "limits":
            self._import_s, self._work_s = facts["import_s"], facts["work_s"]
        elif kind == "importing":
            self._importing = facts["component"]
            self.stillness.begin()
        elif kind == "at":
            self._kept = self._kept or facts["event"] == "stage_done"
            self._place = {k: facts[k] for k in ("task", "mode", "round", "stage")}
        elif kind == "result":
            self.result = facts["code"]
        else:
            self._kept = self._kept or kind == "kept"
            self._stopping = self._stopping or kind == "stopping"
            self._over = self._over or kind == "over"

    def pass_on(self) -> None:
        """Passes signals on, once the engine can take them; called from signal handlers too."""
        while self._ready and self._passed_on < len(self._asked):
            if not self._passed_on:
                self._starved_before = starved_s(self.engine.pid)
            self._passed_on += 1
            self.engine.signal(self._asked[self._passed_on - 1][0])

    def end_what_must(self) -> None:
        """Kills the engine if it does not stop as it was asked to, or stands still."""
        now = time.monotonic()
        if self._asked and now >= self._last_moment():
            self.engine.kill()
        elif self.end is not None and not self._over and now >= self.end + self._grace():
            self._timed_out = True
            self.engine.kill()
        elif not self._asked and not self._over:
            self._ended = self._what_is_wrong()
            if self._ended:
                self.engine.kill(for_words=True)

    def stopped_with(self) -> ExitCode | None:
        """Returns the exit code of a stop, if it is one that ended the engine."""
        if self._asked:
            interrupted = self._asked[0][0] == signal.SIGINT
            return ExitCode.INTERRUPTED if interrupted else ExitCode.TERMINATED
        if self._timed_out:
            return ExitCode.RESUMABLE
        if not self._ended and -self.engine.process.returncode in _ASKING:
            return ExitCode.TERMINATED
        return None

    def death(self) -> Death:
        """Returns how the engine ended that gave no result."""
        code = self.engine.process.returncode
        if self._ended:
            how = self._ended
        elif code < 0:
            how = f"died of {signal_name(-code)}"
        else:
            how = f"exited with {code} without a result"
        by_signal = -code if code < 0 and not self._ended else 0
        words = self.engine.last_words
        return Death(how, by_signal, self._importing, self._place, words, self._kept)

    def _last_moment(self) -> float:
        """Returns when an engine that was asked to stop has to have ended."""
        number, when = self._asked[-1]
        if len(self._asked) > 1 and number == signal.SIGINT:
            return when + GRACE_AT_ONCE_S
        return self._asked[0][1] + self._grace()

    def _grace(self) -> float:
        if self._stopping:
            return COMMIT_S
        starved = starved_s(self.engine.pid) - self._starved_before if self._passed_on else 0.0
        return GRACE_S + min(max(starved, 0.0), MOST_STARVED_S)

    def _what_is_wrong(self) -> str:
        """Says how the engine fails to go on, as half a sentence; empty while it does."""
        still = self.stillness.still_s()
        if not self._importing and self._ready:
            too_long = still >= self._work_s + MORE_THAN_A_UNIT_S
            return f"stood still for {still:.0f} s" if too_long else ""
        used, lasted = self.stillness.used_s, self.stillness.lasted_s
        if still >= self._import_s:
            return f"stood still for {still:.0f} s"
        if used >= CPU_OF_AN_IMPORT * self._import_s:
            return f"used {used:.0f} s of CPU"
        if lasted >= TIME_OF_AN_IMPORT * self._import_s:
            return f"took {lasted:.0f} s"
        return ""
