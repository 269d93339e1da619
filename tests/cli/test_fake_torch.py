"""A torch that hangs, crashes or lies: the run ends soon, in GYM_ONLY, with the reason."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import ROOT
from tests.diagnostics.fake_torch import EXPECTED_STATES, FAKES, write_fake_torch

pytestmark = [pytest.mark.gym, pytest.mark.slow]

QUICK = str(ROOT / "configs" / "quick.yaml")
OPTIONS = ("--tasks", "lunarlander", "--set", "curriculum.timeout_seconds=5")


@pytest.mark.parametrize("kind", FAKES)
def test_the_run_steps_down_and_says_why(curriculum, tmp_path: Path, kind: str) -> None:
    fakes = tmp_path / "fakes"
    write_fake_torch(fakes, kind)
    env = {
        "PYTHONPATH": os.pathsep.join([str(fakes), str(ROOT)]),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "TEST_MARK": str(tmp_path),
    }
    done = curriculum("run", QUICK, *OPTIONS, "--json", env=env)
    assert done.code == 3, done.err
    (verdict,) = json.loads(done.out)["verdicts"]
    assert verdict["mode"] == "GYM_ONLY"
    assert verdict["verdict"] in ("missed", "degraded")
    assert any("torch" in r and EXPECTED_STATES[kind] in r for r in verdict["reasons"])
    assert verdict["score"] is not None
    assert not [p for p in psutil.process_iter() if _carries(p, "TEST_MARK", str(tmp_path))]


def _carries(process: psutil.Process, name: str, value: str) -> bool:
    try:
        return process.environ().get(name) == value
    except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
        return False
