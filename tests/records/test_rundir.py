"""Run directories: created once, opened with a clear refusal, held by one process at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from curriculum.config.loading import dump, load_config
from curriculum.errors import ConfigError, ExitCode, RunIOError, RunLocked
from curriculum.records.rundir import RunDir
from curriculum.tasks import BUILTIN
from tests.patience import HANG_S

HOLDER = """
import sys
from pathlib import Path
from curriculum.records.rundir import RunDir
with RunDir.open(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def config_text(path: Path, *sets: str) -> str:
    path.write_text("name: test\n")
    return dump(load_config(path, sets, builtin=BUILTIN))


def test_a_run_is_created_and_opened(tmp_path: Path) -> None:
    text = config_text(tmp_path / "c.yaml")
    made = RunDir.create(tmp_path / "deep" / "run", text, {"versions": {"numpy": "2"}})
    opened = RunDir.open(made.path)
    assert opened.facts == made.facts
    assert opened.facts["versions"] == {"numpy": "2"}
    assert opened.config_path.read_text() == text
    assert opened.stage_dir("pong", "FULL", 3, "vision") == (
        made.path / "tasks" / "pong" / "FULL" / "round-03" / "vision"
    )
    assert sorted(p.name for p in made.path.iterdir()) == ["config.yaml", "lock", "run.json"]


def test_the_umask_is_respected(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        run = RunDir.create(tmp_path / "run", "name: x\n")
        with run:
            modes = {p.name: p.stat().st_mode & 0o777 for p in [run.path, *run.path.iterdir()]}
    finally:
        os.umask(old)
    assert modes == {"run": 0o750, "config.yaml": 0o640, "run.json": 0o640, "lock": 0o640}


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    RunDir.create(tmp_path / "run", "name: x\n")
    with pytest.raises(ConfigError, match="holds a run already"):
        RunDir.create(tmp_path / "run", "name: y\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match=r"thesis\.tex"):
        RunDir.create(tmp_path / "other", "name: y\n")
    with pytest.raises(ConfigError, match="is a file"):
        RunDir.create(tmp_path / "other" / "thesis.tex", "name: y\n")
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["thesis.tex"]


def test_a_creation_that_was_killed_is_finished(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("name: old\n")
    assert not RunDir.exists(tmp_path / "run")
    assert RunDir.create(tmp_path / "run", "name: new\n").config_path.read_text() == "name: new\n"


@pytest.mark.parametrize("content", [None, '{"schema": 99}', "[]", "3"])
def test_what_is_no_run_is_refused_as_usage(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConfigError) as caught:
        RunDir.open(tmp_path)
    assert caught.value.exit_code == ExitCode.USAGE
    with pytest.raises(ConfigError, match="there is no run directory"):
        RunDir.open(tmp_path / "missing")
    assert sorted(tmp_path.iterdir()) == before


def test_a_directory_that_cannot_be_made_is_an_io_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunIOError, match="cannot write"):
        RunDir.create(tmp_path / "file" / "run", "name: x\n")


def test_a_second_holder_is_told_who_the_first_one_is(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", "name: x\n")
    with run, pytest.raises(RunLocked, match=f"process {os.getpid()} on .* since 20") as caught:
        RunDir.open(run.path).lock()
    assert caught.value.exit_code == ExitCode.LOCKED
    with RunDir.open(run.path):
        pass
    run.release()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", "name: x\n")
    command = [sys.executable, "-c", HOLDER, str(run.path)]
    root = Path(__file__).parents[2]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, cwd=root) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunLocked, match=f"process {holder.pid}"):
            run.lock()
        holder.send_signal(signal.SIGKILL)
        holder.wait(HANG_S)
        with run:
            pass


def test_the_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", "name: x\n")
    with pytest.raises(KeyError), run:
        raise KeyError("work")
    with RunDir.open(run.path):
        pass


def test_only_harmless_keys_may_differ_on_resume(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    run = RunDir.create(tmp_path / "run", config_text(file))
    harmless = ["curriculum.workers=2", "name=other", "curriculum.tasks=[breakout, pong]"]
    run.require_same_config(load_config(file, harmless, builtin=BUILTIN))
    with pytest.raises(ConfigError) as caught:
        run.require_same_config(load_config(file, ["vae.z_dim=8"], builtin=BUILTIN))
    assert "tasks.pong.vae.z_dim: 32 -> 8" in str(caught.value)
    # A change of a task that this walk leaves out does not matter to it.
    run.require_same_config(
        load_config(file, ["tasks.pong.target=1", "curriculum.tasks=[breakout]"], builtin=BUILTIN)
    )
