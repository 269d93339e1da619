"""What C did lately: means over a few steps and many, of what its actions stand for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from curriculum.agent.action_trace import SPANS, ActionTrace, trace_size
from curriculum.agent.perception import feature_slices, join_features, num_features
from curriculum.envs.action_table import choice_of
from curriculum.envs.interface import ActionSpec
from tests.agent.test_perception import ALL, dreaming, perception

WHEEL = ActionSpec("continuous", 2, (-1.0, 0.0), (1.0, 2.0))
BUTTONS = ActionSpec("discrete", 3)
CHOICE = choice_of(np.array([[-1.0, 0.5], [1.0, 0.25], [0.0, 0.0]], np.float32))
MEANT = {
    "continuous": (WHEEL, np.array([[1.0, 0.0]], np.float32), [1.0, -1.0]),
    "discrete": (BUTTONS, np.array([2]), [0.0, 0.0, 1.0]),
    "chosen": (CHOICE, np.array([1]), [1.0, 0.25]),
}


@pytest.mark.parametrize("kind", MEANT)
def test_an_action_that_is_held_is_approached_at_the_pace_of_each_span(kind: str) -> None:
    space, action, vector = MEANT[kind]
    trace, slot = ActionTrace(space, 1), np.zeros(1, np.int64)
    assert trace.means.shape == (1, trace_size(space)) == (1, len(SPANS) * len(vector))
    for steps in range(1, 40):
        trace.acted(action, slot)
        reached = [1 - (1 - 1 / span) ** steps for span in SPANS]
        expected = np.outer(reached, vector).ravel()
        np.testing.assert_allclose(trace.means[0], expected, rtol=1e-4, atol=1e-6)


def test_m_still_reads_choices_as_choices() -> None:
    assert CHOICE.encode(np.array([1])).tolist() == [[0.0, 1.0, 0.0]]
    assert CHOICE.size == 3 and CHOICE.vector_size == 2


def test_slots_have_traces_of_their_own_that_begin_at_zero() -> None:
    trace, rng = ActionTrace(BUTTONS, 3), np.random.default_rng(0)
    alone = ActionTrace(BUTTONS, 1)
    for step in range(30):
        if step == 12:
            trace.begin(np.array([1]))
            alone.begin(np.array([0]))
        slots = np.array([0, 1, 2]) if step % 3 else np.array([1, 2])
        actions = rng.integers(3, size=3)
        trace.acted(actions[slots], slots)
        alone.acted(actions[1:2], np.array([0]))
        np.testing.assert_array_equal(trace.means[1], alone.means[0])
    assert not np.array_equal(trace.means[1], trace.means[2])


def test_it_lies_before_h_among_the_features() -> None:
    expected = {"z": slice(0, 2), "a": slice(2, 8), "h": slice(8, 11)}
    assert feature_slices(("h", "a", "z"), 2, 3, trace_size=6) == expected
    assert num_features(("a",), 2, 3, trace_size=6) == 6
    z, h, a = (np.full((1, n), v, np.float32) for n, v in ((2, 1), (3, 3), (6, 2)))
    joined = join_features(("a", "h", "z"), z, z, h, trace=a)
    assert joined.tolist() == [[1] * 2 + [2] * 6 + [3] * 3]


def test_c_reads_the_trace_of_before_the_step_and_a_new_episode_has_none() -> None:
    built, slots = perception((*ALL, "a"), 2), np.arange(2)
    built.begin(slots)
    seen = np.zeros((2, 2), np.float32)
    lies = feature_slices((*ALL, "a"), 2, 3, trace_size=6)["a"]
    assert not built.features(seen, slots)[:, lies].any()
    built.acted(np.array([1, 0]), slots)
    held = np.outer([1 / span for span in SPANS], [0, 1]).ravel()
    found = built.features(seen, slots)[:, lies]
    np.testing.assert_allclose(found[0], held, rtol=1e-6)
    np.testing.assert_allclose(found[1], held.reshape(-1, 2)[:, ::-1].ravel(), rtol=1e-6)
    state = built.state()
    built.begin(np.array([0]))
    assert not built.features(seen, slots)[0, lies].any()
    built.load_state(state)
    np.testing.assert_array_equal(built.features(seen, slots)[:, lies], found)


def test_a_dream_tells_of_it_as_reality_does() -> None:
    names, slots = ("z", "a"), np.arange(3)
    latents = np.random.default_rng(2).standard_normal((5, 2)).astype(np.float32)
    starts: Mapping[str, np.ndarray] = {"latents": latents, "states": np.zeros((5, 3), np.float32)}
    (dream, dreamed), real = dreaming(starts, names), perception(names)
    seen = dream.reset([1, 2, 3])
    real.begin(slots)
    dreamed.begin(slots)
    for step in range(8):
        if step == 5:
            seen = dream.reset([9], [1])
            real.begin(slots[1:2])
            dreamed.begin(slots[1:2])
        expected = real.features(seen, slots)
        np.testing.assert_array_equal(dreamed.features(seen, slots), expected)
        actions = (np.arange(3) + step) % 2
        real.acted(actions, slots)
        dreamed.acted(actions, slots)
        seen = dream.step(actions).observations
    state = dreamed.state()
    dreamed.begin(slots)
    dreamed.load_state(state)
    np.testing.assert_array_equal(dreamed.features(seen, slots), real.features(seen, slots))
