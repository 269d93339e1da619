"""`diagnostics check` from outside: seven fake torches, exit codes, JSON, and wrong usage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]


def diagnostics(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "diagnostics", *arguments],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )


def by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows}


@pytest.mark.gym
def test_a_fake_torch_leads_to_gym_only_in_bounded_time(
    fake_kind: str,
    fake_torch: ModuleType,
    tmp_path: Path,
    fresh_cache: Path,
    left_behind: Callable[[], list[str]],
) -> None:
    fake_torch.write_fake_torch(tmp_path / "fake", fake_kind)
    done = diagnostics(
        *("check", "--task", "lunarlander", "--timeout", "5", "--json", "-"),
        PYTHONPATH=str(tmp_path / "fake"),
    )
    assert done.returncode == 4, done.stderr
    report = json.loads(done.stdout)
    components = by_name(report["components"])
    state = fake_torch.EXPECTED_STATES[fake_kind]
    assert components["torch"]["state"] == state
    assert components["torch"]["detail"]
    assert components["mdnrnn"]["detail"] == f"not probed: torch is {state}"
    assert components["gymnasium"]["usable"] and components["box2d"]["usable"]
    (task,) = report["tasks"]
    assert task["mode"] == "GYM_ONLY"
    assert "torch" in task["missing"]
    assert f"torch is {state}" in task["reasons"][0]
    assert ("--probe-timeout" if state == "timeout" else "torch==2.13.0") in done.stderr
    assert left_behind() == []


def test_a_usable_component_exits_0_and_the_next_call_remembers_it(fresh_cache: Path) -> None:
    first = diagnostics("check", "--component", "cma", NO_COLOR="1")
    assert first.returncode == 0, first.stdout
    assert "cma: ok after" in first.stdout
    again = diagnostics("check", "--component", "cma")
    assert "1 of 1 are remembered" in again.stdout
    assert "cma: ok after" not in again.stdout
    fresh = diagnostics("check", "--component", "cma", "--fresh")
    assert "cma: ok after" in fresh.stdout
    assert "\x1b" not in first.stdout + again.stdout + fresh.stdout


def test_the_report_names_the_reason_and_the_whole_fix(fresh_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "gymnasium.py").write_text("raise OSError('[/bold] is no markup')\n")
    file = tmp_path / "report.json"
    done = diagnostics(
        *("check", "--component", "gymnasium", "box2d", "--json", str(file)),
        PYTHONPATH=str(tmp_path),
        COLUMNS="80",
    )
    assert done.returncode == 4
    assert "gymnasium: broken: OSError: [/bold] is no markup" in done.stdout
    fix = 'pip install --force-reinstall "gymnasium[box2d]==1.4.0"    # gymnasium'
    assert fix in done.stdout
    report = json.loads(file.read_text())
    assert (report["exit_code"], report["tasks"]) == (4, [])
    assert [c["state"] for c in report["components"]] == ["broken", "broken"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("check", "--task", "lunarlader"), 2, "Did you mean 'lunarlander'?"),
        (("check", "--component", "pytorch"), 2, "Did you mean 'torch'?"),
        (("check", "--timeout", "4"), 2, "not between 5 and 60"),
        (("check", "--timeout", "soon"), 2, "not a number of seconds"),
        (("chek",), 2, "invalid choice: 'chek'"),
        ((), 2, "COMMAND"),
        (("check", "--component", "shm", "--json", "/absent/f.json"), 7, "could not be written"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_message(
    arguments: tuple[str, ...], code: int, message: str, fresh_cache: Path
) -> None:
    done = diagnostics(*arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [(), ("check",), ("imports",), ("vet",), ("bench",)])
def test_help_teaches(command: tuple[str, ...]) -> None:
    done = diagnostics(*command, "--help")
    assert done.returncode == 0
    assert "usage: python -m diagnostics" in done.stdout
