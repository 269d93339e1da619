from __future__ import annotations

import os
import signal

import pytest

from curriculum.errors import ExitCode, StageFailure, Stopped
from curriculum.stops import Barrier, Stopwatch, signals_to


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Saves:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def test_a_barrier_commits_when_it_is_time_and_not_before() -> None:
    clock, saves = Clock(), Saves()
    barrier = Barrier(60.0, clock=clock)
    barrier.start_stage(3600.0)
    for now, expected in ((130.0, 0), (160.0, 1), (170.0, 1), (221.0, 2)):
        clock.now = now
        barrier.reached(saves)
        assert saves.count == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_at_the_next_barrier_after_one_save(number: int) -> None:
    saves, barrier = Saves(), Barrier(60.0)
    with signals_to(barrier):
        os.kill(os.getpid(), number)
        with pytest.raises(Stopped) as stopped:
            barrier.reached(saves)
    expected = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}
    assert stopped.value.exit_code == expected[signal.Signals(number)]
    assert saves.count == 1


def test_a_second_interrupt_does_not_wait_for_a_barrier() -> None:
    with pytest.raises(KeyboardInterrupt), signals_to(Barrier(60.0)):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with signals_to(Barrier(1.0)):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_max_time_commits_and_stops_with_the_resumable_code() -> None:
    clock, saves = Clock(), Saves()
    barrier = Barrier(60.0, max_seconds=10.0, clock=clock)
    barrier.reached(saves)
    clock.now += 10.0
    with pytest.raises(Stopped) as stopped:
        barrier.may_stop(saves)
    assert stopped.value.exit_code == ExitCode.RESUMABLE
    assert saves.count == 1


def test_a_stage_past_its_deadline_is_failed_after_a_save() -> None:
    clock, saves = Clock(), Saves()
    barrier = Barrier(1e9, clock=clock)
    barrier.start_stage(5.0)
    clock.now += 6.0
    with pytest.raises(StageFailure, match="stage_deadline_seconds"):
        barrier.reached(saves)
    assert saves.count == 1


def test_a_stopwatch_counts_each_second_once() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    with watch.on("outer"):
        clock.now += 1.0
        with watch.on("inner"):
            clock.now += 2.0
        clock.now += 4.0
        with pytest.raises(KeyError), watch.on("inner"):
            clock.now += 8.0
            raise KeyError
    clock.now += 16.0
    with watch.on("outer"):
        clock.now += 32.0
    assert watch.seconds == {"outer": 37.0, "inner": 10.0}


def test_each_stage_has_a_stopwatch_of_its_own() -> None:
    barrier = Barrier(60.0)
    with barrier.stopwatch.on("learning"):
        pass
    barrier.start_stage(5.0)
    assert barrier.stopwatch.seconds == {}
