"""Components that are probed in one interpreter, step by step, because they rest on one library.

Importing torch costs more than everything that is then done with it. So what rests on torch is
tried in one interpreter, and only what fails there is tried again in one of its own: a success
among others is a success, but a failure could be another's fault.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from diagnostics.components import Component
from diagnostics.probing.outcome import Answer, classify, read_answer, result_of
from diagnostics.probing.patience import STRETCH
from diagnostics.probing.processes import GuardedProcess, import_path
from diagnostics.probing.result import ProbeResult
from diagnostics.probing.usage import busy

CHILD = Path(__file__).resolve().parents[1] / "probe_child.py"
DEFAULTS = {"OMP_NUM_THREADS": "1", "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}


class ProbeBatch:
    """Probes components one after another in a guarded process, started at once.

    Args:
        components: at least one; each may rest on those before it.
        timeout_s: seconds of its own that each may take.
        slow_s: seconds of its own from which one counts as slow.

    Attributes:
        process: to be closed by the caller.
        results: what is known; complete for `components` unless some are in `alone` or `left`.
        alone: those to be tried again in a process of their own.
        left: those that were not reached.

    Raises:
        OSError: the process could not be started.
    """

    def __init__(self, components: Sequence[Component], timeout_s: float, slow_s: float) -> None:
        self.components = tuple(components)
        self.results: list[ProbeResult] = []
        self.alone: tuple[Component, ...] = ()
        self.left: tuple[Component, ...] = ()
        self._slow_s = slow_s
        self._answers: list[Answer] = []
        self._seconds: list[float] = []
        self._step_began = time.monotonic()
        self.process = _start(self.components, timeout_s)

    @property
    def begun(self) -> tuple[Component, ...]:
        """The components whose turn has come; the last of them is the present one."""
        return self.components[: len(self._answers) + 1]

    @property
    def waited_s(self) -> float:
        """Seconds in which it was kept waiting for a core, as far as that is known."""
        if self.process.returncode is None:
            waited = self.process.used().waited_s
        else:
            waited = self._answers[-1].waited_s if self._answers else self.process.patience.waited_s
        if waited is None:
            return self.process.age_s if busy() else 0.0
        return min(waited, self.process.age_s)

    def poll(self) -> bool:
        """Moves on without blocking; returns whether the process is over and the results known."""
        over = self.process.poll()
        while self._answered():
            if not over and len(self._answers) < len(self.components):
                self.process.patience.begin(self.process.used())
        if over:
            self._settle()
        return over

    def _answered(self) -> bool:
        """Takes the next answer, if there is one that lets the process go on."""
        step = len(self._answers)
        answer = read_answer(self.process, step) if step < len(self.components) else None
        if answer is None or answer.last:
            return False
        now = time.monotonic()
        self._answers.append(answer)
        self._seconds.append(now - self._step_began)
        self._step_began = now
        return True

    def _settle(self) -> None:
        process, reached = self.process, len(self._answers)
        clean = process.returncode == 0 and process.stopped_by is None and not process.flooded
        if len(self.components) == 1 or reached == 0:
            # Nothing ran before it: this is as good as alone.
            first = self.components[0]
            self.results = [classify(first.name, process, 0, process.seconds, self._slow_s)]
            self.left = self.components[1:]
        elif reached == len(self.components) and not clean:
            self.alone = self.components  # it failed at the end, and any of them may be the cause
        else:
            befores = [None, *self._answers]
            self.results = [
                result_of(component.name, answer, before, seconds, self._slow_s)
                for component, answer, before, seconds in zip(
                    self.components, self._answers, befores, self._seconds, strict=False
                )
            ]
            self.alone = self.components[reached : reached + 1]
            self.left = self.components[reached + 1 :]


def _start(components: Sequence[Component], timeout_s: float) -> GuardedProcess:
    env = {k: v for k, v in DEFAULTS.items() if k not in os.environ}
    hard_s = STRETCH * timeout_s * len(components)
    numbers = (timeout_s, hard_s, os.getpid(), len(components))
    # -P keeps the probe's own folder off sys.path; import_path gives it what the prober sees.
    argv = [sys.executable, "-P", "-u", str(CHILD), ".", *map(str, numbers)]
    files = {f"step{n}.py": component.code for n, component in enumerate(components)}
    return GuardedProcess(argv, timeout_s, {**env, "PYTHONPATH": import_path()}, files)
