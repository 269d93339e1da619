"""What other processes do to a run: workers that go wrong, a second run, children with the lock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from curriculum.errors import RunLocked
from curriculum.records.rundir import RunDir
from tests.faults.conftest import ROOT, Sandbox
from tests.patience import HANG_S, eventually

PLUGIN = "curriculum.plugins=[tests.faults.mischief]"


def with_workers(place: Sandbox, mischief: str, *sets: str) -> int:
    keys = ("curriculum.workers=2", "curriculum.unit_deadline_seconds=4", PLUGIN, *sets)
    done = place.begin(*keys, mischief=mischief)
    assert "Traceback" not in done.err
    return done.code


@pytest.mark.faults(
    "a worker process {how} over its work",
    expect="replaced and recorded as {event}; scores are those of the run without workers",
)
@pytest.mark.parametrize(
    ("how", "event"),
    [
        ("kills itself", "worker_died"),
        ("stops itself", "worker_hung"),
        ("never ends", "worker_hung"),
        ("raises", "unit_failed"),
        ("exits", "worker_died"),
        ("gets a real-time signal", "worker_died"),
    ],
)
def test_a_worker_goes_wrong(place: Sandbox, whole: Sandbox, how: str, event: str) -> None:
    mark = place.path / "mark"
    assert with_workers(place, f"commit_always;bad_worker={how},{mark},once") == 3
    assert mark.exists() and place.events(event)
    assert place.learned()[0] == whole.learned()[0]
    assert not place.events("pool_serial", "stage_failed")


@pytest.mark.faults(
    "every worker process is killed again and again",
    expect="the run goes on without workers, says pool_serial, and scores the same",
)
def test_all_workers_die_always(place: Sandbox, whole: Sandbox) -> None:
    assert with_workers(place, f"bad_worker=kills itself,{place.path}/mark,always") == 3
    assert len(place.events("pool_serial")) == 1
    assert place.learned()[0] == whole.learned()[0]


@pytest.mark.faults(
    "every worker process {how}, always",
    expect="a bounded number of tries, then the task ends as not_run with its reason, exit 3",
)
@pytest.mark.parametrize("how", ["raises", "exits"])
def test_all_workers_fail_always(place: Sandbox, how: str) -> None:
    assert with_workers(place, f"bad_worker={how},{place.path}/mark,always") == 3
    assert len(place.events("unit_failed")) == 6
    assert [e["left"] for e in place.events("stage_failed")] == [1, 0]
    (verdict,) = place.events("verdict")
    assert verdict["verdict"] == "not_run"
    assert place.events("stepped_down")[0]["to"] == "None"


@pytest.mark.faults(
    "the search is given fitness that is {how}",
    expect="the stage fails with the reason, is retried, then not_run, exit 3; no NaN in a commit",
)
@pytest.mark.parametrize(("how", "said"), [("nan", "NaN"), ("too short", "controller failed")])
def test_bad_fitness(place: Sandbox, how: str, said: str) -> None:
    done = place.begin(mischief=f"bad_fitness={how}")
    assert done.code == 3, done.err
    failures = place.events("stage_failed")
    assert [e["stage"] for e in failures] == ["controller", "controller"]
    assert said in failures[0]["reason"]
    assert place.events("verdict")[0]["verdict"] == "not_run"
    assert not (place.search / "result.json").exists()
    assert not list(place.search.glob("commits/*/state.safetensors"))


@pytest.mark.faults(
    "two runs on one directory at once, also by a link to it",
    expect="the second exits 6 naming the first's process; the first ends undisturbed",
)
def test_two_runs_at_once(place: Sandbox) -> None:
    args = ("run", "tiny.yaml", "--cma-generations", "100000")
    with place.alive(*args, stdout=subprocess.DEVNULL) as first:
        ledger = place.run / "events.jsonl"
        assert eventually(lambda: ledger.exists() and bool(place.events("metrics")))
        (place.path / "link").symlink_to(place.run)
        for directory in (place.run, place.path / "link"):
            second = place(*args, "--run-dir", str(directory))
            assert second.code == 6, second.err
            engine = psutil.Process(first.pid).children()[0]
            assert f"in use by process {engine.pid} on " in second.err
        first.send_signal(signal.SIGTERM)
        assert first.wait(HANG_S) == 143
        assert first.stderr is not None and "Go on with" in first.stderr.read()


@pytest.mark.faults(
    "a lock file that a killed run, or nobody, left behind ({content})",
    expect="it holds nobody up; the lock is signed anew",
)
@pytest.mark.parametrize("content", ['{"pid": 1, "host": "x", "started": 0}', "\0\0\0", ""])
def test_a_stale_lock(half: Sandbox, content: str) -> None:
    (half.run / "lock").write_text(content, encoding="utf-8")
    with RunDir.open(half.run):
        holder = json.loads((half.run / "lock").read_text(encoding="utf-8"))
        assert holder["pid"] == os.getpid()


@pytest.mark.faults(
    "a forked child lives on with its parent's lock",
    expect="free once the parent gives it back; the child cannot give it back for the parent",
)
def test_a_forked_child_and_the_lock(half: Sandbox) -> None:
    rundir = RunDir.open(half.run)
    rundir.lock()
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            inherited = os.dup(rundir._lock._handle or 0)
            rundir.release()
            os.write(told, bytes([inherited]))
            signal.pause()
        finally:
            os._exit(0)
    os.close(told)
    try:
        assert os.read(ready, 1), "the child has ended"
        with pytest.raises(RunLocked, match=f"process {os.getpid()} on"):
            RunDir.open(half.run).lock()
        rundir.release()
        with RunDir.open(half.run):
            assert psutil.pid_exists(child)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)


@pytest.mark.faults(
    "SIGKILL of a run with busy workers",
    expect="its workers end by themselves, the lock is free, resume = uninterrupted",
)
def test_workers_of_a_killed_run(place: Sandbox, whole: Sandbox) -> None:
    mischief = f"commit_always;kill_at_save=3;bad_worker=raises,{place.path}/mark,once"
    assert with_workers(place, mischief) == -signal.SIGKILL
    assert eventually(lambda: not place.processes())
    plugins = "--plugins=tests.faults.mischief"
    assert place.resume(plugins, env={"PYTHONPATH": str(ROOT)}).code == 3
    assert place.learned()[0] == whole.learned()[0]


@pytest.mark.faults(
    "the time of day jumps a day forward and back all through a run",
    expect="exit 3 as ever, and the weights and scores of the run under a steady clock",
)
def test_a_clock_that_jumps(place: Sandbox, whole: Sandbox) -> None:
    sets = ("curriculum.stage_deadline_seconds=7200", "curriculum.unit_deadline_seconds=7200")
    done = place.begin(*sets, mischief="commit_always;jumping_clock")
    assert done.code == 3, done.err
    assert place.learned() == whole.learned()
    times = [e["t"] for e in place.events("stage_started", "stage_done")]
    assert max(times) - min(times) > 86_400
    assert all(0 <= e["seconds"] < 7200 for e in place.events("stage_done"))


@pytest.mark.faults(
    "the parent's interpreter cannot be started again for a worker",
    expect="the run goes on without workers, says pool_serial, and scores the same",
)
def test_no_worker_starts(place: Sandbox, whole: Sandbox) -> None:
    script = Path(place.path / "python")
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *serve*) exit 1;; esac\nexec {sys.executable} "$@"\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    done = place.begin("curriculum.workers=2", mischief=f"other_interpreter={script}")
    assert done.code == 3, done.err
    assert len(place.events("worker_not_started")) == 3
    assert len(place.events("pool_serial")) == 1
    assert place.learned()[0] == whole.learned()[0]
