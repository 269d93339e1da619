"""What comes to a run from outside: signals, odd terminals and homes, streams nobody reads."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from curriculum.records.commit import CommitStore
from tests.faults.conftest import Sandbox
from tests.patience import HANG_S, eventually

SURROUNDINGS: dict[str, dict[str, str | None]] = {
    "TERM=dumb, 20 columns": {"TERM": "dumb", "COLUMNS": "20", "LINES": "5"},
    "LANG=C without UTF-8": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "no HOME, no TERM, no LANG": {"HOME": None, "TERM": None, "LANG": None, "XDG_CACHE_HOME": None},
    "HOME that cannot be written": {"HOME": "/dev/null", "XDG_CACHE_HOME": None},
}


def goes_on(place: Sandbox, whole: Sandbox) -> None:
    assert CommitStore(place.search).damage() == []
    done = place.resume()
    assert done.code == 3, done.err
    assert place.learned() == whole.learned()
    assert place.leftovers() == []


@pytest.mark.faults(
    "{signals} to a run in its search",
    expect="a commit, exit {code}, the resume command on screen, resume = uninterrupted",
)
@pytest.mark.parametrize(("signals", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_stops_a_run(place: Sandbox, whole: Sandbox, signals: str, code: int) -> None:
    done = place.begin(mischief=f"commit_always;raise_at_save=2,{signals}")
    assert done.code == code, done.err
    assert f"python -m curriculum resume {place.run}" in done.err
    assert place.events("run_stopped")[0]["exit_code"] == code
    assert place.leftovers() == []
    goes_on(place, whole)


@pytest.mark.faults(
    "Ctrl-C twice",
    expect="exit 130 at once, last commit valid, the resume command, resume = uninterrupted",
)
def test_ctrl_c_twice(place: Sandbox, whole: Sandbox) -> None:
    mischief = "commit_always;raise_at_save=2,SIGINT;raise_at_save=2,SIGINT"
    done = place.begin(mischief=mischief)
    assert done.code == 130, done.err
    assert "stopped at once; the last commit is valid" in done.err
    assert "python -m curriculum resume" in done.err and "Traceback" not in done.err
    goes_on(place, whole)


@pytest.mark.faults(
    "SIGHUP: the terminal is closed", expect="the last commit is valid, resume = uninterrupted"
)
def test_hanging_up(place: Sandbox, whole: Sandbox) -> None:
    done = place.begin(mischief="commit_always;raise_at_save=2,SIGHUP")
    assert done.code == 143, done.err
    goes_on(place, whole)


@pytest.mark.faults(
    "SIGHUP under nohup", expect="the run takes no notice: exit 3 and the scores as ever"
)
def test_hanging_up_under_nohup(place: Sandbox, whole: Sandbox) -> None:
    done = place.begin(mischief="commit_always;raise_at_save=2,SIGHUP", wrapper=("nohup",))
    assert done.code == 3, done.err
    assert place.learned() == whole.learned()


@pytest.mark.faults(
    "SIGSTOP for longer than a unit's deadline, then SIGCONT",
    expect="the run takes no notice: exit 3 and the scores as ever",
)
def test_a_run_that_is_held(place: Sandbox, whole: Sandbox) -> None:
    sets = ("--set=curriculum.workers=1", "--set=curriculum.unit_deadline_seconds=2")
    mischief = "commit_always;raise_at_save=2,SIGSTOP"
    with place.alive("run", "tiny.yaml", *sets, mischief=mischief) as process:
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        time.sleep(2.5)
        process.send_signal(signal.SIGCONT)
        assert process.wait(HANG_S) == 3
    assert place.learned()[0] == whole.learned()[0]
    assert not place.events("stage_failed")


@pytest.mark.faults(
    "--max-time is over in the search", expect="a commit, exit 75, the resume command, 3 at last"
)
def test_max_time(place: Sandbox) -> None:
    done = place("run", "tiny.yaml", "--max-time", "1s", "--cma-generations", "200")
    assert done.code == 75, done.err
    assert "--max-time was reached; everything is committed" in done.err
    assert place.leftovers() == []
    assert place.resume().code == 3
    assert len(place.events("verdict")) == 1


@pytest.mark.faults(
    "SIGKILL of the whole process group, workers included, while they work",
    expect="no process left, last commit valid, resume = uninterrupted",
)
def test_the_group_is_killed(place: Sandbox, whole: Sandbox) -> None:
    how = {"mischief": "commit_always", "start_new_session": True, "stdout": subprocess.DEVNULL}
    sets = ("--set=curriculum.workers=2",)
    with place.alive("run", "tiny.yaml", *sets, **how) as process:
        assert eventually((place.search / "commits").exists)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait(HANG_S) == -signal.SIGKILL
    assert eventually(lambda: not place.processes())
    done = place.resume()
    assert done.code == 3, done.err
    assert place.learned()[0] == whole.learned()[0]
    assert not list(place.run.rglob("*.tmp-*"))


@pytest.mark.faults(
    "started with {where}", expect="exit 3 and the scores as ever, every task's verdict is shown"
)
@pytest.mark.parametrize("where", SURROUNDINGS)
def test_surroundings(place: Sandbox, whole: Sandbox, where: str) -> None:
    directory = place.path / "runs" / "tïny — 軌道"
    done = place("run", "tiny.yaml", "--run-dir", str(directory), env=SURROUNDINGS[where])
    assert done.code == 3, done.err
    assert "missed" in done.out and "Traceback" not in done.err
    directory.rename(place.run)
    assert place.learned()[0] == whole.learned()[0]


@pytest.mark.faults(
    "LANG=C: an option holds bytes that are no text there", expect="exit 2, one sentence"
)
def test_an_option_that_is_no_text(place: Sandbox) -> None:
    done = place.begin("name=tïny", env=SURROUNDINGS["LANG=C without UTF-8"])
    assert done.code == 2, done.err
    assert "--set" in done.err and "Traceback" not in done.err


@pytest.mark.faults(
    "{stream} is {how}", expect="the run goes on to its end: exit 3 and the scores as ever"
)
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("how", ["closed", "a full disk", "read by nobody"])
def test_a_stream_that_nobody_reads(place: Sandbox, whole: Sandbox, stream: str, how: str) -> None:
    number = {"stdout": 1, "stderr": 2}[stream]
    redirections = {"closed": f"{number}>&-", "a full disk": f"{number}>/dev/full"}
    options: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if how == "read by nobody":
        reader, writer = os.pipe()
        os.close(reader)
        with place.alive("run", "tiny.yaml", **options | {stream: writer}) as process:
            os.close(writer)
            code = process.wait(HANG_S)
    else:
        wrapper = ("sh", "-c", f'exec "$@" {redirections[how]}', "sh")
        code = place("run", "tiny.yaml", wrapper=wrapper, **options).code
    assert code == 3
    assert place.learned()[0] == whole.learned()[0]
    for path in place.run.rglob("*.json*"):
        assert b"curriculum resume" not in path.read_bytes()


@pytest.mark.faults("`| head -1`", expect="the first line, then the run goes on to its end")
def test_a_reader_that_leaves(place: Sandbox, whole: Sandbox) -> None:
    wrapper = ("bash", "-c", 'set -o pipefail; "$@" | head -1', "bash")
    done = place("run", "tiny.yaml", wrapper=wrapper)
    assert done.code == 3, done.err
    assert done.out.count("\n") == 1
    assert place.learned()[0] == whole.learned()[0]


@pytest.mark.faults(
    "umask 077: nobody else may read",
    expect="no file and no directory of the run is open to others",
)
def test_the_umask_holds_everywhere(place: Sandbox) -> None:
    wrapper = ("sh", "-c", 'umask 077; exec "$@"', "sh")
    assert place("run", "tiny.yaml", wrapper=wrapper).code == 3
    assert len(list(place.run.rglob("*"))) > 50
    for path in (place.run, *place.run.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.faults(
    "the run directory is a symbolic link",
    expect="the run lies where the link leads; exit 3 and the scores as ever",
)
def test_a_linked_directory(place: Sandbox, whole: Sandbox) -> None:
    (place.path / "elsewhere").mkdir()
    (place.path / "runs").mkdir()
    Path(place.run).symlink_to(place.path / "elsewhere")
    assert place.begin().code == 3
    assert place.run.is_symlink() and (place.path / "elsewhere" / "run.json").is_file()
    assert place.learned()[0] == whole.learned()[0]
