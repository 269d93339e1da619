"""Runs that things happen to: short ones, in SIMULATION, each in processes of its own."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.patience import HANG_S, eventually

ROOT = Path(__file__).resolve().parents[2]
SEARCH = Path("tasks/lunarlander/SIMULATION/round-00/controller")

TINY = """\
name: tiny
seed: 3
curriculum: {mode: SIMULATION, workers: 0, tasks: [lunarlander], max_retries: 1}
env: {num_envs: 4}
collect: {num_random_rollouts: 4, max_steps_per_rollout: 40}
vae: {epochs: 1, max_steps: 4, batch_size: 32}
mdnrnn: {epochs: 1, max_steps: 4, batch_size: 8, sequence_length: 16, rnn_size: 16}
controller:
  population_size: 4
  rollouts_per_candidate: 1
  generations: 6
  max_steps_per_rollout: 20
  check_every: 0
  check_episodes: 2
dream: {max_steps: 20}
evaluate: {episodes: 3}
"""
DRIVER = """\
import sys
import tests.faults.mischief
from curriculum.cli.main import main
sys.exit(main())
"""


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Sandbox:
    """An empty directory in which the command line runs, as a user would run it.

    Attributes:
        path: holds `tiny.yaml`; runs go to `runs/tiny`.
        token: marks every process that descends from one of ours, whoever its parent is now.
    """

    path: Path
    token: str

    @property
    def run(self) -> Path:
        return self.path / "runs" / "tiny"

    @property
    def search(self) -> Path:
        return self.run / SEARCH

    def start(
        self,
        *args: str,
        mischief: str = "",
        env: Mapping[str, str | None] | None = None,
        wrapper: tuple[str, ...] = (),
        **options: Any,
    ) -> subprocess.Popen[str]:
        """Starts `python -m curriculum …`, with something in it that will go wrong."""
        given = {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
        given |= {"FAULTS": self.token, "MISCHIEF": mischief, **(env or {})}
        (self.path / "tmp").mkdir(exist_ok=True)
        merged = {**os.environ, "TMPDIR": str(self.path / "tmp"), **given}
        code = ("-c", DRIVER) if mischief else ("-m", "curriculum")
        return subprocess.Popen(
            [*wrapper, sys.executable, *code, *args],
            cwd=self.path,
            env={name: value for name, value in merged.items() if value is not None},
            text=True,
            errors="replace",
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )

    def __call__(self, *args: str, **how: Any) -> Done:
        """Runs a command to its end."""
        with self.alive(*args, **how) as process:
            out, err = process.communicate(timeout=HANG_S)
            return Done(process.returncode, out or "", err or "")

    @contextmanager
    def alive(self, *args: str, **how: Any) -> Iterator[subprocess.Popen[str]]:
        """Starts a command that is killed, if it is still there, when the block is left."""
        with self.start(*args, **how) as process:
            try:
                yield process
            finally:
                process.kill()

    def begin(self, *sets: str, **how: Any) -> Done:
        """Runs `run tiny.yaml` to its end; `sets` are configuration keys."""
        return self("run", "tiny.yaml", *(f"--set={key}" for key in sets), **how)

    def resume(self, *args: str, **how: Any) -> Done:
        return self("resume", str(self.run), *args, **how)

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Returns the ledger's events of these names; every line of it has to be whole."""
        lines = (self.run / "events.jsonl").read_text(encoding="utf-8").splitlines()
        return [e for e in map(json.loads, lines) if e["event"] in names]

    def learned(self) -> tuple[list[float], bytes]:
        """Returns what a finished run found: its evaluation scores and its search's last state."""
        done = [e for e in self.events("stage_done") if e["stage"] == "evaluate"]
        state = newest(self.search) / "state.safetensors"
        return done[-1]["facts"]["scores"], state.read_bytes()

    def leftovers(self) -> list[Path]:
        """Returns temporary files, wherever a run could have left them."""
        found = list(self.run.rglob("*.tmp-*")) + list(self.run.rglob(".*.tmp-*"))
        return found + list((self.path / "tmp").iterdir())

    def processes(self) -> list[psutil.Process]:
        """Returns the processes of ours that are still there."""
        return [p for p in psutil.process_iter() if _environment(p).get("FAULTS") == self.token]


def newest(stage: Path) -> Path:
    """Returns the directory of a stage's newest commit."""
    return max((stage / "commits").iterdir())


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ() if process.status() != psutil.STATUS_ZOMBIE else {}
    except (psutil.Error, OSError):
        return {}


def make_place(path: Path) -> Sandbox:
    path.mkdir(parents=True, exist_ok=True)
    (path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    return Sandbox(path, secrets.token_hex(8))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Sandbox]:
    """A place that has to be left without a process, whatever happened in it."""
    place = make_place(tmp_path)
    yield place
    try:
        assert eventually(lambda: not place.processes()), place.processes()
    finally:
        for process in place.processes():
            process.kill()


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A run that nothing happened to; not to be changed."""
    place = make_place(tmp_path_factory.mktemp("whole"))
    done = place.begin(mischief="commit_always")
    assert done.code == 3, done.err
    return place


@pytest.fixture(scope="session")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """The same run, killed ahead of the fourth commit of its search; not to be changed."""
    place = make_place(tmp_path_factory.mktemp("killed"))
    done = place.begin(mischief="commit_always;kill_at_save=4")
    assert done.code == -9, done.err
    assert sorted(p.name for p in (place.search / "commits").iterdir()) == ["000002", "000003"]
    return place


@pytest.fixture
def half(place: Sandbox, killed: Sandbox) -> Sandbox:
    """A copy of the killed run, to do something to and to resume."""
    shutil.copytree(killed.run, place.run)
    return place
