"""Environments in workers are what they are in this process, and workers end when they should."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from curriculum.envs.contract import check_vector_env
from curriculum.envs.interface import VectorEnv
from curriculum.errors import ComponentMissing, ConfigError, StageFailure
from tests.patience import HANG_S, eventually
from tests.workers import walks
from tests.workers.conftest import HERE, children, in_workers, names, roll


def test_environments_in_workers_keep_the_contract() -> None:
    made: list[VectorEnv] = []

    def make(num_envs: int) -> VectorEnv:
        made.append(in_workers(walks.walk, (), num_envs, 2))
        return made[-1]

    assert check_vector_env(make) == []
    for env in made:
        env.close()


@pytest.mark.parametrize(
    ("name", "num_envs", "workers", "steps"),
    [("walk", 5, 2, 600), ("walk", 4, 1, 60), ("walk", 3, 7, 60), ("picture_walk", 5, 3, 60)],
)
def test_workers_change_nothing(name: str, num_envs: int, workers: int, steps: int) -> None:
    make = getattr(walks, name)
    expected = roll(make(num_envs), steps)
    env = in_workers(make, (), num_envs, workers)
    assert len(children()) == min(num_envs, workers)
    assert roll(env, steps) == expected
    env.close()


@pytest.mark.gym
def test_workers_change_nothing_for_a_real_environment() -> None:
    alone = walks.lander(3)
    env = in_workers(walks.lander, (), 3, 2)
    assert env.spec == alone.spec
    assert roll(env, 250) == roll(alone, 250)
    env.close()
    alone.close()


def test_workers_play_side_by_side_while_the_parent_does_something_else(tmp_path: Path) -> None:
    env = in_workers(walks.waiting, (str(tmp_path),), 2, 2, deadline_s=HANG_S)
    env.reset([1, 2])
    env.send(np.zeros(2, np.int64))
    assert eventually(lambda: len(list(tmp_path.iterdir())) == 2), "one waits for the other"
    (tmp_path / "go on").touch()
    env.recv()
    env.close()


@pytest.mark.parametrize(
    ("how", "kind", "text"),
    [
        ("config", ConfigError, "choose another"),
        ("missing", ComponentMissing, "install it"),
        ("stubborn", StageFailure, "stubborn"),
        ("differs", ConfigError, "different environments"),
    ],
)
def test_what_building_raises_arrives_as_what_it_is(
    how: str, kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text) as caught:
        in_workers(walks.unbuildable, (how,), 3, 2, max_restarts=1)
    assert type(caught.value) is kind
    if how == "config":
        assert "in unbuildable" in caught.value.__notes__[0]


def test_what_builds_a_batch_must_be_found_by_other_processes() -> None:
    with pytest.raises(ValueError, match="expected a function at the top of a module"):
        in_workers(lambda num_envs: walks.walk(num_envs), (), 2, 2)


@pytest.mark.parametrize(
    ("how", "text", "log"),
    [
        ("dies", "was killed by SIGABRT", "the last words"),
        ("hangs", "deadline of 3 s", "in unbuildable"),
    ],
)
def test_worker_that_never_builds_is_a_failure(
    how: str, text: str, log: str, events: list[dict[str, Any]]
) -> None:
    with pytest.raises(StageFailure, match=text) as caught:
        in_workers(
            walks.unbuildable, (how,), 1, 1, start_s=3.0, max_restarts=1, on_event=events.append
        )
    assert log in caught.value.evidence["log"]
    assert names(events) == ["env_worker_died" if how == "dies" else "env_worker_hung"] * 2


def test_processes_that_cannot_be_started_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(StageFailure, match="could not be started: FileNotFoundError"):
        in_workers(walks.walk, (), 2, 2)


@pytest.mark.parametrize(("num_envs", "workers"), [(0, 1), (1, 0)])
def test_there_must_be_environments_and_workers(num_envs: int, workers: int) -> None:
    with pytest.raises(ValueError, match="expected num_envs and workers >= 1"):
        in_workers(walks.walk, (), num_envs, workers)


def test_environments_are_closed_politely_and_only_once(tmp_path: Path) -> None:
    mark = tmp_path / "closed"
    env = in_workers(walks.closing_walk, (str(mark),), 2, 1)
    env.reset([1, 2])
    env.close()
    assert mark.exists()
    env.close()
    for act in (lambda: env.reset([1, 2]), lambda: env.send(np.zeros(2)), env.recv):
        with pytest.raises(RuntimeError, match="closed"):
            act()


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_stopped_and_dead_workers_can_be_closed(number: signal.Signals) -> None:
    env = in_workers(walks.walk, (), 4, 2)
    env.reset(range(4))
    children()[0].send_signal(number)
    env.close()


def test_workers_end_with_a_killed_parent() -> None:
    script = (
        f"import sys, time; sys.path[:0] = {[str(HERE.parents[1])]!r}\n"
        "from tests.workers.conftest import in_workers\n"
        "import numpy as np\n"
        "from tests.workers import walks\n"
        "idle = in_workers(walks.walk, (), 2, 2)\n"
        "busy = in_workers(walks.slow, (600.0,), 2, 1)\n"
        "busy.reset([1, 2])\n"
        "busy.send(np.zeros(2, np.int64))\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        workers = psutil.Process(parent.pid).children()
        assert len(workers) == 3
        parent.kill()
    assert eventually(lambda: not any(worker.is_running() for worker in workers))
