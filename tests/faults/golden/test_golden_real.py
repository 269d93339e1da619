"""The four real environments in FULL, killed while C learns and resumed: the same.

Minutes, therefore only with `GOLDEN_STRIDE=60 python -m pytest tests/faults/golden`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.golden.golden_configs import config
from tests.faults.golden.golden_fingerprint import differences, fingerprint
from tests.faults.golden.golden_lives import Lives

pytestmark = [
    pytest.mark.slow,
    pytest.mark.torch,
    pytest.mark.gym,
    pytest.mark.skipif("GOLDEN_STRIDE" not in os.environ, reason="takes minutes: GOLDEN_STRIDE=60"),
    pytest.mark.timeout(4 * 3600),
]

MODULES = ["torch", "gymnasium", "cma", "curriculum.backends.full"]


@pytest.mark.parametrize("how", ["search", "ppo", "replay"])
@pytest.mark.parametrize(
    ("task", "package"),
    [("pong", "ale_py"), ("lunarlander", "Box2D"), ("breakout", "ale_py"), ("carracing", "Box2D")],
)
def test_killed_while_c_learns_a_real_run_goes_on_as_if_not(
    tmp_path: Path, task: str, package: str, how: str
) -> None:
    for module in (*MODULES[:3], package):
        pytest.importorskip(module)
    off_policy = "sac" if task == "carracing" else "qrdqn"
    solver = {"search": "", "ppo": "ppo", "replay": off_policy}[how]
    text = config("FULL", task, solver=solver, more="workers: 0, device: cpu")
    (tmp_path / "run.yaml").write_text(text, encoding="utf-8")
    run = ("run", "run.yaml", "--quiet", "--run-dir")
    with Lives(tmp_path, MODULES) as lives:
        whole = lives.until_done(*run, "whole")
        told = [n for n, p in enumerate(whole.points, 1) if p == "controller tell metrics after"]
        killed = lives.live(*run, "killed", at=told[1])
        assert killed.killed and killed.label == "controller tell metrics after"
        lives.until_done("resume", "killed", "--quiet")
    one, other = fingerprint(tmp_path / "whole"), fingerprint(tmp_path / "killed")
    assert any("/FULL/round-00/controller/" in place for place in one)
    assert differences(one, other) == []
