"""The number that everything is judged by, in an environment whose scores are known in advance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.places import place_in, stage_at, stopped_at

pytest.importorskip("gymnasium")

import gymnasium

from curriculum.config.schema import EnvConfig, EvaluateConfig, TaskConfig
from curriculum.envs import registry
from curriculum.errors import StageFailure, Stopped
from curriculum.records.agent_state import part_of
from curriculum.records.evaluation import Evaluation
from curriculum.records.rundir import RunDir
from curriculum.stages import controller, evaluate
from curriculum.stages.stage import StageContext
from curriculum.stops import Guard

pytestmark = pytest.mark.gym

EPISODES = 10
STARTED: list[int] = []
"""Seeds of the episodes that were begun."""


class Countdown(gymnasium.Env):
    """Lasts `1 + seed % 5` steps, each of which pays the action that is taken."""

    observation_space = gymnasium.spaces.Box(0.0, 5.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        assert seed is not None
        STARTED.append(seed)
        self._left = 1 + seed % 5
        return np.array([self._left], np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        self._left -= 1
        return np.array([self._left], np.float32), float(action), self._left == 0, False, {}


@pytest.fixture(autouse=True)
def countdown() -> Iterator[None]:
    before = dict(registry.registered())
    registry.register_env("Countdown", Countdown)
    yield
    registry._REGISTERED.clear()
    registry._REGISTERED.update(before)


def stage_of(path: Path, stop_at: int = EPISODES + 1, **settings: Any) -> StageContext:
    """The evaluate stage of a run whose agent takes action 2 always; it is stopped once as many
    episodes are played."""
    task = TaskConfig(
        name="countdown",
        env_id="Countdown",
        observation="state",
        env=EnvConfig(num_envs=2),
        evaluate=EvaluateConfig(episodes=EPISODES, **settings),
    )
    there = RunDir.exists(path)
    barrier, listener = stopped_at(stop_at)
    where = (path, task.name, "GYM_ONLY", evaluate.NAME)
    ctx = stage_at(place_in(*where, barrier=barrier, listener=listener), task)
    if not there:
        learned(ctx)
    STARTED.clear()
    return ctx


def learned(ctx: StageContext) -> None:
    agent = ctx.agent({})
    parameters = np.zeros(agent.controller.num_parameters, np.float32)
    parameters[-1] = 100.0  # the bias of action 2
    for model in ("vision", "memory"):
        ctx.place.at(model).store.save(part_of(agent.state(), model), {}, complete=True)
    ctx.place.at("controller").store.save({"parameters": parameters}, {}, complete=True)


def lengths(ctx: StageContext) -> list[int]:
    return [1 + seed % 5 for seed in ctx.place.env_seeds("episodes", count=EPISODES)]


def test_the_scores_are_those_of_the_episodes_in_the_order_of_their_seeds(tmp_path: Path) -> None:
    ctx = stage_of(tmp_path / "run", confidence=0.9)
    evaluate.verify_inputs(ctx)
    result = evaluate.run(ctx)
    steps = lengths(ctx)
    scores = [2.0 * n for n in steps]
    assert len(set(scores)) > 2 and scores != sorted(scores), "seeds that tell their order apart"
    assert result.facts["scores"] == scores
    assert result.facts["score"] == sum(scores) / EPISODES
    assert result.facts["evaluation_steps"] == sum(steps)
    assert (result.facts["policy"], result.facts["confidence"]) == ("greedy", 0.9)
    draws = ctx.place.rng("bootstrap").integers(EPISODES, size=(10_000, EPISODES))
    means = np.array(scores)[draws].mean(axis=1)
    assert result.facts["interval"] == np.quantile(means, [0.05, 0.95]).tolist()
    assert list(result.facts) == [
        *("score", "interval", "confidence", "scores", "evaluation_steps", "policy"),
        *("lengths", "lives", "cut", "looping"),
    ]
    assert (result.facts["lengths"], result.facts["lives"]) == (steps, [0] * EPISODES)
    assert (result.facts["cut"], result.facts["looping"]) == (0, 0)
    spread = (sum((s - result.facts["score"]) ** 2 for s in scores) / EPISODES) ** 0.5
    assert result.metrics == {
        "score": sum(scores) / EPISODES,
        "score_std": pytest.approx(spread, rel=1e-12),
        "score_min": min(scores),
        "score_max": max(scores),
        "score_median": np.median(scores),
        "distinct_scores": len(set(scores)),
        "distinct_games": len(set(scores)),
        "episode_steps": sum(steps) / EPISODES,
        "episodes_cut": 0,
        "episodes_looping": 0,
    }
    low, high = result.facts["interval"]
    mean = result.metrics["score"]
    assert result.summary == f"{mean:.1f} [{low:.1f}, {high:.1f}] over 10 episodes"
    assert (result.env_steps, result.dream_steps) == (0, 0), "evaluation is not paid for"
    evaluate.verify_outputs(ctx, result)
    assert sorted(STARTED) == sorted(ctx.place.env_seeds("episodes", count=EPISODES))


def test_the_other_way_of_acting_is_told_beside_the_one_that_judges(tmp_path: Path) -> None:
    ctx = stage_of(tmp_path / "run", sampled=True, both=True)
    found = Evaluation.from_facts(evaluate.run(ctx).facts)
    assert [e.policy for e in found.both] == ["sampled", "greedy"]
    # Who prefers an action by 100 draws it always, so that both score the same.
    assert found.other == replace(found, policy="greedy", other=None)
    assert len(STARTED) == 2 * EPISODES


@pytest.mark.parametrize("stop_at", [1, 4, EPISODES])
def test_a_stop_in_the_middle_changes_nothing_and_nothing_is_played_twice(
    tmp_path: Path, stop_at: int
) -> None:
    whole = evaluate.run(stage_of(tmp_path / "whole", both=True))
    with pytest.raises(Stopped):
        evaluate.run(stage_of(tmp_path / "run", stop_at, both=True))
    before = list(STARTED)
    assert len(before) < 2 * EPISODES
    ctx = stage_of(tmp_path / "run", both=True)
    result = evaluate.run(ctx)
    assert result == whole
    commit = ctx.place.store.latest()
    assert commit is not None and commit.complete
    assert sorted(before + STARTED) == sorted(2 * ctx.place.env_seeds("episodes", count=EPISODES))


def test_episodes_that_are_missing_or_not_finite_fail_the_stage(tmp_path: Path) -> None:
    ctx = stage_of(tmp_path / "run")
    result = evaluate.run(ctx)
    fewer = replace(result, facts={**result.facts, "scores": result.facts["scores"][1:]})
    with pytest.raises(StageFailure, match="9 evaluation episodes were played, expected 10"):
        evaluate.verify_outputs(ctx, fewer)
    with pytest.raises(StageFailure, match="not finite"):
        evaluate.verify_outputs(ctx, replace(result, metrics={"score": np.nan}))


def test_a_check_may_cut_games_that_go_in_circles_and_the_evaluation_plays_them_to_their_end(
    tmp_path: Path,
) -> None:
    ctx = stage_of(tmp_path / "run")
    settings = replace(ctx.task.controller, check_episodes=8, check_idle_steps=2)
    ctx = replace(ctx, task=replace(ctx.task, controller=settings, target=9.0)).at("controller")
    agent = ctx.agent({})  # it takes action 0, which is never paid
    ctx.executor.refresh((ctx.work(agent.state()),))
    selection = controller._selection(ctx, agent)
    assert selection.check(agent.state(), 1, Guard(ctx.place.barrier, lambda: None)) == 0.0
    natural = [1 + seed % 5 for seed in ctx.place.env_seeds("check", 1, count=8)]
    assert selection.env_steps == sum(min(length, 2) for length in natural) < sum(natural)
    facts = evaluate.run(ctx.at(evaluate.NAME)).facts
    assert facts["lengths"] == lengths(ctx.at(evaluate.NAME))
