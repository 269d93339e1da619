"""The pool: equal results whoever does the work, and nothing that a worker does ends the parent."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from curriculum.errors import StageFailure
from curriculum.pool import Pool, UnitFailed, in_order
from curriculum.pool.process import WorkerProcess
from curriculum.pool.reference import reference_to, resolve
from tests.curriculum import pool_functions as work
from tests.patience import HANG_S, eventually

HERE = Path(__file__).parent
SLEEPER = "import time; time.sleep(10**6)"


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Every test, whatever it did, ends without a child, a zombie included."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    yield
    after = psutil.Process().children(recursive=True)
    assert [child for child in after if child.pid not in before] == []


@pytest.fixture
def events() -> list[dict[str, Any]]:
    return []


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


def misdeeds(tmp_path: Path, how: str, at: int = 1, count: int = 4, **more: Any) -> list[dict]:
    """Units of which one misbehaves; the others are innocent."""
    units: list[dict[str, Any]] = [{"value": i} for i in range(count)]
    units[at] |= {"how": how, "mark": str(tmp_path / how), **more}
    return units


def test_results_are_equal_for_any_number_of_workers() -> None:
    seeds = list(range(9))
    results = []
    for workers in (0, 1, 2, 3):
        with Pool(workers, work.build, (2.0,)) as pool:
            results.append(pool.map(work.scaled_normals, seeds))
    expected = [2.0 * np.random.default_rng(seed).standard_normal(5) for seed in seeds]
    for result in results:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_units_and_results_cross_by_value(workers: int) -> None:
    with Pool(workers, work.build, (1.0,)) as pool:
        kept = pool.map(work.reused_buffer, [1, 2, 3])
        assert [float(array[0]) for array in kept] == [1.0, 2.0, 3.0]
        units: list[list[int]] = [[], []]
        assert pool.map(work.changes_its_unit, units) == [[1], [1]]
        assert units == [[], []]


@pytest.mark.parametrize("workers", [0, 2])
def test_results_are_told_once_each_and_dropped_on_demand(workers: int) -> None:
    told: dict[int, Any] = {}
    waits: list[int] = []
    with Pool(workers, work.build, (1.0,)) as pool:
        kept = pool.map(
            work.uses,
            range(5),
            on_result=lambda number, result: told.update({number: result}),
            on_wait=lambda: waits.append(1),
            keep=False,
        )
        assert pool.map(work.uses, []) == []
    assert kept == []
    assert sorted(told) == list(range(5))
    assert bool(waits) == (workers > 0)


@pytest.mark.parametrize("workers", [0, 1])
def test_context_lives_between_maps_until_it_is_refreshed(workers: int, tmp_path: Path) -> None:
    mark = tmp_path / "closed"
    with Pool(workers, work.build, (1.0, str(mark))) as pool:
        assert pool.map(work.uses, [0, 0]) == [(1.0, 1), (1.0, 2)]
        assert pool.map(work.uses, [0]) == [(1.0, 3)]
        assert not mark.exists()
        pool.refresh((5.0,))
        assert pool.map(work.uses, [0]) == [(5.0, 1)]
        assert mark.exists()


@pytest.mark.faults(
    "a pool's worker goes wrong over its unit: {how}",
    expect="recorded as worker_died; the unit is done again by another worker",
)
@pytest.mark.parametrize("how", ["killed", "exits_0", "aborts"])
def test_unit_of_a_dead_worker_is_done_again(
    how: str, tmp_path: Path, events: list[dict[str, Any]]
) -> None:
    with Pool(2, on_event=events.append) as pool:
        assert pool.map(work.misbehave, misdeeds(tmp_path, how)) == [0, 10, 20, 30]
    assert names(events)[0] == "worker_died"
    assert events[0]["unit"] == 1
    json.dumps(events)
    if how == "aborts":
        assert events[0]["how"] == "was killed by SIGABRT"
        assert "last words" in events[0]["log"]
        assert "_speak_and_abort" in events[0]["log"]


@pytest.mark.faults(
    "a pool's worker hangs over its unit: {how}",
    expect="killed at the deadline, recorded as worker_hung; the unit is done again",
)
@pytest.mark.parametrize("how", ["stopped", "sleeps", "ignores_sigterm"])
def test_unit_of_a_hung_worker_is_done_again(
    how: str, tmp_path: Path, events: list[dict[str, Any]]
) -> None:
    with Pool(2, deadline_s=1.0, on_event=events.append) as pool:
        assert pool.map(work.misbehave, misdeeds(tmp_path, how)) == [0, 10, 20, 30]
    assert names(events) == ["worker_hung", "unit_failed"]
    if how == "sleeps":
        assert "_sleep" in events[0]["log"]


@pytest.mark.faults(
    "a unit of work goes wrong once ({how}), {workers} workers",
    expect="recorded as unit_failed and done again; equal results",
)
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("how", ["raises", "sys_exit"])
def test_unit_that_raised_is_done_again(
    how: str, workers: int, tmp_path: Path, events: list[dict[str, Any]]
) -> None:
    with Pool(workers, on_event=events.append) as pool:
        assert pool.map(work.misbehave, misdeeds(tmp_path, how)) == [0, 10, 20, 30]
    assert names(events) == ["unit_failed"]


@pytest.mark.faults(
    "a unit of work raises always, {workers} workers",
    expect="UnitFailed after a bounded number of tries; the pool works on",
)
@pytest.mark.parametrize("workers", [0, 2])
def test_unit_that_always_raises_fails_with_its_traceback(
    workers: int, tmp_path: Path, events: list[dict[str, Any]]
) -> None:
    with Pool(workers, max_attempts=2, on_event=events.append) as pool:
        with pytest.raises(UnitFailed, match=r"unit 1 of .* failed 2 times: Arith.*flew") as error:
            pool.map(work.misbehave, misdeeds(tmp_path, "raises", always=True))
        assert isinstance(error.value, StageFailure)
        assert "_raise" in error.value.evidence["detail"]
        json.dumps(error.value.evidence)
        assert pool.map(work.misbehave, [{"value": 7}]) == [70]
    assert names(events) == ["unit_failed", "unit_failed"]


@pytest.mark.faults(
    "a unit of work aborts every process it is done in",
    expect="UnitFailed naming SIGABRT; the parent never does it itself",
)
def test_unit_that_always_crashes_is_never_let_into_the_parent(tmp_path: Path) -> None:
    with Pool(1, max_attempts=2) as pool, pytest.raises(UnitFailed, match="SIGABRT"):
        pool.map(work.misbehave, misdeeds(tmp_path, "aborts", always=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_broken_initializer_and_result_are_failures_too(workers: int) -> None:
    with Pool(workers, work.build, (), max_attempts=1) as pool:
        with pytest.raises(UnitFailed, match="missing 1 required"):
            pool.map(work.uses, [0])
        pool.refresh((1.0,))
        with pytest.raises(UnitFailed, match="pickle"):
            pool.map(work.unpicklable, [0])


@pytest.mark.faults(
    "a pool's workers are always killed",
    expect="pool_serial is told once; the parent does the work",
)
def test_work_goes_on_in_the_parent_when_workers_are_always_killed(
    events: list[dict[str, Any]],
) -> None:
    parent = os.getpid()
    with Pool(2, on_event=events.append) as pool:
        assert pool.map(work.kill_worker_only, [parent] * 4) == [parent] * 4
        assert pool.map(work.kill_worker_only, [parent]) == [parent]
    assert names(events).count("pool_serial") == 1


@pytest.mark.faults(
    "a pool's workers cannot be started, or end at once",
    expect="pool_serial is told; the parent does the work",
)
def test_work_goes_on_in_the_parent_when_no_worker_starts(
    monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with Pool(2, work.build, (1.0,), on_event=events.append) as pool:
        assert pool.map(work.uses, range(2)) == [(1.0, 1), (1.0, 2)]
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with Pool(2, work.build, (1.0,), on_event=events.append) as pool:
        assert pool.map(work.uses, range(2)) == [(1.0, 1), (1.0, 2)]
    assert names(events).count("pool_serial") == 2


def test_big_arrays_cross_in_both_directions() -> None:
    units = [np.full(3_000_000, i, dtype=np.float32) for i in range(4)]
    with Pool(2) as pool:
        for i, result in enumerate(pool.map(work.echo, units)):
            np.testing.assert_array_equal(result, units[i] + 1)


@pytest.mark.faults(
    "a worker is frozen before it reads a unit of 12 MB",
    expect="the parent is not; worker_hung is told and the unit done again",
)
def test_worker_frozen_before_it_reads_a_big_unit_does_not_freeze_the_parent(
    events: list[dict[str, Any]],
) -> None:
    unit = np.zeros(3_000_000, dtype=np.float32)
    with Pool(1, deadline_s=2.0, on_event=events.append) as pool:
        pid, _ = pool.map(work.where, [0])[0]
        os.kill(pid, signal.SIGSTOP)
        assert pool.map(work.echo, [unit])[0].sum() == 3_000_000
    assert "worker_hung" in names(events)


@pytest.mark.faults(
    "an idle worker is killed",
    expect="replaced at the next unit of work",
)
def test_idle_worker_that_was_killed_is_replaced(events: list[dict[str, Any]]) -> None:
    with Pool(1, on_event=events.append) as pool:
        pid, _ = pool.map(work.where, [0])[0]
        os.kill(pid, signal.SIGKILL)
        # Its last thread has to be gone too, or it may still be given the unit.
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert pool.map(work.where, [0])[0][0] != pid
    assert names(events) == ["worker_died"]
    assert events[0]["unit"] is None


def test_worker_that_grows_is_replaced_between_units(events: list[dict[str, Any]]) -> None:
    with Pool(1, on_event=events.append, recycle_growth_bytes=40 << 20) as pool:
        assert pool.map(work.leaks, range(8)) == [10 * i for i in range(8)]
    # 16 MiB a unit after the first one: the fourth unit's end is the first beyond 40 MiB.
    assert names(events) == ["worker_recycled"]
    assert events[0]["grown_bytes"] > 40 << 20


def test_children_of_a_dead_worker_go_with_it(tmp_path: Path) -> None:
    with Pool(1) as pool:
        assert pool.map(work.misbehave, misdeeds(tmp_path, "orphan")) == [0, 10, 20, 30]
        assert eventually(lambda: not any(map(_is_sleeper, psutil.process_iter(["cmdline"]))))


def _is_sleeper(process: psutil.Process) -> bool:
    alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return alive and (process.info["cmdline"] or [""])[-1] == SLEEPER


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_interruption_stops_busy_workers_and_leaves_the_pool_usable(
    error: type[BaseException], tmp_path: Path
) -> None:
    def interrupt(number: int, result: Any) -> None:
        assert eventually((tmp_path / "sleeps").exists)
        raise error

    pool = Pool(2)
    units = misdeeds(tmp_path, "sleeps", count=2)
    with pytest.raises(error):
        pool.map(work.misbehave, units, on_result=interrupt)
    assert pool.map(work.misbehave, units) == [0, 10]
    pool.close()
    pool.close()
    with pytest.raises(RuntimeError, match="closed"):
        pool.map(work.misbehave, units)


def test_workers_start_lazily_with_few_threads_and_leave_the_environment_alone() -> None:
    before = dict(os.environ)
    with Pool(2, threads_per_worker=3) as pool:
        assert psutil.Process().children() == []
        (pid, environment), *_ = pool.map(work.where, [0, 0])
    assert pid != os.getpid()
    assert environment["OMP_NUM_THREADS"] == environment["OPENBLAS_NUM_THREADS"] == "3"
    assert environment["SDL_VIDEODRIVER"]
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    "arguments",
    [{"workers": -1}, {"workers": 1, "max_attempts": 0}, {"workers": 1, "deadline_s": 0.0}],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a pool needs"):
        Pool(**arguments)


def _nested() -> Callable[[Any, Any], Any]:
    def nested(context: Any, unit: Any) -> Any:
        return unit

    return nested


@pytest.mark.parametrize(
    "function",
    [
        lambda context, unit: unit,
        _nested(),
        partial(work.echo, None),
        [].append,
        work.Context(1.0).close,
    ],
    ids=["lambda", "nested", "partial", "built-in", "method"],
)
def test_what_no_module_calls_by_its_name_is_refused_at_once(function: Any) -> None:
    with Pool(1) as pool, pytest.raises(ValueError, match="top of a module"):
        pool.map(function, [0])
    with pytest.raises(ValueError, match="top of a module"):
        Pool(1, function)


def test_a_reference_names_module_and_function() -> None:
    assert reference_to(work.echo) == "tests.curriculum.pool_functions:echo"
    assert resolve("tests.curriculum.pool_functions:echo") is work.echo


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_busy_workers_end_with_their_parent(number: signal.Signals, tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path[:0] = {[str(HERE.parents[1])]!r}\n"
        "from curriculum.pool import Pool\n"
        "from tests.curriculum import pool_functions as work\n"
        f"units = [{str(tmp_path / 'a')!r}, {str(tmp_path / 'b')!r}]\n"
        "Pool(2).map(work.touch_and_sleep, units)\n"
    )
    marks = [tmp_path / "a", tmp_path / "b"]
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        assert eventually(lambda: all(m.exists() and m.read_text() for m in marks))
        parent.send_signal(number)
    assert eventually(lambda: not any(psutil.pid_exists(int(m.read_text())) for m in marks))


@pytest.mark.faults(
    "a parent is killed with a worker's message unread", expect="the worker ends by itself"
)
def test_a_worker_whose_parent_died_with_its_message_unread_ends() -> None:
    worker = WorkerProcess(1)
    try:
        assert select.select([worker.end.socket], [], [], HANG_S)[0]
        # Closing with something unread resets the connection instead of ending it.
        worker.end.release()
        assert worker.end.interpreter.process.wait(HANG_S) == 0
    finally:
        worker.end.interpreter.signal(signal.SIGKILL)
        worker.end.interpreter.process.wait()


@pytest.mark.parametrize("arrival", list(itertools.permutations(range(4))))
def test_results_are_taken_in_the_order_of_their_units(arrival: tuple[int, ...]) -> None:
    taken: list[str] = []
    on_result = in_order(taken.append)
    for come, number in enumerate(arrival, start=1):
        on_result(number, f"result {number}")
        # What has come without a gap is passed on at once.
        gapless = next((n for n in range(5) if n not in arrival[:come]), 5)
        assert taken == [f"result {n}" for n in range(gapless)]
