"""The door of `python -m curriculum`: the light process that a person started.

`run` and `resume` work in an engine, a process of its own, because what a probe proved can fail
later: an import that hangs, exits or crashes ends an engine, not the run. The door passes signals
on, starts the engine again from the last commit, and takes only a signed result for one.
`evaluate` and `play` have an engine too, but only one: they have nothing to go on with.
"""

from __future__ import annotations

import errno
import os
import selectors
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from curriculum.door.engine_watch import EngineWatch
from curriculum.door.faults import Death, Faults
from curriculum.door.process import EngineProcess, adopt_orphans
from curriculum.errors import ExitCode
from curriculum.progress import Orders, say
from curriculum.stops import heeded, resume_command

TICK_S = 0.2
COMMIT_SECONDS = 10.0
"""Time between the commits of an engine whose forerunner died."""

_SHOW_CURSOR = b"\x1b[?25h"


class Door:
    """Starts a command's engine, watches it, and starts it again when it dies.

    Args:
        argv: what was typed.
        again: whether there is another engine when one dies.
    """

    def __init__(self, argv: Sequence[str], *, again: bool) -> None:
        self._argv, self._again = list(argv), again
        self._faults = Faults()
        self._began: dict[str, Any] = {}
        self._end: float | None = None
        """When `--max-time` is over."""
        self._asked: list[tuple[int, float]] = []
        """Signals that asked to stop, and when they came."""
        self._watch: EngineWatch | None = None

    def run(self) -> int:
        """Lets the command run to its end and returns its exit code."""
        adopt_orphans()
        self._heed_signals()
        while (code := self._live()) is None:
            continue
        # It is over: a second Ctrl-C that comes now must not change the exit code.
        for number in heeded():
            signal.signal(number, signal.SIG_IGN)
        return code

    def _live(self) -> int | None:
        """Is one engine's life; returns the command's exit code, or None if there is another."""
        try:
            engine = EngineProcess(self._argv, self._orders())
        except OSError as e:
            say(f"error: no process can be started: {e}; {_way_out(e)}, then resume")
            return int(ExitCode.IO)
        watch = self._watch = EngineWatch(engine, self._asked, self._end)
        try:
            self._attend(watch)
        finally:
            engine.clear()
        return self._ending(watch)

    def _orders(self) -> Orders:
        faults = self._faults
        left = None if self._end is None else max(0.0, self._end - time.monotonic())
        died = bool(faults.deaths or faults.broken or faults.given_up)
        return Orders(
            began=self._began,
            deaths=faults.deaths,
            broken=faults.broken,
            given_up=faults.given_up,
            commit_seconds=COMMIT_SECONDS if died else None,
            left_s=left,
        )

    def _attend(self, watch: EngineWatch) -> None:
        """Listens to an engine until it has ended."""
        engine = watch.engine
        with selectors.DefaultSelector() as selector:
            selector.register(engine.end, selectors.EVENT_READ)
            while engine.process.poll() is None:
                if engine.end.open:
                    selector.select(TICK_S)
                else:
                    time.sleep(TICK_S)
                self._listen(watch)
                watch.end_what_must()
        self._listen(watch)

    def _listen(self, watch: EngineWatch) -> None:
        for message in watch.engine.end.messages():
            kind = message.pop("kind")
            if kind == "began":
                self._began = message
            elif kind == "walking" and self._end is None and message["left_s"] is not None:
                self._end = watch.end = time.monotonic() + message["left_s"]
            elif kind == "recorded":
                del self._faults.deaths[: message["deaths"]]
            elif kind == "broken":
                self._faults.broken[message["component"]] = message["reason"]
            else:
                watch.heed(kind, message)

    def _ending(self, watch: EngineWatch) -> int | None:
        code = watch.engine.process.returncode
        if watch.result is not None and watch.result == code:
            return code
        _show_cursor()
        stop = watch.stopped_with()
        if stop is not None:
            say(self._stopped())
            return int(stop)
        death = watch.death()
        then = self._faults.add(death) if self._again else ""
        if self._again and not self._faults.end:
            say(f"the engine {death.how} {death.where}: {then}")
            return None
        return self._give_up(death)

    def _stopped(self) -> str:
        if "run_dir" not in self._began:
            return "stopped at once"
        again = resume_command(Path(self._began["run_dir"]), self._began["plugins"])
        return f"stopped at once; the last commit is valid. Go on with:\n  {again}"

    def _give_up(self, death: Death) -> int:
        why = f": {self._faults.end}" if self._faults.end else ""
        say(f"error: the engine {death.how} {death.where}{why}".rstrip())
        if death.importing.startswith("plugin "):
            return int(ExitCode.ENVIRONMENT)
        component = death.importing or death.component
        if component:
            say(f"`python -m diagnostics check --fresh` tells how {component} fares")
        return int(ExitCode.COMPONENT_MISSING if component else ExitCode.INTERNAL)

    def _heed_signals(self) -> None:
        """Passes on what asks to stop or to pause."""
        for number in heeded():
            signal.signal(number, self._on_stop)
        if signal.getsignal(signal.SIGTSTP) != signal.SIG_IGN:
            signal.signal(signal.SIGTSTP, self._on_pause)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self._asked.append((number, time.monotonic()))
        if self._watch is not None:
            self._watch.pass_on()

    def _on_pause(self, number: int, frame: FrameType | None) -> None:
        watch = self._watch
        if watch is not None:
            watch.engine.signal(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        # Here we go on: the shell has sent SIGCONT.
        if watch is not None:
            watch.engine.signal(signal.SIGCONT)
            watch.stillness.begin()


def _show_cursor() -> None:
    """Gives the terminal back the cursor that a dashboard took away and could not give back."""
    with suppress(AttributeError, OSError, ValueError):  # there is no terminal
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), _SHOW_CURSOR)


def _way_out(error: OSError) -> str:
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "raise the limit of open files (`ulimit -n`)"
    return "end other programs: memory or processes are short"
