"""Seeds and actions bring environments back: what a trace holds, and that it is played again."""

from __future__ import annotations

import numpy as np
import pytest

from curriculum.envs.interface import ActionSpec
from curriculum.envs.trace import Trace, Tracer, retrace
from tests.curriculum.counting_env import CountingEnv

THREE = ActionSpec("discrete", 3)


def test_a_trace_begins_with_the_oldest_seed_that_is_wanted() -> None:
    wanted = np.ones(2, np.bool_)
    tracer = Tracer(THREE, wanted)
    tracer.begin([0, 1], [7, 8])
    for action in range(3):
        tracer.append(np.array([action, 2]))
    tracer.begin([0], [9])
    tracer.append(np.array([1, 0]))
    whole = tracer.trace()
    assert (whole.rows, whole.seeds, whole.begin) == ((0, 1), (9, 8), (3, 0))
    assert whole.actions.tolist() == [[0, 2], [1, 2], [2, 2], [1, 0]]
    assert tracer.ages().tolist() == [1, 4]
    wanted[1] = False
    rest = tracer.trace()
    assert (rest.rows, rest.seeds, rest.begin) == ((0,), (9,), (0,))
    assert rest.actions.tolist() == [[1, 0]]


@pytest.mark.parametrize("reseeded", [1, 50, 10**6])
def test_what_nobody_needs_is_forgotten_and_nothing_else(reseeded: int) -> None:
    tracer = Tracer(THREE, np.ones(1, np.bool_))
    actions = np.random.default_rng(0).integers(0, 3, 500)
    begun = 0
    for number, action in enumerate(actions):
        if number % reseeded == 0:
            tracer.begin([0], [number])
            begun = number
        tracer.append(np.array([action]))
    assert tracer.trace().actions[:, 0].tolist() == actions[begun:].tolist()
    assert tracer.trace().seeds == (begun,)
    assert len(tracer._actions) <= 2 * max(64, min(500, reseeded + 64))


def test_a_tracer_goes_on_from_a_trace() -> None:
    first, second = (Tracer(THREE, np.ones(2, np.bool_)) for _ in range(2))
    first.begin([0, 1], [3, 4])
    first.append(np.array([1, 2]))
    second.take_over(first.trace())
    for tracer in (first, second):
        tracer.append(np.array([0, 1]))
        tracer.begin([1], [5])
    assert second.trace().actions.tolist() == first.trace().actions.tolist()
    assert second.trace().begin == first.trace().begin == (0, 2)


@pytest.mark.parametrize("go_on", [True, False])
def test_each_environment_joins_when_it_was_given_its_seed(go_on: bool) -> None:
    """The episode of seed 0 has two steps and that of seed 4 six."""
    trace = Trace((0, 2), (0, 4), (0, 1), np.ones((4, 3), np.uint8))
    told: list[int] = []
    env = CountingEnv(3)
    seen, ended = retrace(env, trace, go_on=go_on, after_step=lambda: told.append(1))
    assert seen is not None
    assert ended.tolist() == [True, False, False]
    assert seen[2].tolist() == [4, 3]
    assert (seen[0] == [0, 2]).all() is not go_on
    assert env.slots.live.tolist() == [go_on, False, True]
    assert len(told) == 4


def test_a_trace_of_nobody_plays_nothing() -> None:
    seen, ended = retrace(CountingEnv(2), Trace((), (), (), np.zeros((0, 2))), go_on=False)
    assert seen is None and not ended.any()
