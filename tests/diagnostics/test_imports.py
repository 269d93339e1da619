"""`diagnostics imports` sees what is slow, heavy or broken, and our doors are none of that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from diagnostics.imports import STARTS, Start, heavy_modules, measure

ROOT = Path(__file__).resolve().parents[2]


def start(code: str, limit_s: float | None = 5.0) -> Start:
    return Start("subject", ("-c", code), limit_s)


@pytest.fixture(scope="module")
def command() -> subprocess.CompletedProcess[str]:
    """The whole command, run once."""
    return subprocess.run(
        [sys.executable, "-m", "diagnostics", "imports", "--json", "-"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("title", [s.title for s in STARTS])
def test_what_should_be_light_is(title: str, command: subprocess.CompletedProcess[str]) -> None:
    (finding,) = (s for s in json.loads(command.stdout)["starts"] if s["title"] == title)
    assert finding["passed"], finding["fault"]


def test_a_heavy_module_is_found_however_deep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").touch()
    (tmp_path / "innocent.py").write_text("import torch\n")
    monkeypatch.syspath_prepend(tmp_path)
    finding = measure(start("import innocent"), repeats=1)
    assert finding.heavy == ("torch",)
    assert finding.fault == "loads torch"


def test_names_that_only_look_heavy_are_not() -> None:
    trace = "import time: 1 | 2 | torchlike\nimport time: 1 | 2 |   numpy.torch\ntorch\n"
    assert heavy_modules(trace) == ()
    assert heavy_modules("import time: 1 | 2 |   torch.nn\n") == ("torch",)


def test_slowness_and_failure_are_faults() -> None:
    slow = measure(start("import time; time.sleep(0.1)", limit_s=0.05), repeats=1)
    assert "0.05 s are allowed" in slow.fault
    broken = measure(start("raise ValueError('no')"), repeats=1)
    assert broken.fault == "exits with 1: ValueError: no"
    assert not broken.passed


def test_the_exit_code_is_that_of_the_worst_start(
    command: subprocess.CompletedProcess[str],
) -> None:
    report = json.loads(command.stdout)
    assert [s["title"] for s in report["starts"]] == [s.title for s in STARTS]
    assert report["passed"] == all(s["passed"] for s in report["starts"])
    assert command.returncode == (0 if report["passed"] else 1)
    assert "python -m diagnostics --help" in command.stderr
