from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from curriculum.envs.simulation import SIMULATIONS
from curriculum.errors import ConfigError
from curriculum.records.commit import CommitStore
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from diagnostics.vetting import command
from tests.records.samples import facts_of

TIMEOUT_S = 120.0
"""Generous: only what hangs may ever meet it."""

CONFIG = "name: vetted\ncurriculum: {mode: SIMULATION}\n"


def review(tmp_path: Path, *paths: Path, fix: bool = False) -> tuple[int, list[dict]]:
    out = tmp_path / "findings.json"
    args = argparse.Namespace(
        paths=[str(p) for p in paths], fix=fix, json=str(out), timeout=TIMEOUT_S
    )
    code = command.main(args)
    return code, json.loads(out.read_text(encoding="utf-8"))["findings"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    from curriculum.config.loading import dump
    from curriculum.tasks import load_config

    (tmp_path / "c.yaml").write_text(CONFIG, encoding="utf-8")
    rundir = RunDir.create(tmp_path / "run", dump(load_config(tmp_path / "c.yaml")))
    Ledger(rundir.ledger_path).append("run_started", **facts_of("run_started", name="vetted"))
    store = CommitStore(rundir.stage_dir("pong", "SIMULATION", 0, "vision"))
    for number in range(2):
        store.save({"a": np.arange(50) + number}, {"n": number})
    return rundir.path


def test_a_sound_run_directory_has_no_errors(tmp_path: Path, run: Path) -> None:
    code, findings = review(tmp_path, run)
    assert code == 0
    assert any("commit 000002 verifies" in f["text"] for f in findings)


def test_a_flipped_byte_is_found_and_the_commit_before_is_named(tmp_path: Path, run: Path) -> None:
    (state,) = run.glob("tasks/**/000002/state.safetensors")
    data = bytearray(state.read_bytes())
    data[-1] ^= 1
    state.write_bytes(data)
    code, findings = review(tmp_path, run)
    assert code == 1
    assert any(f["level"] == "error" and "000002" in f["text"] for f in findings)
    assert any("commit 000001 verifies" in f["text"] for f in findings)


def test_leftovers_are_told_and_removed_only_when_asked(tmp_path: Path, run: Path) -> None:
    (commits,) = run.glob("tasks/**/commits")
    leftover = commits / "000003.tmp-1"
    leftover.mkdir()
    _, findings = review(tmp_path, run)
    assert leftover.exists() and any(f["level"] == "warning" for f in findings)
    _, findings = review(tmp_path, run, fix=True)
    assert not leftover.exists() and any(f["level"] == "fixed" for f in findings)


def test_configurations_are_checked(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("vae: {z_dim: 0}\n", encoding="utf-8")
    code, findings = review(tmp_path, bad)
    assert code == 1 and "z_dim" in findings[0]["text"]


PLUGIN = """
import gymnasium
import numpy as np
from curriculum.envs.registry import register_env


class Counter(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-99.0, 99.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    count = 0

    def __init__(self, **kwargs):
        self.at = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = {start}
        return np.array([self.at], np.float32), {{}}

    def step(self, action):
        self.at += 1
        return np.array([self.at], np.float32), 1.0, self.at >= 9, False, {{}}


register_env("{name}", Counter)
"""


@pytest.mark.gym
@pytest.mark.parametrize(
    ("name", "start", "expected"),
    [("Good-v0", "0", 0), ("Forgetful-v0", "id(object()) % 7 + float(np.random.rand())", 1)],
)
def test_registered_environments_are_held_to_the_contract(
    tmp_path: Path, name: str, start: str, expected: int
) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(PLUGIN.format(name=name, start=start), encoding="utf-8")
    code, findings = review(tmp_path, plugin)
    assert code == expected, findings
    assert any(f["place"] == name for f in findings)


def test_a_plugin_that_cannot_be_imported_is_an_error(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text("raise RuntimeError('no')\n", encoding="utf-8")
    code, findings = review(tmp_path, plugin)
    assert code == 1 and any("RuntimeError: no" in f["text"] for f in findings)


def test_the_installation_itself_keeps_its_contracts(tmp_path: Path) -> None:
    code, findings = review(tmp_path)
    assert code == 0, [f for f in findings if f["level"] == "error"]
    assert sum("simulation/" in f["place"] for f in findings) == len(SIMULATIONS)


def test_a_path_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no"):
        review(tmp_path, tmp_path / "none")


@pytest.mark.parametrize("name", ["default", "quick", "simulation"])
def test_shipped_configurations_are_sound(tmp_path: Path, name: str) -> None:
    configs = Path(__file__).resolve().parents[2] / "configs"
    code, findings = review(tmp_path, configs / f"{name}.yaml")
    assert code == 0, findings
