"""SB3's learners killed anywhere go on number for number, and say what they do not go on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")

from safetensors.numpy import load_file

from baselines.__main__ import main
from baselines.results import RESULT, BaselineHome, load_results, name_of
from baselines.sb3.arena import SameEnvironments
from baselines.sb3.loading import open_baseline
from baselines.sb3.recipes import (
    DQN_STATE,
    PIXELS_CONTINUOUS,
    PIXELS_DISCRETE,
    SAC_STATE,
    STATE,
    Recipe,
)
from baselines.sb3.training import WEIGHTS, Training, recipe_of, train, whole_steps
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import ActionSpec, EnvSpec, VectorEnv
from curriculum.envs.simulation import make_simulation
from curriculum.errors import ConfigError, RunLocked
from curriculum.seeds import env_seed
from curriculum.tasks import builtin_tasks

pytestmark = pytest.mark.torch

ROOT = Path(__file__).resolve().parents[2]
TASKS = {task.name: task for task in builtin_tasks()}
ROLLOUTS = {"n_steps": 8, "batch_size": 8, "n_epochs": 2}
REPLAY = {"learning_starts": 20, "buffer_size": 50, "batch_size": 8, "train_freq": 4}
CASES: dict[str, tuple[Any, str, Recipe, dict[str, Any]]] = {
    "ppo-state": ("ppo", "lunarlander", STATE, ROLLOUTS),
    "ppo-frames": ("ppo", "breakout", PIXELS_DISCRETE, ROLLOUTS),
    "ppo-noise-and-scaled-rewards": ("ppo", "carracing", PIXELS_CONTINUOUS, ROLLOUTS),
    "dqn": ("dqn", "lunarlander", DQN_STATE, {**REPLAY, "target_update_interval": 10}),
    "sac": ("sac", "pendulum", SAC_STATE, REPLAY),
}


class Killed(BaseException):
    """Stands for an end that nothing can be done about."""


class Dying:
    """Environments that end the process after so many steps."""

    def __init__(self, env: VectorEnv, left: int) -> None:
        self._env, self._left = env, left
        self.spec, self.num_envs = env.spec, env.num_envs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def send(self, actions: np.ndarray) -> None:
        self._left -= 1
        if self._left < 0:
            raise Killed
        self._env.send(actions)


def quick(recipe: Recipe, settings: dict[str, Any]) -> Recipe:
    return replace(recipe, num_envs=2, settings={**recipe.settings, **settings})


def task_of(name: str) -> TaskConfig:
    return TASKS.get(name) or TaskConfig("pendulum", "Pendulum-v1", "state", -200.0)


def envs(name: str) -> Callable[[int], VectorEnv]:
    if name == "pendulum":
        pytest.importorskip("gymnasium")
        from curriculum.backends.parts import real_env

        return lambda n: real_env(task_of(name), n, lambda text: None)
    task = task_of(name)
    return lambda n: make_simulation(
        name,
        n,
        observation=task.observation,
        grayscale=task.env.grayscale,
        max_episode_steps=20,
    )


def trained(out: Path, case: str, dies_after: int | None = None, **changes: Any) -> None:
    """Trains 96 steps with a commit about every 32, and lets it die after so many."""
    algo, name, recipe, settings = CASES[case]
    training = Training(
        steps=96, episodes=2, evaluations=3, recipe=quick(recipe, settings), commit_steps=32
    )
    make = envs(name)

    def make_env(n: int) -> VectorEnv:
        env = make(n)
        if dies_after is None or n != 2:
            return env
        return cast(VectorEnv, Dying(env, dies_after))

    with BaselineHome(out, name_of(algo, name, 0)) as home:
        arena = SameEnvironments(task_of(name), make_env)
        train(algo, task_of(name), arena, home, replace(training, **changes))


def told(out: Path) -> list[dict[str, Any]]:
    """Returns the ledger without times, and without that it was resumed."""
    (ledger,) = out.rglob("events.jsonl")
    events = [json.loads(line) for line in ledger.read_text().splitlines()]
    kept = [event for event in events if event["event"] != "baseline_resumed"]
    return [{k: v for k, v in event.items() if k not in ("t", "seconds")} for event in kept]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dies_after", [[7], [17], [39], [18, 20]])
def test_a_training_that_was_killed_ends_as_the_undisturbed_one(
    case: str, dies_after: list[int], tmp_path: Path
) -> None:
    trained(tmp_path / "whole", case)
    for steps in dies_after:
        with pytest.raises(Killed):
            trained(tmp_path / "killed", case, steps)
    trained(tmp_path / "killed", case)
    whole, killed = (load_results(tmp_path / which)[0] for which in ("whole", "killed"))
    assert replace(killed, seconds=0.0) == replace(whole, seconds=0.0)
    assert whole.env_steps == 96
    weights = [load_file(next((tmp_path / d).rglob(WEIGHTS))) for d in ("whole", "killed")]
    for name, values in weights[0].items():
        np.testing.assert_array_equal(weights[1][name], values, err_msg=name)
    assert told(tmp_path / "killed") == told(tmp_path / "whole")
    assert [e["step"] for e in told(tmp_path / "whole") if e["event"] == "evaluation"] == [
        32,
        64,
        96,
    ]


def test_it_learned_on_the_way(tmp_path: Path) -> None:
    """What is equal above is not equal because nothing changes."""
    for steps in (32, 96):
        trained(tmp_path / str(steps), "ppo-state", steps=steps)
    first, last = (load_file(next((tmp_path / d).rglob(WEIGHTS))) for d in ("32", "96"))
    assert any((first[name] != last[name]).any() for name in first)


def test_one_that_is_killed_in_its_last_examination_does_not_train_again(tmp_path: Path) -> None:
    trained(tmp_path, "ppo-state")
    home = next(tmp_path.rglob(RESULT)).parent
    (home / RESULT).unlink()
    trained(tmp_path, "ppo-state", 0)
    assert load_results(tmp_path)[0].env_steps == 96


def test_other_settings_are_refused_and_change_nothing(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        trained(tmp_path, "ppo-state", 40)
    before = told(tmp_path)
    with pytest.raises(ConfigError, match=r"settings.steps: 96 -> 112"):
        trained(tmp_path, "ppo-state", steps=100)
    with pytest.raises(ConfigError, match=r"settings.commit_steps: 32 -> 48"):
        trained(tmp_path, "ppo-state", commit_steps=48)
    assert [e for e in told(tmp_path) if e["event"] == "baseline_started"] == before[:1]
    trained(tmp_path, "ppo-state")


def test_a_damaged_commit_is_told_and_the_one_before_it_serves(tmp_path: Path) -> None:
    trained(tmp_path / "whole", "ppo-state")
    with pytest.raises(Killed):
        trained(tmp_path / "killed", "ppo-state", 40)
    newest = max((tmp_path / "killed").rglob("state.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-1])
    trained(tmp_path / "killed", "ppo-state")
    events = told(tmp_path / "killed")
    assert [e["event"] for e in events].count("commit_rejected") == 1
    assert [e for e in events if e["event"] != "commit_rejected"] == told(tmp_path / "whole")


def test_two_processes_do_not_train_one_baseline(tmp_path: Path) -> None:
    name = name_of("ppo", "lunarlander", 0)
    with BaselineHome(tmp_path, name), pytest.raises(RunLocked, match="in use"):
        BaselineHome(tmp_path, name)


@pytest.mark.parametrize(
    ("recipe", "asked", "taken"),
    [(STATE, 500_000, 507_904), (PIXELS_DISCRETE, 1024, 1024), (SAC_STATE, 7, 7)],
)
def test_steps_are_whole_rollouts(recipe: Recipe, asked: int, taken: int) -> None:
    assert whole_steps(recipe, asked) == taken


@pytest.mark.parametrize(
    ("algo", "observation", "kind", "says"),
    [
        ("dqn", "state", "continuous", "--algo sac or ppo"),
        ("sac", "state", "discrete", "--algo dqn or ppo"),
        ("dqn", "pixels", "discrete", "gigabytes"),
    ],
)
def test_what_a_learner_cannot_learn_is_told(
    algo: Any, observation: Any, kind: Any, says: str
) -> None:
    spec = EnvSpec("x", observation, (4,), ActionSpec(kind, 2))
    with pytest.raises(ConfigError, match=says):
        recipe_of(algo, spec)


@pytest.mark.parametrize("case", ["ppo-state", "ppo-frames", "dqn"])
def test_a_finished_training_plays_as_it_was_judged(case: str, tmp_path: Path) -> None:
    trained(tmp_path / "b", case)
    (home,) = (tmp_path / "b").iterdir()
    name = CASES[case][1]
    opened = open_baseline(home, lambda task, n: envs(name)(n))
    assert opened.task.env == task_of(name).env
    seeds = [env_seed(0, name, CASES[case][0], "final", n) for n in range(2)]
    assert tuple(e.score for e in opened.play(seeds, sampled=False)) == opened.result.scores
    first, again, other = (opened.evaluate(3, seed, sampled=False) for seed in (5, 5, 6))
    assert first == again and len(first.scores) == 3
    assert first.policy == "greedy" and other.interval[0] <= other.score <= other.interval[1]
    episode = opened.film(seeds[0], False, tmp_path / "film.gif")
    assert episode.score == opened.result.scores[0]
    assert (tmp_path / "film.gif").read_bytes()[:6] == b"GIF89a"


def test_what_cannot_play_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tmp_path)]) == 2
    assert "holds no finished baseline: result.json is not there" in capsys.readouterr().err
    trained(tmp_path, "ppo-state")
    (home,) = tmp_path.iterdir()
    (home / WEIGHTS).rename(home / "elsewhere")
    assert main(["play", str(home)]) == 2
    assert f"holds no trained policy: {WEIGHTS} is not there" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.gym
def test_kill_9_in_the_middle_ends_in_the_same_result(tmp_path: Path) -> None:
    pytest.importorskip("Box2D")
    command = [sys.executable, "-m", "baselines", "ppo", "--task", "lunarlander", "--steps"]
    command += ["81920", "--commit-steps", "16384", "--episodes", "4", "--evaluations", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for which in ("whole", "killed"):
        words = [*command, "--out", str(tmp_path / which)]
        if which == "killed":
            with subprocess.Popen(words, cwd=ROOT, env=environment) as process:
                while process.poll() is None and not list(
                    (tmp_path / which).rglob("000002/manifest.json")
                ):
                    time.sleep(0.05)
                process.send_signal(signal.SIGKILL)
            assert process.returncode == -signal.SIGKILL
        subprocess.run(words, cwd=ROOT, env=environment, check=True)
    whole, killed = (load_results(tmp_path / which)[0] for which in ("whole", "killed"))
    assert killed.scores == whole.scores
    assert told(tmp_path / "killed") == told(tmp_path / "whole")
