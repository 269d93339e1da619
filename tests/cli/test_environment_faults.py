"""Environments and plugins of the user's that fail: told once, and the other tasks go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from curriculum.config.schema import Config
from curriculum.envs.batch import Batch
from curriculum.envs.workers import Workers
from curriculum.errors import ComponentMissing, ConfigError, EnvironmentFault
from curriculum.resources import MIB
from curriculum.runs.needs import disk_needs, memory_needs
from curriculum.runs.preflight import Look, look
from curriculum.tasks import load_config

pytestmark = pytest.mark.gym

PLUGIN = """
import os, sys, time
import gymnasium
import numpy as np
from gymnasium import spaces
from curriculum.envs.registry import register_env


class Line(gymnasium.Env):
    render_mode = None
    observation_space = spaces.Box(-10, 10, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.t = float(self.np_random.uniform(-1, 1)), 0
        return self.seen(), {}

    def seen(self):
        return np.array([self.x, self.t / 10], np.float32)

    def step(self, action):
        self.x += 0.1 if action else -0.1
        self.t += 1
        return self.seen(), self.x, False, self.t >= 10, {}


class Falls(Line):
    def step(self, action):
        if self.t == 4:
            raise ArithmeticError("the walker fell")
        return super().step(action)


class Leaving(Line):
    def step(self, action):
        if self.t == 4:
            sys.exit(0)
        return super().step(action)


class Short(Line):
    def seen(self):
        return np.array([self.x], np.float32)


class Hidden(Line):
    action_space = spaces.MultiDiscrete([2, 2])


class Binary(Line):
    action_space = spaces.MultiBinary(2)


class Big(Line):
    observation_space = spaces.Box(-np.inf, np.inf, (200_000,), np.float32)


def raises(**kwargs):
    raise OSError("no map was found")


def hangs(**kwargs):
    time.sleep(1000)


def computes(**kwargs):
    while True:
        pass


register_env("Line-v0", lambda **kwargs: Line())
register_env("Falls-v0", lambda **kwargs: Falls())
register_env("Leaving-v0", lambda **kwargs: Leaving())
register_env("Short-v0", lambda **kwargs: Short())
register_env("Hidden-v0", lambda **kwargs: Hidden())
register_env("Binary-v0", lambda **kwargs: Binary())
register_env("Big-v0", lambda **kwargs: Big())
register_env("Raises-v0", raises)
register_env("Hangs-v0", hangs)
register_env("Computes-v0", computes)
register_env("Exits-v0", lambda **kwargs: os._exit(0))
register_env("Leaves-v0", lambda **kwargs: sys.exit(0))
register_env("Aborts-v0", lambda **kwargs: os.abort())
register_env("Nothing-v0", lambda **kwargs: None)
"""
CONFIG = """
name: odd
curriculum: {{mode: GYM_ONLY, workers: {workers}, max_retries: 2, plugins: [odd_plugin]}}
collect: {{num_random_rollouts: 6, max_steps_per_rollout: 40}}
mdnrnn: {{epochs: 1, rnn_size: 8, sequence_length: 8}}
controller: {{population_size: 4, rollouts_per_candidate: 1, generations: 2, check_episodes: 2}}
env: {{num_envs: 2}}
evaluate: {{episodes: 2}}
tasks:
"""


def write(tmp_path: Path, *env_ids: str, workers: int = 0, more: str = "") -> Path:
    """Writes a plugin and a configuration with a task for each environment."""
    (tmp_path / "odd_plugin.py").write_text(PLUGIN, encoding="utf-8")
    text = CONFIG.format(workers=workers)
    for env_id in env_ids:
        name = env_id.partition("-")[0].rpartition("/")[2].lower()
        text += f"  {name}: {{env_id: {env_id}, observation: state, target: -1000{more}}}\n"
    path = tmp_path / "odd.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def config(tmp_path: Path, *env_ids: str, **how: Any) -> Config:
    return load_config(write(tmp_path, *env_ids, **how))


def modes(config: Config, mode: str = "GYM_ONLY") -> dict[str, str]:
    return {task.name: mode for task in config.tasks}


@pytest.fixture(autouse=True)
def plugin_importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.faults(
    "an environment raises in step", expect="told once with file and line; not run, exit 8"
)
@pytest.mark.parametrize("workers", [0, 2])
def test_the_users_error_ends_its_task_alone(curriculum, tmp_path: Path, workers: int) -> None:
    write(tmp_path, "Falls-v0", "Short-v0", "Line-v0", workers=workers)
    done = curriculum("run", "odd.yaml")
    assert done.code == 8, done.err
    line = PLUGIN.splitlines().index('            raise ArithmeticError("the walker fell")') + 1
    place = f"{tmp_path / 'odd_plugin.py'}, line {line}"
    assert f"ArithmeticError: the walker fell, in step 5 of episode 1, at {place}" in done.err
    assert "returned an observation of shape (1,)" in done.err
    lines = (tmp_path / "runs/odd/events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(text) for text in lines]
    verdicts = {e["task"]: e for e in events if e["event"] == "verdict"}
    assert [v["verdict"] for v in verdicts.values()] == ["not_run", "not_run", "passed"]
    assert "the walker fell" in verdicts["falls"]["reasons"][-1]
    faults = [e for e in events if e["event"] == "environment_fault"]
    assert [e["task"] for e in faults] == ["falls", "short"]
    assert not [e for e in events if e["event"] in ("stage_failed", "stepped_down")]
    tries = [e for e in events if e["event"] == "unit_failed"]
    assert 1 <= len(tries) <= 3, "a unit is done a second time, and no stage is tried again"
    report = (tmp_path / "runs/odd/report.md").read_text(encoding="utf-8")
    assert "an environment or plugin of yours raised" in report
    assert "the walker fell" in report and "odd\\_plugin.py" in report.replace("odd_", "odd\\_")


@pytest.mark.faults("an environment calls sys.exit in step", expect="its fault; not run, exit 8")
def test_a_wish_to_end_is_a_fault(curriculum, tmp_path: Path) -> None:
    write(tmp_path, "Leaving-v0")
    done = curriculum("run", "odd.yaml")
    assert done.code == 8, done.err
    assert "raised SystemExit: 0, in step 5 of episode 1" in done.err


@pytest.mark.faults("an environment raises again when replayed", expect="its error, at once")
@pytest.mark.parametrize(
    ("env_id", "events"),
    [
        ("Falls-v0", ["env_worker_raised", "env_worker_replaced", "env_worker_raised"]),
        ("Short-v0", ["env_worker_raised"]),
    ],
)
def test_workers_of_environments_replay_once(
    tmp_path: Path, env_id: str, events: list[str]
) -> None:
    import numpy as np

    from curriculum.backends.backend import import_plugins
    from curriculum.envs.registry import make_in_worker
    from curriculum.envs.registry.order import Order

    write(tmp_path, env_id)
    import_plugins(["odd_plugin"])
    told: list[str] = []
    args = (Order(env_id, "state"), "odd_plugin")
    env = Batch(Workers(make_in_worker, args, 2, 1, on_event=lambda e: told.append(e["event"])))
    with pytest.raises(EnvironmentFault, match=f"environment {env_id}"):
        env.reset([0, 1])
        for _ in range(6):
            env.step(np.array([0, 1]))
    assert told == events
    with pytest.raises(RuntimeError, match="closed"):
        env.reset([0, 1])


@pytest.mark.faults(
    "tasks that cannot be learned", expect="all are refused together before anything is written"
)
def test_what_cannot_work_is_refused_before_the_walk_for_all_tasks(
    curriculum, tmp_path: Path
) -> None:
    bad = ("Hidden-v0", "Binary-v0", "Raises-v0", "Nothing-v0", "Nowhere-v0", "ALE/Pong-v5")
    write(tmp_path, "Line-v0", *bad)
    before = sorted(tmp_path.rglob("*"))
    done = curriculum("run", "odd.yaml")
    assert done.code == 2, done.err
    for said in (
        "hidden: environment Hidden-v0 has the action space MultiDiscrete",
        "binary: environment Binary-v0 has the action space MultiBinary",
        "raises: environment Raises-v0 raised OSError: no map was found, as it was built, at",
        "nothing: environment Nothing-v0 was made as NoneType",
        "nowhere: environment 'Nowhere-v0' is not installed",
        "pong: environment ALE/Pong-v5 was asked for its state",
    ):
        assert said in done.err
    assert "line:" not in done.err and "Traceback" not in done.err
    left = [path for path in sorted(tmp_path.rglob("*")) if "__pycache__" not in path.parts]
    assert left == before


@pytest.mark.faults(
    "a factory that hangs, computes for ever, exits or aborts", expect="refused in bounded time"
)
def test_a_factory_that_does_not_come_back_is_bounded(tmp_path: Path) -> None:
    ids = ("Exits-v0", "Hangs-v0", "Aborts-v0", "Leaves-v0", "Line-v0")
    odd = config(tmp_path, *ids)
    odd = replace(odd, curriculum=replace(odd.curriculum, timeout_seconds=5.0))
    with pytest.raises(ConfigError, match="nothing was written") as refused:
        look(odd, modes(odd))
    text = str(refused.value)
    assert "exits was not built: its process ended with 0" in text
    assert "hangs was not built: nothing happened for 5 s, at" in text and "odd_plugin" in text
    assert "aborts was not built: its process ended with -6" in text
    assert "raised SystemExit: 0, as it was built" in text
    assert "line:" not in text


def test_a_factory_that_computes_for_ever_is_stopped(tmp_path: Path) -> None:
    odd = config(tmp_path, "Computes-v0")
    odd = replace(odd, curriculum=replace(odd.curriculum, timeout_seconds=0.5))
    with pytest.raises(ConfigError, match=r"computes was not built: .*(computed|stopped)"):
        look(odd, modes(odd))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("import nowhere_at_all", "No module named 'nowhere_at_all'"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_refused(tmp_path: Path, code: str, said: str) -> None:
    odd = config(tmp_path, "Line-v0")
    (tmp_path / "odd_plugin.py").write_text(code, encoding="utf-8")
    with pytest.raises(ConfigError, match=said) as refused:
        look(odd, modes(odd))
    assert "odd_plugin.py:1" in str(refused.value)


def test_only_missing_packages_have_their_own_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = config(tmp_path, "Line-v0")
    from curriculum.runs import preflight

    told = {"line": {"missing": "environment Ant-v5 cannot be built: install mujoco"}}
    monkeypatch.setattr(preflight, "_told_of", lambda *args: told)
    with pytest.raises(ComponentMissing, match="install mujoco"):
        look(odd, modes(odd))


@pytest.mark.parametrize(
    ("mode", "key", "said"),
    [
        ("GYM_ONLY", "mdnrnn: {trained: false}", "mdnrnn.trained was false in mode GYM_ONLY"),
        ("SIMULATION", "mdnrnn: {trained: false}", "mdnrnn.trained was false in mode SIMULATION"),
        ("SIMULATION", "env: {simulation: ping}", "no simulation is called 'ping'"),
        ("SIMULATION", "env: {frame_stack: 3}", "env.frame_stack was 3 with observations that are"),
    ],
)
def test_what_a_mode_does_not_have_is_refused(
    tmp_path: Path, mode: str, key: str, said: str
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"tasks: {{lunarlander: {{{key}}}}}\n", encoding="utf-8")
    config = load_config(path)
    with pytest.raises(ConfigError, match=said):
        look(config, modes(config, mode))
    if mode == "GYM_ONLY":
        assert look(config, modes(config, "FULL")) == {}


def test_tasks_of_ours_are_not_looked_at_again() -> None:
    from curriculum.tasks import builtin_tasks

    config = Config(tasks=builtin_tasks())
    assert look(config, modes(config, "FULL")) == {}


@pytest.mark.faults(
    "controller.solver is {solver} in {env_id}, whose actions it cannot learn",
    expect="refused before anything is written, and told which solver can",
)
@pytest.mark.parametrize(
    ("env_id", "observation", "solver", "said"),
    [
        ("CarRacing-v3", "pixels", "qrdqn", "those of CarRacing-v3 are continuous: write sac"),
        ("LunarLander-v3", "state", "sac", "those of LunarLander-v3 are discrete: write qrdqn"),
        ("CartPole-v1", "state", "sac", "those of CartPole-v1 are discrete: write qrdqn, or ppo"),
    ],
)
def test_a_solver_that_cannot_learn_such_actions_is_refused(
    tmp_path: Path, env_id: str, observation: str, solver: str, said: str
) -> None:
    path = tmp_path / "c.yaml"
    task = f"env_id: {env_id}, observation: {observation}, target: 0"
    text = f"tasks: {{own: {{{task}, controller: {{solver: {solver}}}}}}}\n"
    path.write_text(text, encoding="utf-8")
    own = load_config(path)
    with pytest.raises(ConfigError, match=said):
        look(own, modes(own, "FULL"))
    if env_id == "CartPole-v1":
        assert look(own, modes(own, "GYM_ONLY"))["own"].kind == "discrete"


def test_a_replay_too_small_for_one_transition_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    keys = "controller: {solver: qrdqn}, replay: {capacity: 255}, training: {num_envs: 64}"
    path.write_text(f"tasks: {{lunarlander: {{{keys}}}}}\n", encoding="utf-8")
    small = load_config(path)
    with pytest.raises(ConfigError, match=r"replay.capacity was 255, expected at least 256: "):
        look(small, modes(small, "FULL"))


@pytest.mark.faults(
    "a state of 200,000 numbers", expect="counted as it is, and refused with numbers"
)
def test_a_state_is_counted_as_what_it_is(curriculum, tmp_path: Path) -> None:
    odd = config(tmp_path, "Big-v0", "Line-v0")
    seen = look(odd, modes(odd))
    assert seen == {"big": Look((200_000,), 2), "line": Look((2,), 2)}
    big, line = (
        sum(n.bytes for n in memory_needs(replace(odd, tasks=(task,)), modes(odd), 0, seen))
        for task in odd.tasks
    )
    assert big > 1000 * line
    disk = {n.what: n.bytes for n in disk_needs(odd, modes(odd), seen)}
    assert disk["big: collected episodes"] > 6 * 40 * 200_000 * 4 > 100 * MIB
    assert disk["line: collected episodes"] < MIB
    done = curriculum("run", "odd.yaml")
    assert done.code == 2, done.err
    assert "of memory, but" in done.err and "200,000 numbers of a state" in done.err
    assert not (tmp_path / "runs").exists()


def test_validate_says_where_episodes_have_no_end(curriculum, tmp_path: Path) -> None:
    write(tmp_path, "CliffWalking-v1", "CartPole-v1")
    done = curriculum("validate", "odd.yaml")
    assert done.code == 0
    assert done.out.count("declares no limit") == 1
    assert "truncated after 10,000 steps (env.max_episode_steps)" in done.out
    write(tmp_path, "CliffWalking-v1", more=", env: {max_episode_steps: 200}")
    assert "no limit" not in curriculum("validate", "odd.yaml").out
