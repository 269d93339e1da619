"""Each state a probe can end in, the bounds it keeps, and that nothing outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.components import Component
from diagnostics.probe import ProbeResult, ProbeState, run_probe, run_probes
from diagnostics.probing import processes
from tests.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]
LeftBehind = Callable[[], list[str]]

pytestmark = pytest.mark.usefixtures("left_behind")


def component(name: str, code: str, *requires: str) -> Component:
    return Component(name, name, code, requires, "", "")


def alive(pid: int) -> bool:
    """Whether a process runs; one that was killed may still wait for its new parent's attention."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_a_component_that_works_is_ok_and_says_its_version() -> None:
    result = run_probe("json", "import json\nversion, detail = json.__version__, 'fine'")
    assert (result.state, result.detail, result.usable) == (ProbeState.OK, "fine", True)
    assert result.version == __import__("json").__version__
    assert result.seconds > 0


def test_a_component_over_its_limit_is_slow_but_usable() -> None:
    result = run_probe("late", "import time; time.sleep(0.2)", timeout_s=10, slow_s=0.15)
    assert result.state == ProbeState.SLOW
    assert result.usable


@pytest.mark.parametrize(
    ("code", "state", "detail"),
    [
        ("import not_there_at_all", "missing", "no module named not_there_at_all"),
        ("import json.not_there", "missing", "no module named json.not_there"),
        ("missing('no device')", "missing", "no device"),
        ("import outer", "broken", "ModuleNotFoundError: No module named 'inner_of_outer'"),
        ("from json import nothing_such", "broken", "ImportError: cannot import name"),
        ("1 / 0", "broken", "ZeroDivisionError: division by zero"),
        ("raise BaseException('rude')", "broken", "BaseException: rude"),
        ("expect(False, 'two and two are five')", "broken", "two and two are five"),
        ("this is no python", "broken", "SyntaxError"),
        ("import sys; sys.exit(3)", "broken", "exited with 3"),
        ("import os; os.abort()", "crashed", "died of SIGABRT"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "crashed", "died of SIGKILL"),
        ("import sys; sys.exit(0)", "lied", "exited with 0"),
        ("import os; os._exit(0)", "lied", "exited with 0"),
        ("import os; print('ok'); os._exit(0)", "lied", "exited with 0"),
        (
            "import os; open('outcome.json', 'w').write('{\"state\": \"ok\"}'); os._exit(0)",
            "lied",
            "exited with 0",
        ),
        ("import atexit, os; atexit.register(os.abort)", "crashed", "worked, but died of SIGABRT"),
        ("import atexit, os; atexit.register(os._exit, 4)", "broken", "worked, but exited with 4"),
    ],
)
def test_each_failure_has_its_state_and_its_reason(
    code: str, state: str, detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outer.py").write_text("import inner_of_outer\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = run_probe("subject", code)
    assert (result.state, result.usable) == (state, False)
    assert detail in result.detail
    assert (result.signal is not None) == (state == "crashed")


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        ("import sleepy", "sleepy.py, line 2"),
        ("import signal, sleepy_deaf", "sleepy_deaf.py, line 3"),
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(10**6,)).start()",
            "worked",
        ),
    ],
)
def test_a_hang_ends_in_time_and_says_where(
    code: str, detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sleepy.py").write_text("import time\ntime.sleep(10**6)\n")
    (tmp_path / "sleepy_deaf.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(10**6)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    result = run_probe("hang", code, timeout_s=2.0)
    assert result.state == ProbeState.TIMEOUT
    assert detail in result.detail


def test_a_flood_is_stopped_before_it_fills_the_disk() -> None:
    result = run_probe("flood", "import os\nwhile True: os.write(2, bytes(2**20))", timeout_s=20)
    assert result.state == ProbeState.BROKEN
    assert "printed more than" in result.detail


@pytest.mark.parametrize("environment", ["inherited", "empty"])
@pytest.mark.parametrize("table", ["_process_table", "_psutil_table"])
def test_a_grandchild_in_another_session_dies_with_the_probe(
    environment: str, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_process_table", getattr(processes, table))
    code = f"""
import os, subprocess, sys, time
env = {{}} if {environment == "empty"} else None
grandchild = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(10**6)"],
                              start_new_session=True, env=env)
open({str(tmp_path / "pid")!r}, "w").write(str(grandchild.pid))
time.sleep(10**6)
"""
    assert run_probe("parent", code, timeout_s=2.0).state == ProbeState.TIMEOUT
    assert not alive(int((tmp_path / "pid").read_text()))


def test_what_a_working_component_leaves_running_dies_too(left_behind: LeftBehind) -> None:
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(10**6)'],"
        " start_new_session=True)"
    )
    result = run_probe("litter", code)
    assert left_behind() == []
    # It worked; that Python warns of a forgotten child is no failure.
    assert result.state == ProbeState.OK


def test_probes_leave_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run_probe("writer", "open('file', 'w').write('text')")
    run_probe("remover", "import os, shutil; shutil.rmtree(os.getcwd())")
    assert list(tmp_path.iterdir()) == []


def test_a_probe_that_cannot_start_is_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    result = run_probe("homeless", "version = 1")
    assert result.state == ProbeState.BROKEN
    assert "could not be started" in result.detail


def test_what_rests_on_a_failed_component_takes_over_its_state_unrun() -> None:
    events: list[tuple[str, bool]] = []
    results = run_probes(
        [
            component("leaf", "import sys; sys.exit(9)", "middle"),
            component("middle", "import sys; sys.exit(9)", "root"),
            component("root", "import os; os.abort()"),
            component("apart", "version = 1", "not_asked_for"),
        ],
        on_change=lambda name, result: events.append((name, result is None)),
    )
    assert list(results) == ["leaf", "middle", "root", "apart"]
    assert [r.state for r in results.values()] == ["crashed", "crashed", "crashed", "ok"]
    assert results["middle"].detail == "not probed: root is crashed"
    assert {name for name, started in events if started} == {"root", "apart"}


def test_a_known_requirement_is_not_probed_again() -> None:
    known = {"root": ProbeResult("root", ProbeState.TIMEOUT, None, 5.0, "")}
    result = run_probes([component("leaf", "version = 1", "root")], known=known)
    assert list(result) == ["leaf"]
    assert (result["leaf"].state, result["leaf"].seconds) == ("timeout", 0.0)


def test_waiting_for_a_turn_does_not_count_as_time_of_the_probe() -> None:
    parts = [component(f"c{i}", "import time; time.sleep(0.8)") for i in range(4)]
    results = run_probes(parts, timeout_s=2.5, total_s=30, max_parallel=1)
    assert {r.usable for r in results.values()} == {True}


def test_all_probes_together_keep_the_total() -> None:
    parts = [component(f"c{i}", "import time; time.sleep(10**6)") for i in range(5)]
    results = run_probes(parts, timeout_s=10**6, total_s=1.0, max_parallel=2)
    assert {r.state for r in results.values()} == {ProbeState.TIMEOUT}
    assert "not probed" in results["c4"].detail


def test_probing_loads_nothing_of_what_it_probes() -> None:
    code = (
        "import sys\n"
        "from diagnostics.cache import probe_all, ProbeCache\n"
        "probe_all(names=['cma', 'disk'], cache=ProbeCache(None))\n"
        "sys.exit(bool({'cma', 'numpy', 'torch', 'gymnasium', 'rich'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=HANG_S, cwd=ROOT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_probing_leaves_nobody(
    number: signal.Signals, tmp_path: Path, left_behind: LeftBehind, fresh_cache: Path
) -> None:
    (tmp_path / "torch.py").write_text(
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(tmp_path / 'running')!r}, 'w').close()\n"
        "time.sleep(10**6)\n"
    )
    command = [sys.executable, "-m", "diagnostics", "check", "--component", "torch"]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE) as check:
        while not (tmp_path / "running").exists():
            assert check.poll() is None
            time.sleep(0.02)
        check.send_signal(number)
        assert check.wait(timeout=HANG_S) == 128 + number
        assert check.stderr is not None
        assert b"Traceback" not in check.stderr.read()
    assert left_behind() == []


@given(
    st.builds(
        ProbeResult,
        name=st.text(),
        state=st.sampled_from(ProbeState),
        version=st.none() | st.text(),
        seconds=st.integers(0, 10**6).map(lambda n: n / 1000),
        detail=st.text(),
        signal=st.none() | st.text(),
    )
)
def test_results_survive_json(result: ProbeResult) -> None:
    assert ProbeResult.from_json(result.to_json()) == result


@pytest.mark.parametrize(
    "change", [{"state": "splendid"}, {"extra": 1}, {"name": 3}, {"seconds": "1"}, {"version": 2}]
)
def test_what_is_no_result_is_refused(change: dict[str, object]) -> None:
    good = ProbeResult("x", ProbeState.OK, None, 1.0, "").to_json()
    with pytest.raises(ValueError, match=r"not a|ProbeState"):
        ProbeResult.from_json({**good, **change})
    assert replace(ProbeResult.from_json(good), name="y").name == "y"
