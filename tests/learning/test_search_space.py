from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curriculum.config.schema import ControllerConfig
from curriculum.envs.interface import ActionSpec
from curriculum.learning.search import SearchSpace
from models.controller_cpu import CPUController

DISCRETE = ActionSpec("discrete", 4)
CONTINUOUS = ActionSpec("continuous", 2, (-1.0, 0.0), (1.0, 1.0))


def space(
    action: ActionSpec, hidden: tuple[int, ...], features: tuple[str, ...], **options: bool
) -> tuple:
    sizes = {"z": 5, "h": 7}
    count = sum(sizes[name] for name in features)
    settings = ControllerConfig(hidden_sizes=hidden, features=features, hidden_sigma=0.25)
    rng = np.random.default_rng(0)
    bounds = {"action_low": action.low, "action_high": action.high}
    controller = CPUController(count, action.kind, action.size, hidden, **bounds, rng=rng)
    return SearchSpace(settings, action, controller, sizes["h"], **options), controller, count


@given(
    st.sampled_from([DISCRETE, CONTINUOUS]),
    st.sampled_from([(), (3,), (4, 3)]),
    st.sampled_from([("z",), ("h",), ("z", "h")]),
)
def test_the_start_is_the_controller_itself(action, hidden, features) -> None:
    search, controller, _ = space(action, hidden, features)
    expanded = search.expand(search.start[None])[0]
    assert np.array_equal(expanded, controller.get_parameters())
    assert search.start.shape == search.scales.shape
    assert (search.scales > 0).all()


@pytest.mark.parametrize("hidden", [(), (3,)])
def test_what_no_greedy_action_depends_on_is_not_searched(hidden) -> None:
    search, controller, count = space(CONTINUOUS, hidden, ("z", "h"))
    last = (hidden[-1] if hidden else count) + 1
    assert controller.num_parameters - search.start.size == last * CONTINUOUS.size
    moved = search.expand(search.start[None] + 3.0)[0]
    features = np.random.default_rng(1).standard_normal((9, count)).astype(np.float32)
    before = controller.act(features)
    kept = controller.get_parameters() == moved
    nudged = np.where(kept, moved + 5.0, controller.get_parameters()).astype(np.float32)
    controller.set_parameters(nudged)
    assert np.array_equal(controller.act(features), before)


def test_weights_that_read_h_are_searched_more_narrowly() -> None:
    search, _, count = space(DISCRETE, (), ("z", "h"))
    weights = search.scales[: count * 4].reshape(count, 4)
    assert (weights[:5] == 1.0).all() and (weights[5:] == 0.25).all()
    assert (search.scales[count * 4 :] == 1.0).all()


@pytest.mark.parametrize("action", [DISCRETE, CONTINUOUS])
@pytest.mark.parametrize("hidden", [(), (3,), (4, 3)])
def test_the_last_layer_alone_is_searched_where_that_is_asked_for(action, hidden) -> None:
    search, controller, count = space(action, hidden, ("z", "h"), last_layer=True)
    parameters = controller.get_parameters()
    assert np.array_equal(search.expand(search.start[None])[0], parameters)
    fan_in = hidden[-1] if hidden else count
    assert search.start.size == search.scales.size == (fan_in + 1) * action.size
    moved = search.expand(search.start + np.array([[1.0], [2.0]], np.float64))
    outputs = action.size * (2 if action.kind == "continuous" else 1)
    *before, weights, bias = np.split(
        moved - parameters, [parameters.size - (fan_in + 1) * outputs, -outputs], axis=1
    )
    assert not before[0].any()
    # Of these the first are the outputs that greedy actions depend on, then come log stds.
    used = np.arange(outputs) < action.size
    for part in (weights.reshape(2, fan_in, outputs), bias[:, None]):
        expected = np.array([[[1.0]], [[2.0]]], np.float32) * used
        np.testing.assert_allclose(part, np.broadcast_to(expected, part.shape), atol=1e-6)


@pytest.mark.parametrize(("hidden", "fan_in"), [((16,), 16), ((), 12)])
def test_last_layer_weights_are_searched_by_their_fan_in(hidden, fan_in) -> None:
    search, _, _ = space(DISCRETE, hidden, ("z", "h"), last_layer=True)
    weights = search.scales[: fan_in * 4].reshape(fan_in, 4)
    reads_h = np.arange(fan_in)[:, None] >= (fan_in if hidden else 5)
    expected = np.where(reads_h, 0.25, 1.0) / np.sqrt(fan_in)
    np.testing.assert_allclose(weights, np.broadcast_to(expected, weights.shape))
    assert (search.scales[fan_in * 4 :] == 1.0).all()
