"""Ours and Stable-Baselines3's PPO learn in the same turns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baselines.__main__ import main

pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.gym]


def test_both_are_measured_and_our_time_is_accounted_for(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("stable_baselines3")
    out = tmp_path / "figures.json"
    command = ["throughput", "--pretrained", "lunarlander", "--repeats", "1", "--json", str(out)]
    assert main(command) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    ours, rival = found["figures"]
    assert ours["implementation"] == "ours" and rival["implementation"].startswith("SB3 PPO")
    assert ours["median"] > 0 and rival["median"] > 0
    (ratio,) = ours["ratios"]
    assert ratio["median"] == pytest.approx(ours["median"] / rival["median"])
    assert {"environment", "learning", "perception"} <= set(found["shares"])
    assert sum(found["shares"].values()) == pytest.approx(1.0)
    assert "where ours spent its time" in capsys.readouterr().out


def test_an_unknown_agent_is_refused(capsys: pytest.CaptureFixture) -> None:
    assert main(["throughput", "--pretrained", "chess"]) == 2
    assert "no agent 'chess'" in capsys.readouterr().err
