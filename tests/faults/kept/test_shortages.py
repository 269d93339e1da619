"""A shortage of a moment ends a run where it can be resumed, and uses up nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from curriculum.errors import RunIOError, StageFailure
from curriculum.records.files import SHORTAGES, shortage
from curriculum.records.ledger import Ledger
from curriculum.runs.history import History
from curriculum.runs.imports import guarded
from tests.faults.conftest import Sandbox
from tests.records.samples import facts_of


def raising(error: BaseException) -> Any:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize("number", SHORTAGES)
def test_what_the_system_is_short_of_is_no_failure(number: int) -> None:
    with pytest.raises(RunIOError, match="then resume"):
        guarded(raising(OSError(number, os.strerror(number))), "stage memory failed")


def test_memory_and_threads_are_short_too() -> None:
    for error in (MemoryError("9 GiB"), RuntimeError("can't start new thread")):
        assert shortage(error) is not None
        with pytest.raises(RunIOError):
            guarded(raising(error), "stage memory failed")
    failure = StageFailure("memory is short", {"memory": {}})
    with pytest.raises(RunIOError, match="memory is short"):
        guarded(raising(failure), "stage memory failed")


def test_a_cause_counts_and_another_error_does_not() -> None:
    try:
        raise StageFailure("a worker could not be started") from OSError(errno.EMFILE, "files")
    except StageFailure as e:
        assert "ulimit -n" in str(shortage(e))
    assert shortage(OSError(errno.ENOENT, "nothing there")) is None
    with pytest.raises(StageFailure):
        guarded(raising(OSError(errno.ENOENT, "nothing there")), "stage memory failed")


def test_failures_that_earlier_versions_recorded_do_not_count(tmp_path: Path) -> None:
    ledger, here = Ledger(tmp_path / "events.jsonl"), ("pong", "FULL", 0, "memory")
    place = dict(zip(("task", "mode", "round", "stage"), here, strict=True))
    for reason in ("OSError: [Errno 24] Too many open files", "MemoryError: 9 GiB", "it is NaN"):
        ledger.append("stage_failed", **facts_of("stage_failed", **place, reason=reason))
    config: Any = SimpleNamespace()
    rundir: Any = None
    found = History(config, rundir, ledger).failures(here)
    assert [event["reason"] for event in found] == ["it is NaN"]


@pytest.mark.faults(
    "`ulimit -n {files}` for a run, then none",
    expect="exit 7 and a sentence if it does not do; resume tries again and ends as ever",
)
@pytest.mark.parametrize("files", [6, 8, 10, 12, 14, 16, 20, 24])
def test_few_open_files(place: Sandbox, whole: Sandbox, files: int) -> None:
    wrapper = ("bash", "-c", f'ulimit -n {files}; exec "$@"', "bash")
    done = place("run", "tiny.yaml", "--set=curriculum.workers=1", wrapper=wrapper)
    assert done.code in (3, 4, 7), done.err
    assert "Traceback" not in done.err
    if done.code == 7:
        assert "ulimit -n" in done.err
    if (place.run / "events.jsonl").exists():
        assert "not_run" not in [e["verdict"] for e in place.events("verdict")]
    done = place.begin()
    assert done.code == 3, done.err
    assert place.events("verdict")[-1]["verdict"] == "missed"
    assert place.learned()[0] == whole.learned()[0]
