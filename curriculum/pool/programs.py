"""Programs of ours as child processes, some at a time: started, passed signals, and waited for.

A child ends with its parent: it holds the reading end of a pipe whose other end the parent holds
and never writes to. However the parent ends, the system closes that, and the child stops as it
does by SIGTERM.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Generic, TypeVar

from curriculum.stops import heeded
from models.numeric.threads import variables

TICK_S = 0.5

_K = TypeVar("_K", bound=Hashable)


class Child:
    """One process, in a process group of its own.

    Args:
        module: that is run; it has to call `end_with` with its first argument.
        arguments: that follow.
        threads: that it may compute with.
        log: what it prints is appended there.

    Raises:
        OSError: the system starts no more processes, or the log cannot be written.
    """

    def __init__(self, module: str, arguments: Sequence[str], threads: int, log: Path) -> None:
        theirs, self._ours = os.pipe()
        command = [sys.executable, "-m", module, str(theirs), *arguments]
        environment = {**os.environ, **variables(threads)}
        try:
            with log.open("ab") as lines:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=lines,
                    stderr=subprocess.STDOUT,
                    pass_fds=(theirs,),
                    process_group=0,
                    env=environment,
                )
        except OSError:
            os.close(self._ours)
            raise
        finally:
            os.close(theirs)

    def ended(self) -> int | None:
        """Returns its exit code, minus the signal's number if one killed it; None while it runs."""
        code = self._process.poll()
        if code is not None and self._ours >= 0:
            os.close(self._ours)
            self._ours = -1
        return code

    def signal(self, number: int) -> None:
        """Passes a signal on; one that has ended needs none."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


def end_with(pipe: int) -> None:
    """Has this process, which is a child, stop by SIGTERM when its parent is no more.

    Args:
        pipe: the first argument that `Child` gave.
    """
    os.set_inheritable(pipe, False)

    def wait() -> None:
        os.read(pipe, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


class Children(Generic[_K]):
    """Has work done by child processes until all of it is, or it has to stop.

    Args:
        start: starts the child of a piece of work.
        at_once: children at the same time.
        turned: is told of each piece that it was begun, or its exit code.
        tick: is called about twice a second, and once more after a child has ended.
        may_begin: whether more work may be begun.

    Attributes:
        stop: the first signal that asked to stop; it was passed on to all children, as are more.
        begun_all: whether every piece of work was begun.
    """

    def __init__(
        self,
        start: Callable[[_K], Child],
        at_once: int,
        turned: Callable[[_K, int | None], object],
        tick: Callable[[], object],
        may_begin: Callable[[], bool] = lambda: True,
    ) -> None:
        self._start, self._at_once = start, at_once
        self._turned, self._tick, self._may_begin = turned, tick, may_begin
        self._working: dict[_K, Child] = {}
        self.stop: int | None = None
        self.begun_all = False

    def run(self, keys: Sequence[_K]) -> None:
        """Has pieces of work done, in their order.

        Raises:
            OSError: a child cannot be started; those that run are asked to stop.
        """
        waiting = list(keys)
        with self._signals():
            try:
                while self._working or (waiting and self._may_go_on()):
                    while waiting and len(self._working) < self._at_once and self._may_go_on():
                        key = waiting.pop(0)
                        self._working[key] = self._start(key)
                        self._turned(key, None)
                    time.sleep(TICK_S)
                    self._attend()
            except BaseException:
                self._pass_on(signal.SIGTERM)
                raise
        self.begun_all = not waiting

    def _may_go_on(self) -> bool:
        return self.stop is None and self._may_begin()

    def _attend(self) -> None:
        over = {key: child.ended() for key, child in self._working.items()}
        self._tick()
        for key, code in over.items():
            if code is not None:
                del self._working[key]
                self._turned(key, code)

    def _pass_on(self, number: int) -> None:
        for child in self._working.values():
            child.signal(number)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Passes on what asks to stop; children commit, and end at once if asked again."""

        def on_stop(number: int, frame: FrameType | None) -> None:
            self.stop = self.stop or number
            self._pass_on(number)

        before = {number: signal.signal(number, on_stop) for number in heeded()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
