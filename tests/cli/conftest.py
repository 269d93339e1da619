from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]

TINY = """\
name: tiny
seed: 3
curriculum: {mode: SIMULATION, workers: 0}
env: {num_envs: 4}
collect: {num_random_rollouts: 4, max_steps_per_rollout: 60}
vae: {epochs: 1, max_steps: 4, batch_size: 32}
mdnrnn: {epochs: 1, max_steps: 4, batch_size: 8, sequence_length: 16, rnn_size: 32}
controller:
  population_size: 4
  rollouts_per_candidate: 1
  generations: 2
  max_steps_per_rollout: 50
  check_every: 0
  check_episodes: 2
dream: {max_steps: 30}
evaluate: {episodes: 3}
"""


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str


Command = Callable[..., Done]


def commands_in(directory: Path) -> Command:
    """Returns what runs `python -m curriculum …` in a directory, as a user would."""

    def run(*args: str, env: Mapping[str, str] | None = None) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "curriculum", *args],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **(env or {})},
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def curriculum(tmp_path: Path) -> Command:
    """Runs commands in an empty directory."""
    return commands_in(tmp_path)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A configuration that runs a task of the simulation in a few seconds."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY, encoding="utf-8")
    return path
