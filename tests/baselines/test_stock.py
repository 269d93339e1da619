"""The stock setting: environments as SB3 and its zoo set them up, judged on whole games."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("stable_baselines3")
pytest.importorskip("ale_py")
pytest.importorskip("Box2D")

import gymnasium
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecFrameStack

from baselines.__main__ import main
from baselines.results import BaselineHome, load_results, name_of
from baselines.sb3.arena import OnEpisode, StockEnvironments
from baselines.sb3.loading import open_baseline
from baselines.sb3.recipes import PIXELS_CONTINUOUS, PIXELS_DISCRETE, STATE, Recipe
from baselines.sb3.stock import ATARI_KIND, RACING_KIND, StockVecEnv, playing_env, stock_kind
from baselines.sb3.training import Training, train
from baselines.sb3.vec_env import SeedOf
from curriculum.agent.episodes import run_episodes
from curriculum.agent.policies import RandomPolicy
from curriculum.config.schema import EnvConfig, TaskConfig
from curriculum.envs.interface import VectorEnv
from curriculum.errors import ConfigError
from curriculum.seeds import generator
from curriculum.tasks import builtin_tasks

pytestmark = [pytest.mark.torch, pytest.mark.gym]

TASKS = {task.name: task for task in builtin_tasks()}
CASES: dict[str, Recipe] = {"lunarlander": STATE, "breakout": PIXELS_DISCRETE}


class Killed(BaseException):
    """Stands for an end that nothing can be done about."""


class DyingBatch(StockVecEnv):
    """A batch that ends the process after so many steps."""

    left = 0

    def step_async(self, actions: np.ndarray) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed
        super().step_async(actions)


class DyingArena(StockEnvironments):
    """Stock environments in which training ends after so many steps of the batch."""

    def __init__(self, task: TaskConfig, dies_after: int) -> None:
        super().__init__(task)
        self._dies_after = dies_after

    def to_train(
        self, recipe: Recipe, seed_of: SeedOf, on_episode: OnEpisode | None = None
    ) -> StockVecEnv:
        env = super().to_train(recipe, seed_of, on_episode)
        env.__class__ = DyingBatch
        env.left = self._dies_after  # type: ignore[attr-defined]
        return env


def trained(out: Path, name: str, dies_after: int | None = None) -> None:
    recipe = replace(
        CASES[name],
        num_envs=2,
        settings={**CASES[name].settings, "n_steps": 8, "batch_size": 8, "n_epochs": 1},
    )
    training = Training(steps=96, episodes=1, evaluations=1, recipe=recipe, commit_steps=32)
    task = TASKS[name]
    arena = StockEnvironments(task) if dies_after is None else DyingArena(task, dies_after)
    with BaselineHome(out, name_of("ppo", name, 0, "stock")) as home:
        train("ppo", task, arena, home, training)


def told(out: Path) -> list[dict[str, Any]]:
    (ledger,) = out.rglob("events.jsonl")
    events = [json.loads(line) for line in ledger.read_text().splitlines()]
    kept = [event for event in events if event["event"] != "baseline_resumed"]
    return [{k: v for k, v in event.items() if k not in ("t", "seconds")} for event in kept]


@pytest.fixture(autouse=True)
def one_game_behind_a_point(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("baselines.sb3.training.CURVE_EPISODES", 1)


@pytest.mark.parametrize("name", CASES)
def test_a_training_that_was_killed_ends_as_the_undisturbed_one(name: str, tmp_path: Path) -> None:
    trained(tmp_path / "whole", name)
    for steps in (21, 19):
        with pytest.raises(Killed):
            trained(tmp_path / "killed", name, steps)
    trained(tmp_path / "killed", name)
    whole, killed = (load_results(tmp_path / which)[0] for which in ("whole", "killed"))
    assert replace(killed, seconds=0.0) == replace(whole, seconds=0.0)
    assert told(tmp_path / "killed") == told(tmp_path / "whole")
    assert whole.setting == "stock" and whole.env_steps == 96
    assert "different here" not in whole.settings["source"]


def test_a_kept_policy_plays_and_is_filmed(tmp_path: Path) -> None:
    trained(tmp_path, "breakout")
    directory = tmp_path / "ppo-stock-breakout-seed0"

    def refused(task: TaskConfig, num_envs: int) -> VectorEnv:
        raise AssertionError("ours are not built")

    opened = open_baseline(directory, refused)
    assert opened.spec.shape == (84, 84, 1)
    found = opened.evaluate(1, 7, False)
    assert found == opened.evaluate(1, 7, False)
    episode = opened.film(5, True, tmp_path / "film.gif")
    assert episode.steps > 20 and (tmp_path / "film.gif").stat().st_size > 1000


def test_whole_games_score_as_their_own_evaluation_scores_them() -> None:
    """Same seed, same actions: `evaluate_policy` over their batch and our loop over our view."""

    class Steady:
        def predict(self, observations: np.ndarray, **_: Any) -> tuple[np.ndarray, None]:
            # Right and left by what is seen, and never FIRE.
            return 2 + (observations.reshape(len(observations), -1).sum(axis=1) % 2), None

    batch = make_atari_env(
        "BreakoutNoFrameskip-v4", 1, seed=11, wrapper_kwargs={"clip_reward": False}
    )
    theirs, lengths = evaluate_policy(
        Steady(),  # type: ignore[arg-type]
        batch,
        n_eval_episodes=1,
        return_episode_rewards=True,
    )
    batch.close()

    class Follower(RandomPolicy):
        def act(self, observations: np.ndarray, slots: np.ndarray) -> np.ndarray:
            return Steady().predict(observations)[0].astype(np.int64)

    env = playing_env("BreakoutNoFrameskip-v4", ATARI_KIND, 1)
    (ours,) = run_episodes(env, Follower(env.spec.action, 0.0, [generator(0, "x")]), [11])
    env.close()
    assert [ours.score] == theirs
    assert ours.terminated and ours.steps > lengths[0] // 8


def test_a_game_that_was_left_begins_anew_with_its_seed() -> None:
    env = playing_env("BreakoutNoFrameskip-v4", ATARI_KIND, 1)
    first = env.reset([3]).copy()
    for _ in range(60):
        env.step(np.array([3]))
    np.testing.assert_array_equal(env.reset([3]), first)
    assert (env.reset([4]) != first).any() or (env.step(np.array([1])).observations != first).any()
    env.close()


def test_racing_is_skipped_shrunk_and_grey_as_in_the_zoo() -> None:
    env = playing_env("CarRacing-v3", RACING_KIND, 1)
    assert env.spec.shape == (64, 64, 1) and env.spec.action.kind == "continuous"
    env.reset([5])
    steps = [env.step(np.array([[0.0, 1.0, 0.0]], np.float32)) for _ in range(20)]
    env.close()
    stock = gymnasium.make("CarRacing-v3")
    stock.reset(seed=5)
    gas = np.array([0.0, 1.0, 0.0], np.float32)
    rewards = [float(stock.step(gas)[1]) for _ in range(40)]
    stock.close()
    paired = np.array(rewards).reshape(20, 2).sum(axis=1)
    np.testing.assert_allclose([float(s.rewards[0]) for s in steps], paired, rtol=1e-5, atol=1e-5)


def test_true_scores_of_whole_games_are_told_while_lives_end_episodes() -> None:
    ended: list[Any] = []
    arena = StockEnvironments(TASKS["breakout"])
    env = arena.to_train(replace(PIXELS_DISCRETE, num_envs=2), lambda slot: 5 + slot, ended.append)
    assert isinstance(env.venv, VecFrameStack)
    env.reset()
    overs, rng = 0, np.random.default_rng(0)
    while not ended:
        _, rewards, over, _ = env.step(rng.integers(0, 4, 2))
        assert set(rewards.tolist()) <= {0.0, 1.0}
        overs += int(over.sum())
    env.close()
    assert overs > 4 and ended[0].steps > 50 and ended[0].score >= 0.0


def test_racing_is_learned_from_two_grey_frames() -> None:
    recipe = replace(
        PIXELS_CONTINUOUS,
        num_envs=2,
        settings={**PIXELS_CONTINUOUS.settings, "n_steps": 8, "batch_size": 8, "n_epochs": 1},
    )
    env = StockEnvironments(TASKS["carracing"]).to_train(recipe, lambda slot: slot)
    assert env.observation_space.shape == (64, 64, 2)
    env.close()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"env_id": "ALE/Pong-v5"}, "such as PongNoFrameskip-v4"),
        ({"env_id": "LunarLander-v3", "env": EnvConfig(continuous=True)}, "env.continuous"),
        ({"env_id": "CarRacing-v3", "env": EnvConfig(kwargs={"lap": 1})}, "env.kwargs"),
    ],
)
def test_what_the_zoo_does_not_play_is_refused(changes: dict[str, Any], says: str) -> None:
    task = replace(TASKS["pong"], **changes)
    with pytest.raises(ConfigError, match=says):
        stock_kind(task)


def test_the_command_line_refuses_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ppo", "--task", "pong", "--setting", "stock", "--steps", "8", "--out", str(tmp_path)]
    code = main([*words, "--set", "tasks.pong.env_id=ALE/Pong-v5"])
    assert code == 2 and "--setting same" in capsys.readouterr().err
    assert not list(tmp_path.rglob("result.json"))
