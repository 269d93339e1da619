"""Selection: which checks are confirmed, what is deployed, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.agent.episodes import Episode
from curriculum.learning.selection import GLANCE, Selection
from curriculum.stops import Guard
from models.interfaces import State
from tests.learning.practising import context, pole

EPISODES, STEPS = 12, 10

Plays = Sequence[float | Sequence[float]]
"""What follows of a check's plays: their scores, repeated as often as there are episodes."""


@pytest.fixture
def checked(tmp_path: Path) -> Any:
    """Returns `checked(plays, ...)`: a selection after checks with these plays.

    The goal is 11: a target of 10 and a margin of a tenth.
    """
    place = context(tmp_path, pole()).place
    left: list[float | Sequence[float]] = []
    seen: set[int] = set()

    def play(learned: State, seeds: Sequence[int], guard: Guard) -> list[Episode]:
        assert not seen & set(seeds)
        seen.update(seeds)
        scores = np.resize(left.pop(0), len(seeds)).tolist()
        return [
            Episode(seed=int(seed), score=score, steps=STEPS, terminated=True)
            for seed, score in zip(seeds, scores, strict=True)
        ]

    def after(*checks: Plays, glance: bool = False) -> Selection:
        nothing = {"parameters": np.zeros(1, np.float32)}
        limits = {"target": 10.0, "margin": 0.1, "episodes": EPISODES}
        selection = Selection(place, play, nothing, **limits)
        guard = Guard(place.barrier, lambda: None)
        seen.clear()
        for number, plays in enumerate(checks, start=1):
            left.extend(plays)
            learned = {"parameters": np.full(1, number, np.float32)}
            selection.check(learned, number, guard, glance=glance)
            assert not left
        return selection

    return after


def test_a_check_below_the_goal_costs_its_own_episodes_only(checked: Any) -> None:
    selection = checked((3.0,), (5.0,), (4.0,))
    assert selection.env_steps == 3 * EPISODES * STEPS
    assert not selection.confirmed
    assert (selection.best_check, selection.learned["parameters"][0]) == (5.0, 2.0)


def test_a_check_at_the_goal_counts_with_its_confirmation(checked: Any) -> None:
    selection = checked((3.0,), (12.0, 11.0))
    assert selection.env_steps == 3 * EPISODES * STEPS
    assert selection.confirmed
    assert (selection.best_check, selection.learned["parameters"][0]) == (11.5, 2.0)
    assert selection.checks == [[1.0, 3.0], [2.0, 11.5]]


def test_luck_is_not_confirmed(checked: Any) -> None:
    selection = checked((10.5,), (11.0, 7.0))
    assert not selection.confirmed
    assert (selection.best_check, selection.learned["parameters"][0]) == (10.5, 1.0)


@pytest.mark.parametrize("scores", [(3.0,), (1.0, 4.0), (8.0, 10.0)])
def test_a_glance_ends_where_the_goal_is_out_of_reach_and_deploys_nothing(
    checked: Any, scores: Sequence[float]
) -> None:
    selection = checked((scores,), glance=True)
    assert selection.env_steps == GLANCE * STEPS
    assert selection.checks == [[1.0, np.mean(scores)]]
    assert (selection.best_check, selection.learned["parameters"][0]) == (-np.inf, 0.0)


def test_after_a_glance_at_a_goal_in_reach_the_check_goes_on(checked: Any) -> None:
    # Four episodes of 8, 12, 8, 12: their mean is 10 with a standard error of 1.15.
    selection = checked(((8.0, 12.0), 7.0), glance=True)
    assert selection.env_steps == EPISODES * STEPS
    assert (selection.best_check, selection.learned["parameters"][0]) == (8.0, 1.0)
    selection = checked(((8.0, 12.0), 16.0, 11.0), glance=True)
    assert selection.env_steps == 2 * EPISODES * STEPS
    assert selection.confirmed
    assert (selection.best_check, selection.learned["parameters"][0]) == (12.5, 1.0)


def test_what_it_found_comes_back(checked: Any) -> None:
    before, after = checked((3.0,), (12.0, 11.0)), checked()
    after.load(before.meta(), {**before.learned, "averaged": np.ones(1)})
    assert after.meta() == before.meta()
    assert after.learned.keys() == {"parameters"}
    np.testing.assert_array_equal(after.learned["parameters"], before.learned["parameters"])
