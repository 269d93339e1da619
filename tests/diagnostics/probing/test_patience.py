"""A process is judged by its own work: what others took of the machine is not held against it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from diagnostics.probing import usage as usages
from diagnostics.probing.patience import LOOK_S, STRETCH, Patience
from diagnostics.probing.usage import Usage, usage

LIMIT_S = 10.0
Life = Callable[[float], Usage]
"""What a process has used after so many seconds."""

sleeps: Life = lambda t: Usage(cpu_s=0.1)  # noqa: E731
computes: Life = lambda t: Usage(cpu_s=t, ready=True)  # noqa: E731
starved: Life = lambda t: Usage(cpu_s=t / 20, waited_s=t * 19 / 20, ready=True)  # noqa: E731
starved_then_sleeps: Life = lambda t: replace(starved(min(t, 20.0)), ready=t < 20.0)  # noqa: E731
reads_a_disk: Life = lambda t: Usage(cpu_s=0.2, disk=int(10 * t))  # noqa: E731
waits_uncounted: Life = lambda t: Usage(cpu_s=0.2, ready=True)  # noqa: E731
many_threads: Life = lambda t: Usage(cpu_s=t / 2, waited_s=50 * t, ready=True)  # noqa: E731
of_old: Life = lambda t: Usage(cpu_s=0.0, waited_s=None)  # noqa: E731
of_old_starved: Life = lambda t: Usage(cpu_s=t / 20, waited_s=None)  # noqa: E731


def ended_after(life: Life, limit_s: float = LIMIT_S, crowded: bool = False) -> float:
    """Returns the wall time after which patience with a process is over."""
    now = 0.0
    patience = Patience(limit_s, clock=lambda: now, crowded=lambda: crowded)
    while not (patience.due() and patience.over(life(now))):
        now += 0.25
        assert now < 1000, "no end"
    return now


@pytest.mark.parametrize(
    ("life", "crowded", "expected_s"),
    [
        (sleeps, False, LIMIT_S),
        (sleeps, True, LIMIT_S),
        (computes, False, LIMIT_S),
        (starved, True, STRETCH * LIMIT_S),
        (starved_then_sleeps, True, LIMIT_S + 19.0),
        (reads_a_disk, False, STRETCH * LIMIT_S),
        (waits_uncounted, True, STRETCH * LIMIT_S),
        (many_threads, True, 2 * LIMIT_S),
        (of_old, True, LIMIT_S),
        (of_old_starved, False, LIMIT_S),
        (of_old_starved, True, STRETCH * LIMIT_S),
    ],
    ids=lambda value: getattr(value, "__code__", None) and str(value.__code__.co_firstlineno),
)
def test_each_kind_of_process_has_its_end(life: Life, crowded: bool, expected_s: float) -> None:
    assert ended_after(life, crowded=crowded) == pytest.approx(expected_s, abs=2 * LOOK_S)


def test_what_was_used_before_a_step_does_not_count() -> None:
    now = 100.0
    patience = Patience(LIMIT_S, clock=lambda: now)
    patience.begin(Usage(cpu_s=9.0, waited_s=50.0))
    now = 111.0
    assert not patience.over(Usage(cpu_s=12.0, waited_s=58.0))
    assert (patience.cpu_s, patience.waited_s, patience.extended) == (3.0, 8.0, True)
    patience.begin(Usage(cpu_s=12.0, waited_s=58.0))
    assert not patience.extended and patience.elapsed_s == 0.0


def test_usage_tells_a_sleeper_from_a_worker() -> None:
    def run(code: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE)

    say = "print(1, flush=True);"
    with run(f"import time;{say}time.sleep(60)") as idle, run(f"{say}\nwhile 1: pass") as working:
        try:
            for process in (idle, working):
                assert process.stdout is not None and process.stdout.readline()
            rested, worked = usage([idle.pid]), usage([working.pid])
            deadline = time.monotonic() + 60
            while usage([working.pid]).cpu_s < worked.cpu_s + 0.2:
                assert time.monotonic() < deadline, "a loop uses no CPU"
                time.sleep(0.02)
            assert usage([idle.pid]).cpu_s <= rested.cpu_s + 0.05
            assert usage([idle.pid, working.pid]).cpu_s >= worked.cpu_s + 0.2
        finally:
            idle.kill()
            working.kill()


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="it is not counted here")
def test_waiting_for_a_core_is_counted() -> None:
    """Two loops that are bound to one core: one of them always waits."""
    core = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile 1: pass"
    loops = [subprocess.Popen([sys.executable, "-S", "-c", code]) for _ in range(2)]
    try:
        deadline = time.monotonic() + 60
        while min(usage([p.pid]).waited_s or 0.0 for p in loops) < 0.3:
            assert time.monotonic() < deadline, "nobody waits"
            time.sleep(0.05)
    finally:
        for process in loops:
            process.kill()
            process.wait()


def test_what_has_ended_adds_nothing() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as process:
        process.wait()
    assert usage([process.pid]) == Usage()


def test_the_load_is_told_with_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usages, "load", lambda: 14.23)
    monkeypatch.setattr(usages, "available_cores", lambda: 2)
    assert usages.describe_load() == "load 14.2 on 2 cores"
    assert usages.busy()
    monkeypatch.setattr(usages, "available_cores", lambda: 16)
    assert not usages.busy()
