"""The random baseline and what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from baselines.random_agent import play_random
from baselines.results import BaselineHome, BaselineResult, load_results, name_of
from curriculum.config.schema import EnvConfig, TaskConfig
from curriculum.envs.interface import VectorEnv
from curriculum.envs.simulation import make_simulation
from curriculum.errors import ConfigError
from tests.records.samples import facts_of

TASK = TaskConfig("lunarlander", "LunarLander-v3", "state", 200.0, 150.0, EnvConfig(num_envs=4))


def make_env(num_envs: int) -> VectorEnv:
    return make_simulation("lunarlander", num_envs, observation="state")


def play(out: Path, seed: int = 0, episodes: int = 10) -> BaselineResult:
    with BaselineHome(out, name_of("random", "lunarlander", seed)) as home:
        return play_random(TASK, make_env, home.ledger, episodes=episodes, seed=seed)


def test_equal_seeds_give_equal_scores_however_many_are_played(tmp_path: Path) -> None:
    first = play(tmp_path / "a")
    assert play(tmp_path / "b").scores == first.scores
    assert play(tmp_path / "c", episodes=3).scores == first.scores[:3]
    assert play(tmp_path / "d", seed=1).scores != first.scores
    assert first.score < 0, "random landers crash"


def test_the_result_can_be_read_back(tmp_path: Path) -> None:
    result = play(tmp_path)
    assert load_results(tmp_path) == [result]
    written = json.loads((tmp_path / "random-lunarlander-seed0" / "result.json").read_text())
    assert written["score"] == pytest.approx(np.mean(result.scores))
    assert written["interval"][0] < written["score"] < written["interval"][1]
    events = (tmp_path / "random-lunarlander-seed0" / "events.jsonl").read_text().splitlines()
    names = [json.loads(line)["event"] for line in events]
    assert names == ["baseline_started", *["episode"] * 10, "baseline_done"]


def test_a_finished_baseline_is_not_overwritten_but_a_killed_one_is(tmp_path: Path) -> None:
    with BaselineHome(tmp_path, name_of("random", "lunarlander", 0)) as home:
        home.ledger.append("baseline_started", **facts_of("baseline_started"))
    play(tmp_path)
    events = (tmp_path / "random-lunarlander-seed0" / "events.jsonl").read_text()
    assert events.count("baseline_started") == 1
    with pytest.raises(ConfigError, match="finished baseline already"):
        play(tmp_path)


@pytest.mark.parametrize(
    "content", ["[]", "{}", '{"algo": "random", "scores": []}', "null", '{"scores": ["x"]}']
)
def test_a_foreign_result_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(ConfigError, match=r"result\.json"):
        load_results(tmp_path)


def test_scores_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    play(tmp_path)
    path = tmp_path / "random-lunarlander-seed0" / "result.json"
    broken = {**json.loads(path.read_text()), "scores": ["high"]}
    path.write_text(json.dumps(broken))
    with pytest.raises(ConfigError, match="'high', expected a number"):
        load_results(tmp_path)


def test_no_baseline_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="python -m baselines random"):
        load_results(tmp_path / "nothing")
