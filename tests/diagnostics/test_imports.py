"""`diagnostics imports` sees what is slow, heavy or broken, and our doors are none of that."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from diagnostics import imports
from diagnostics.imports import STARTS, ImportStart, Launch, heavy_modules, measure


def start(code: str, limit_s: float | None = 5.0) -> ImportStart:
    return ImportStart("subject", ("-c", code), limit_s)


@pytest.mark.parametrize("subject", STARTS, ids=lambda start: start.title)
def test_what_should_be_light_is(subject: ImportStart) -> None:
    finding = measure(replace(subject, limit_s=None), repeats=1)
    assert finding.passed, finding.fault


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


class Launches:
    """Answers for `imports._launch`: each round of measurements takes the next time of these."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *rounds_s: float) -> None:
        self.rounds = 0
        self._rounds_s = rounds_s
        monkeypatch.setattr(imports, "_launch", self)

    def __call__(self, start: ImportStart, *options: str) -> Launch:
        if options:
            return Launch(0.0, 0.0, "", "")
        own_s = self._rounds_s[self.rounds]
        self.rounds += 1
        return Launch(100.0, own_s, "", "")


def test_what_is_too_slow_once_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    launches = Launches(monkeypatch, 9.0, 9.0, 0.4, 9.0)
    finding = measure(start("pass", limit_s=0.5), repeats=1, rounds=4)
    assert finding.passed and (finding.seconds, finding.own_s) == (100.0, 0.4)
    assert launches.rounds == 3


def test_what_is_always_too_slow_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    launches = Launches(monkeypatch, 9.0, 8.0, 7.0, 6.0)
    assert "takes 6.00 s" in measure(start("pass", limit_s=0.5), repeats=1, rounds=4).fault
    assert launches.rounds == 4


def test_waiting_for_a_processor_is_not_slowness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "starved_s", lambda pid: 1000.0)
    finding = measure(start("import time; time.sleep(0.1)", limit_s=0.05), repeats=1)
    assert finding.passed and finding.own_s == 0.0 and finding.seconds > 0.1


@pytest.mark.parametrize(
    ("code", "limit_s", "expected"),
    [("pass", 1000.0, 0), ("import time; time.sleep(0.1)", 0.05, 1), ("import cma", 1000.0, 1)],
)
def test_the_exit_code_is_that_of_the_worst_start(
    code: str,
    limit_s: float,
    expected: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "cma.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imports, "STARTS", (start("pass", None), start(code, limit_s)))
    monkeypatch.setattr(imports, "REPEATS", 1)
    assert imports.main(argparse.Namespace(check=True, json="-")) == expected
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert [s["passed"] for s in report["starts"]] == [True, expected == 0]
    assert report["passed"] == (expected == 0)
    assert "subject" in printed.err
