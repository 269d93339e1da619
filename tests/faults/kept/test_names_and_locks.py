"""Who holds a run, what taking it removes, and what a run writes through."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curriculum.config.loading import load_config
from curriculum.errors import ConfigError, RunIOError, RunLocked
from curriculum.records.commit import CommitStore
from curriculum.records.rundir import RunDir
from tests.faults.conftest import ROOT, TINY, Sandbox
from tests.patience import eventually

BEGINNER = """
import sys, time
from pathlib import Path
from curriculum.records import rundir
write = rundir.write_json
def slow(path, value):
    Path(sys.argv[2]).touch()
    while not Path(sys.argv[3]).exists():
        time.sleep(0.01)
    write(path, value)
rundir.write_json = slow
with rundir.RunDir.begin(Path(sys.argv[1]), "name: x\\n"):
    print("begun", flush=True)
    time.sleep(600)
"""


def beginner(path: Path) -> subprocess.Popen[str]:
    """Starts a process that makes a run and waits, holding it, just ahead of run.json."""
    command = [
        sys.executable,
        "-c",
        BEGINNER,
        str(path / "run"),
        str(path / "at"),
        str(path / "go"),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


@pytest.mark.faults(
    "a second `run` while the first one makes the directory",
    expect="exit 6, and the run is the first one's alone",
)
def test_two_runs_of_one_new_directory(place: Sandbox, tmp_path: Path) -> None:
    with beginner(tmp_path) as first:
        try:
            assert eventually((tmp_path / "at").exists)
            assert not (tmp_path / "run" / "run.json").exists()
            second = place("run", "tiny.yaml", "--run-dir", str(tmp_path / "run"))
            assert second.code == 6, second.err
            assert f"process {first.pid}" in second.err
            (tmp_path / "go").touch()
            assert first.stdout is not None and first.stdout.readline() == "begun\n"
            assert RunDir.open(tmp_path / "run").config_path.read_text() == "name: x\n"
            with pytest.raises(RunLocked):
                RunDir.open(tmp_path / "run").lock()
        finally:
            first.kill()


@pytest.mark.faults(
    "SIGKILL between the lock and run.json", expect="the next run makes the directory its own"
)
def test_a_beginning_that_was_killed(place: Sandbox, tmp_path: Path) -> None:
    with beginner(tmp_path) as first:
        assert eventually((tmp_path / "at").exists)
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert place("run", "tiny.yaml", "--run-dir", str(tmp_path / "run"), "--dry-run").code == 0
    done = place("run", "tiny.yaml", "--run-dir", str(tmp_path / "run"), "--stage", "collect")
    assert done.code == 0, done.err


@pytest.mark.faults(
    "two real `run`s at once", expect="one runs, the other exits 6 or goes on later"
)
def test_two_real_runs_at_once(place: Sandbox) -> None:
    with place.alive("run", "tiny.yaml") as one, place.alive("run", "tiny.yaml") as other:
        codes = sorted([one.wait(), other.wait()])
    assert codes in ([3, 6], [3, 3]), codes
    assert place("evaluate", str(place.run), "--episodes", "1").code in (0, 3)


@pytest.mark.faults(
    "a task called {name}, and a resume", expect="its data stay; nothing but leftovers is removed"
)
@pytest.mark.parametrize("name", ["x.tmp-1", "a.tmp-12.tmp-3", "REAL", "commits", "CON", "n" * 64])
def test_a_task_may_have_any_allowed_name(tmp_path: Path, name: str) -> None:
    run = RunDir.create(tmp_path / "run", "name: x\n")
    stage = run.stage_dir(name, "FULL", 0, "vision")
    kept = [
        stage / "commits" / "000001" / "state.safetensors",
        stage / "data" / "rows.tmp-4",
        stage / "result.json",
        run.path / "notes.tmp-3" / ".x.tmp-5",
        run.path / ".mine.tmp-7",
    ]
    left = [
        stage / "commits" / "000002.tmp-77" / "state.safetensors",
        stage / ".result.json.tmp-77",
        stage / "data" / ".rows.json.tmp-77",
        run.path / ".report.md.tmp-77",
        run.path / "media" / ".a.gif.tmp-77",
    ]
    for path in (*kept, *left):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    with RunDir.open(run.path):
        pass
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in left)
    assert not left[0].parent.exists()


def test_a_save_removes_only_what_a_save_left(tmp_path: Path) -> None:
    store = CommitStore(tmp_path)
    for name in ("000009.tmp-5", "mine.tmp-5"):
        (tmp_path / "commits" / name).mkdir(parents=True)
    store.save({}, {})
    names = sorted(path.name for path in (tmp_path / "commits").iterdir())
    assert names == ["000001", "mine.tmp-5"]


def test_a_task_with_such_a_name_is_run_and_resumed(place: Sandbox) -> None:
    text = TINY + "tasks:\n  x.tmp-1: {env_id: LunarLander-v3, observation: state, target: 1, "
    text += "env: {simulation: lunarlander}, simulation_target: 1}\n"
    text = text.replace("tasks: [lunarlander], ", "")
    (place.path / "tiny.yaml").write_text(text, encoding="utf-8")
    assert place.begin().code in (0, 3)
    done = place.resume()
    assert done.code in (0, 3), done.err
    assert len(place.events("stage_skipped")) == 6 and len(place.events("stage_done")) == 6


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", "", "ü", "a b", "n" * 65, "x\n"])
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    task = {"env_id": "X-v0", "observation": "state", "target": 1}
    (tmp_path / "c.yaml").write_text(json.dumps({"tasks": {name: task}}), encoding="utf-8")
    with pytest.raises(ConfigError, match="expected a name"):
        load_config(tmp_path / "c.yaml")


PLANTED = [
    "lock",
    "events.jsonl",
    "report.md",
    "run.json",
    "tasks",
    "tasks/lunarlander",
    "tasks/lunarlander/SIMULATION/round-00/controller/commits",
    "tasks/lunarlander/SIMULATION/round-00/collect/data/rewards.bin",
    "tasks/lunarlander/SIMULATION/round-00/evaluate/result.json",
]


@pytest.mark.faults(
    "{planted} of a run is a link to somewhere else", expect="exit 7; what it leads to is untouched"
)
@pytest.mark.parametrize("planted", PLANTED)
def test_nothing_is_written_through_a_link(place: Sandbox, whole: Sandbox, planted: str) -> None:
    shutil.copytree(whole.run, place.run)
    path, elsewhere = place.run / planted, place.path / "elsewhere"
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)
    before = tree(elsewhere)
    done = place.resume()
    assert done.code == 7, done.err
    assert "a link" in done.err and "Traceback" not in done.err
    assert tree(elsewhere) == before and path.is_symlink()


@pytest.mark.faults("{planted} of a run is a pipe", expect="exit 2, 5 or 7 and a sentence, no hang")
@pytest.mark.parametrize("planted", [p for p in PLANTED if "." in p or p == "lock"])
def test_a_pipe_in_a_files_place_is_told(place: Sandbox, whole: Sandbox, planted: str) -> None:
    shutil.copytree(whole.run, place.run)
    (place.run / planted).unlink()
    os.mkfifo(place.run / planted)
    for command in ("resume", "report"):
        done = place(command, str(place.run))
        assert done.code in ((2, 5, 7) if command == "resume" else (0, 2, 5, 7)), done.err
        assert "Traceback" not in done.err


def test_a_directory_that_was_a_run_for_a_moment_is_refused(tmp_path: Path) -> None:
    RunDir.create(tmp_path / "run", "name: x\n")
    with pytest.raises(ConfigError, match="holds a run already"):
        RunDir.begin(tmp_path / "run", "name: y\n")
    link = tmp_path / "linked"
    link.symlink_to(tmp_path / "run")
    with RunDir.open(link):
        time.sleep(0)


def test_a_lock_that_is_no_file_is_refused(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", "name: x\n")
    (run.path / "lock").unlink()
    (run.path / "lock").mkdir()
    with pytest.raises(RunIOError, match="lock"):
        RunDir.open(run.path).lock()


def tree(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {"": path.read_bytes()}
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
