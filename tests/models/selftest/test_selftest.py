"""Self-tests of the models: they pass and say what was learned, or fail where nothing was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.controller_cpu import CPUController
from models.interfaces import Metrics
from models.pca import PCAVision
from models.search.evolution import EvolutionStrategy
from models.selftest.policies import check_controller, check_policy_learner, check_solver
from models.selftest.world_model import check_memory, check_vision
from models.settings.mdnrnn import MDNRNNSettings
from models.settings.ppo import PPOSettings
from models.settings.vae import VAESettings
from tests.patience import HANG_S

ROOT = Path(__file__).parents[3]
NUMPY = ["controller_cpu", "pca", "echo", "search.evolution"]
TORCH = ["vae", "mdnrnn", "controller", "ppo", "off_policy.qrdqn", "off_policy.sac"]


def run(module: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", f"models.{module}"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=HANG_S, env=environment, check=False
    )


@pytest.mark.parametrize(
    "module",
    [*NUMPY, *(pytest.param(name, marks=pytest.mark.torch) for name in TORCH), "search.cma_es"],
)
def test_a_model_run_by_itself_says_what_it_learned(module: str) -> None:
    if module in TORCH:
        pytest.importorskip("torch")
    if module == "search.cma_es":
        pytest.importorskip("cma")
    done = run(module)
    *checks, last = done.stdout.splitlines()
    name = module.rpartition(".")[2]
    assert done.returncode == 0, done.stdout + done.stderr
    assert last == f"{name}: all checks passed" and not done.stderr
    assert len(checks) >= 2 and all(line.startswith(f"{name}: ok: ") for line in checks)


def failed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    *checks, last = capsys.readouterr().out.splitlines()
    found = [line for line in checks if line.startswith("x: FAILED: ")]
    assert last == f"x: {len(found)} of its checks failed"
    return found


@pytest.mark.torch
def test_learners_that_stand_still_fail(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    from models.controller_cpu import PolicyShape
    from models.mdnrnn import MDNRNN
    from models.ppo import PPO
    from models.vae import ConvVAE

    still = VAESettings(z_dim=4, channels=(4, 8), learning_rate=1e-9)
    assert check_vision("x", lambda: ConvVAE((16, 16, 1), still), 3) == 1
    (told,) = failed(capsys)
    assert "the share of the dot that V does not draw, over 3 updates, went from" in told
    mute = MDNRNNSettings(rnn_size=4, learning_rate=1e-9)
    assert check_memory("x", lambda: MDNRNN(2, 2, mute), 3) == 1
    assert [line.partition(" went")[0] for line in failed(capsys)] == [
        "x: FAILED: the error of z in sequences not seen, over 3 updates,",
        "x: FAILED: the error of the reward",
    ]
    linear = PolicyShape(3, "discrete", 2, (), None, None)
    idle = PPOSettings(learning_rate=1e-9)
    assert check_policy_learner("x", lambda: PPO(linear, idle), 2) == 1
    assert "the share of games that are won" in failed(capsys)[0]


class Forgets(PCAVision):
    def load_state(self, state: object) -> None: ...


class Stubborn(CPUController):
    def act(self, features: np.ndarray) -> np.ndarray:
        return np.zeros(len(features), np.int64)


class Rests(EvolutionStrategy):
    def tell(self, fitness: np.ndarray) -> None: ...

    def statistics(self) -> Metrics:
        return {}


def test_what_loses_its_state_its_rule_or_its_way_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check_vision("x", lambda: Forgets((16, 16, 1), 16), 20) == 1
    assert "bit for bit" in failed(capsys)[0]
    assert check_controller("x", lambda: Stubborn(3, "discrete", 2)) == 1
    assert "of 512 actions are those of the rule" in failed(capsys)[0]
    assert check_solver("x", lambda: Rests(np.zeros(3), 0.5, 6), 2) == 1
    assert "the depth left to descend" in failed(capsys)[0]
