"""A deadline is missed by who sleeps, is stopped or loops, not by who waits for a processor."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from curriculum.pool import deadline
from curriculum.pool.deadline import PATIENCE, Deadline, wait
from diagnostics.probing.usage import starved_s
from tests.patience import eventually

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="the system does not count waiting"
)
LOOP = "while True: pass"


@contextmanager
def running(code: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-S", "-c", code]) as process:
        try:
            yield process
        finally:
            process.kill()


class Machine:
    """A clock, and a process that waits for a processor in a share of the time that passes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, waiting: float) -> None:
        self.now, self._waiting = 1000.0, waiting
        monkeypatch.setattr(deadline.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(deadline, "starved_s", lambda pid: self.now * self._waiting)


@pytest.mark.parametrize("waiting", [0.0, 0.5, 0.9])
def test_only_the_time_that_was_given_counts(
    monkeypatch: pytest.MonkeyPatch, waiting: float
) -> None:
    machine = Machine(monkeypatch, waiting)
    given = Deadline(1, 6.0)
    assert given.left() == 6.0
    machine.now += 6.0 / (1.0 - waiting) - 0.01
    assert 0.0 < given.left() < 0.1
    machine.now += 0.02
    assert given.left() == 0.0


def test_there_is_an_end_to_all_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, waiting=1.0)
    given = Deadline(1, 6.0)
    machine.now += 6.0 * PATIENCE - 0.1
    assert given.left() > 0.0
    machine.now += 0.2
    assert given.left() == 0.0


def test_a_process_that_is_kept_from_the_processor_is_seen_to_wait() -> None:
    here = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})\n"
    with running(here + LOOP), running(here + "os.nice(19)\n" + LOOP) as starved:
        before = starved_s(starved.pid)
        assert eventually(lambda: starved_s(starved.pid) > before + 0.3)


@pytest.mark.parametrize("code", ["import time; time.sleep(600)", LOOP])
def test_who_sleeps_or_loops_is_waited_for_in_vain(code: str) -> None:
    with running(code) as process:
        wait(process, Deadline(process.pid, 0.2))
        assert process.poll() is None


def test_who_ends_is_not_waited_for() -> None:
    with running("pass") as process:
        wait(process, Deadline(process.pid, 3000.0))
        assert process.returncode == 0
    assert starved_s(process.pid) == 0.0
