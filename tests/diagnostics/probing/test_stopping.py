"""A prober that is told to stop, or is killed, leaves no process and no folder behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from diagnostics.probe import run_probe
from diagnostics.probing.interruption import signals_held
from diagnostics.probing.orphans import orphans_adopted

ROOT = Path(__file__).resolve().parents[3]
LeftBehind = Callable[[], list[str]]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")

DAEMON = """
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        code = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid()))"
        code += "; time.sleep(600)"
        os.execve(sys.executable, [sys.executable, "-S", "-c", code, {place!r}], {{}})
    os._exit(0)
import time
while not os.path.exists({place!r}) or not os.path.getsize({place!r}):
    time.sleep(0.01)
"""
"""A component that leaves a daemon without parent, session and environment of its own."""

DEAF = """
import signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
open({place!r}, 'w').close()
time.sleep(600)
"""
"""A component that blocks every signal that can be blocked."""


def alive(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


@LINUX
@pytest.mark.faults(
    "a probe forks a daemon twice and clears its environment",
    expect="it is found as an orphan and killed",
)
@pytest.mark.parametrize("end", ["", "import os; os.abort()", "time.sleep(600)"])
def test_a_daemon_does_not_outlive_the_probes(end: str, tmp_path: Path) -> None:
    place = str(tmp_path / "pid")
    code = "import sys\n" + DAEMON.format(place=place) + end
    run_probe("daemon", code, timeout_s=5.0 if "sleep" in end else 30.0)
    assert not alive(int(Path(place).read_text()))


@LINUX
def test_own_children_are_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as mine:
        other = subprocess.Popen(
            [sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True
        )
        with orphans_adopted():
            inside = subprocess.Popen([sys.executable, "-S", "-c", "import sys; sys.exit(7)"])
            assert inside.wait() == 7
        assert mine.poll() is None and other.poll() is None
        other.kill()
        other.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_wait_until_everything_is_cleaned_up(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    cleaned = False
    with pytest.raises((KeyboardInterrupt, SystemExit)) as caught, signals_held() as stopped:
        assert not stopped()
        signal.raise_signal(number)
        assert stopped()
        cleaned = True
    assert cleaned and signal.getsignal(number) == before
    if number != signal.SIGINT:
        assert caught.value.code == 128 + number  # type: ignore[union-attr]


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals_held() as stopped:
            signal.raise_signal(signal.SIGINT)
            assert not stopped()
    finally:
        signal.signal(signal.SIGINT, before)


def test_whoever_handles_a_signal_himself_is_asked_too() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with pytest.raises(SystemExit), signals_held():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


@pytest.mark.faults(
    "SIGTERM or SIGINT while a probe that blocks all signals runs",
    expect="128+signal soon; no process, no folder left",
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "command",
    [
        ("diagnostics", "check", "--component", "torch"),
        ("curriculum", "run", "configs/quick.yaml", "--dry-run"),
        ("curriculum", "evaluate", "--pretrained", "lunarlander"),
    ],
    ids=["check", "run", "evaluate"],
)
def test_a_prober_that_is_told_to_stop_leaves_nothing(
    command: tuple[str, ...],
    number: signal.Signals,
    tmp_path: Path,
    left_behind: LeftBehind,
    fresh_cache: Path,
) -> None:
    fakes, folders, running = tmp_path / "fakes", tmp_path / "folders", tmp_path / "running"
    fakes.mkdir()
    folders.mkdir()
    (fakes / "torch.py").write_text(DEAF.format(place=str(running)))
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(fakes), str(ROOT)]),
        "TMPDIR": str(folders),
    }
    argv = [sys.executable, "-m", *command]
    with subprocess.Popen(argv, cwd=ROOT, env=env, stderr=subprocess.PIPE) as prober:
        while not running.exists():
            assert prober.poll() is None
            time.sleep(0.02)
        prober.send_signal(number)
        assert prober.wait(timeout=60) == 128 + number
        assert prober.stderr is not None and b"Traceback" not in prober.stderr.read()
    assert left_behind() == []
    assert [p.name for p in folders.iterdir() if p.name.startswith("curriculum-probe-")] == []


@LINUX
@pytest.mark.faults("kill -9 of the prober", expect="the probe ends with it")
def test_a_probe_ends_with_its_prober(tmp_path: Path, left_behind: LeftBehind) -> None:
    running = str(tmp_path / "running")
    code = (
        "from diagnostics.probe import run_probe\n"
        f"run_probe('deaf', {DEAF.format(place=running)!r}, timeout_s=60)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], env=env) as prober:
        while not Path(running).exists():
            assert prober.poll() is None
            time.sleep(0.02)
        prober.kill()
    deadline = time.monotonic() + 60
    while left_behind():
        assert time.monotonic() < deadline


def test_folders_go_where_they_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run_probe("place", "import os; detail = os.getcwd()").detail.startswith(str(tmp_path))
