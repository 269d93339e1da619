"""Runs of several seeds, stopped and killed in every way: each is the run that it is alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from safetensors.numpy import load_file

from tests.cli.conftest import ROOT, TINY, Command, commands_in
from tests.patience import HANG_S, eventually

WALK = ("run", "tiny.yaml", "--tasks", "lunarlander", "--cma-generations", "120")
SEEDS = (4, 7, 2)
SERIES = (*WALK, "--seeds", "4,7,2", "--jobs", "2", "--run-dir", "many")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple]:
    """What each seed comes to in a run of its own, with the threads that it has in the series."""
    place = tmp_path_factory.mktemp("alone")
    (place / "tiny.yaml").write_text(TINY, encoding="utf-8")
    for seed in SEEDS:
        run = commands_in(place)
        done = run(*WALK, "--seed", str(seed), "--run-dir", f"seed-{seed}", env=one_thread())
        assert done.code == 3, done.err
    return {seed: outcome(place / f"seed-{seed}") for seed in SEEDS}


def one_thread() -> dict[str, str]:
    return {"OMP_NUM_THREADS": "1"}


def events(run: Path, name: str) -> list[dict]:
    lines = (run / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [e for e in map(json.loads, lines) if e["event"] == name]


def outcome(run: Path) -> tuple:
    """Scores, checks and weights of a finished run."""
    results = json.loads((run / "evaluation_results.json").read_text(encoding="utf-8"))
    scores = results["tasks"][0]["evaluations"][0]["scores"]
    checks = {e["generation"]: e["score"] for e in events(run, "check")}
    weights = load_file(sorted(run.glob("tasks/*/*/*/controller/commits/*/*.safetensors"))[-1])
    return scores, checks, {name: array.tobytes() for name, array in weights.items()}


def outcomes(place: Path) -> dict[int, tuple]:
    return {seed: outcome(place / "many" / f"seed-{seed}") for seed in SEEDS}


@contextmanager
def alive(place: Path, *words: str) -> Iterator[subprocess.Popen]:
    """A series that is working; all of it is gone afterwards."""
    environment = {**os.environ, **one_thread(), "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "curriculum", *words]
    with subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            yield process
        finally:
            for left in [*family(process.pid), process]:
                left.kill()


def family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def both_search(series: subprocess.Popen, place: Path) -> bool:
    """Waits until two runs are in their search, of which something is committed."""
    eventually(lambda: series.poll() is not None or searching(place))
    return series.poll() is None


def searching(place: Path) -> bool:
    begun = place.glob("many/seed-*/tasks/*/*/*/controller/commits/0*/manifest.json")
    return len({path.relative_to(place).parts[1] for path in begun}) == 2


OFTEN = ("--set", "curriculum.commit_seconds=1")
LONG = ("--set", "controller.generations=100000", *OFTEN)


def test_each_run_of_a_series_is_the_run_that_it_is_alone(
    place: Path, alone: dict[int, tuple]
) -> None:
    curriculum = commands_in(place)
    done = curriculum(*SERIES, env=one_thread())
    assert done.code == 3, done.err
    assert outcomes(place) == alone
    assert "0 of 3 runs passed" in done.out and "seed 7: target missed" in done.out
    # It is over: nothing is done again, and the report is the same.
    before = [len(events(place / "many" / f"seed-{seed}", "run_started")) for seed in SEEDS]
    again = curriculum("resume", "many", "--json")
    assert again.code == 3, again.err
    told = json.loads(again.out)
    assert told["exit_codes"] == {"4": 3, "7": 3, "2": 3}
    assert [len(events(place / "many" / f"seed-{s}", "run_started")) for s in SEEDS] == before
    report = curriculum("report", "many")
    assert (
        report.code == 0
        and report.out.strip() == (place / "many" / "report.md").read_text(encoding="utf-8").strip()
    )
    more = curriculum(*WALK, "--seeds", "2,9", "--run-dir", "many", env=one_thread())
    assert more.code == 3, more.err
    assert list(json.loads((place / "many" / "results.json").read_text())["exit_codes"]) == [
        *("4", "7", "2", "9")
    ]


@pytest.mark.faults(
    "a series of runs gets {signal.name} while two of them work",
    expect="all commit and stop, it exits as one run does, and the same command goes on, equal",
)
@pytest.mark.parametrize(
    ("signal", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_stopped_series(
    place: Path, alone: dict[int, tuple], signal: signal.Signals, code: int
) -> None:
    slow = (*SERIES, *OFTEN)
    with alive(place, *slow) as series:
        assert both_search(series, place)
        series.send_signal(signal)
        assert series.wait(HANG_S) == code
        assert series.stderr is not None and b"Go on with" in series.stderr.read()
        assert not family(series.pid)
    done = commands_in(place)("resume", "many", "--jobs", "2")
    assert done.code == 3, done.err
    assert outcomes(place) == alone


@pytest.mark.faults(
    "the process of a series of runs is killed by SIGKILL",
    expect="its runs notice, commit and stop by themselves; resumed, all are equal bit for bit",
)
def test_a_killed_series(place: Path, alone: dict[int, tuple]) -> None:
    with alive(place, *SERIES, *OFTEN) as series:
        assert both_search(series, place)
        orphans = family(series.pid)
        assert len(orphans) >= 4
        series.kill()
        _, left = psutil.wait_procs(orphans, timeout=HANG_S)
        assert not left
    done = commands_in(place)("resume", "many", "--jobs", "2")
    assert done.code == 3, done.err
    assert outcomes(place) == alone


@pytest.mark.faults(
    "one run of a series is killed by SIGKILL, door and engine",
    expect="the others come to their end; it exits 1 and names the log; resumed, all are equal",
)
def test_a_killed_member(place: Path, alone: dict[int, tuple]) -> None:
    with alive(place, *SERIES, *OFTEN) as series:
        assert both_search(series, place)
        member = psutil.Process(series.pid).children()[0]
        for process in [member, *member.children(recursive=True)]:
            process.kill()
        assert series.wait(HANG_S) == 1
        assert series.stderr is not None and b".log" in series.stderr.read()
    # On a busy machine the killed one, too, may have written its last event before the signal came.
    assert len([s for s in SEEDS if events(place / "many" / f"seed-{s}", "run_finished")]) >= 2
    done = commands_in(place)("resume", "many", "--jobs", "2")
    assert done.code == 3, done.err
    assert outcomes(place) == alone


@pytest.mark.faults(
    "two series of runs on one directory at once",
    expect="the second exits 6 naming the first's process; the first is undisturbed",
)
def test_two_series_at_once(place: Path) -> None:
    with alive(place, *SERIES, *LONG) as series:
        assert both_search(series, place)
        second = commands_in(place)(*SERIES, *LONG)
        assert second.code == 6 and f"in use by process {series.pid}" in second.err
        assert series.poll() is None


def test_max_time_stops_all_runs_and_begins_no_more(place: Path) -> None:
    done = commands_in(place)(*SERIES, *LONG, "--max-time", "8s")
    assert done.code == 75, done.err
    assert "3 of 3 runs are not over" in done.err
    assert not (place / "many" / "seed-2").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--seed", "3"), "--seed and --seeds"),
        (("--fork", "elsewhere"), "--fork starts one run"),
        (("--set", "vae.z_dim=8"), "vae.z_dim: 32 -> 8"),
        (("--jobs", "0"), "no whole number of at least 1"),
        (("--seeds", "3-1"), "no range"),
    ],
)
def test_what_does_not_go_together_is_refused(
    place: Path, words: tuple[str, ...], sentence: str
) -> None:
    curriculum: Command = commands_in(place)
    if "vae.z_dim=8" in words:
        begun = curriculum(*SERIES, "--stage", "collect", "--max-time", "0s")
        assert begun.code == 75, begun.err
    refused = curriculum(*SERIES, *words)
    assert refused.code == 2 and sentence in refused.err
    assert "vae.z_dim=8" in words or not (place / "many").exists()


def test_a_dry_run_writes_nothing(place: Path) -> None:
    done = commands_in(place)(*SERIES, "--dry-run")
    assert done.code == 0 and "would run 3 seeds, 2 at a time" in done.out
    assert "seed 7 in many/seed-7" in done.out and not (place / "many").exists()
