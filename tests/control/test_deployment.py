"""Deployment: which checks are confirmed, what is deployed, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.control import deployment as module
from curriculum.control.deployment import Deployment
from curriculum.rollout import Episode
from tests.control.practising import context, pole

EPISODES, STEPS = 4, 10


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns `checked(scores)`: a deployment after checks whose plays gave these mean scores.

    The goal is 11: a target of 10 and a margin of a tenth.
    """
    task = replace(pole(), target=10.0)
    controller = replace(task.controller, check_episodes=EPISODES, stop_margin=0.1)
    ctx = context(tmp_path, replace(task, controller=controller))
    left: list[float] = []

    def play(ctx: Any, parameters: Any, seeds: Any, **rest: Any) -> list[Episode]:
        assert len(seeds) == EPISODES
        score = left.pop(0)
        return [Episode(seed=int(s), score=score, steps=STEPS, terminated=True) for s in seeds]

    monkeypatch.setattr(module, "play", play)

    def after(*checks: tuple[float, ...]) -> Deployment:
        deployment = Deployment(ctx, np.zeros(1, np.float32))
        for number, scores in enumerate(checks, start=1):
            left.extend(scores)
            deployment.check(np.full(1, number, np.float32), number, lambda: None)
            assert not left
        return deployment

    return after


def test_a_check_below_the_goal_costs_its_own_episodes_only(checked: Any) -> None:
    deployment = checked((3.0,), (5.0,), (4.0,))
    assert deployment.env_steps == 3 * EPISODES * STEPS
    assert not deployment.confirmed
    assert (deployment.best_check, deployment.parameters[0]) == (5.0, 2.0)


def test_a_check_at_the_goal_counts_with_its_confirmation(checked: Any) -> None:
    deployment = checked((3.0,), (12.0, 11.0))
    assert deployment.env_steps == 3 * EPISODES * STEPS
    assert deployment.confirmed
    assert (deployment.best_check, deployment.parameters[0]) == (11.5, 2.0)
    assert deployment.checks == [[1.0, 3.0], [2.0, 11.5]]


def test_luck_is_not_confirmed(checked: Any) -> None:
    deployment = checked((10.5,), (11.0, 7.0))
    assert not deployment.confirmed
    assert (deployment.best_check, deployment.parameters[0]) == (10.5, 1.0)


def test_what_it_found_comes_back(checked: Any) -> None:
    before, after = checked((3.0,), (12.0, 11.0)), checked()
    after.load(before.meta(), before.parameters)
    assert after.meta() == before.meta()
    np.testing.assert_array_equal(after.parameters, before.parameters)
