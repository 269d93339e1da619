"""Bursts of random actions: how long, how often, what is stored, and that they are resumed."""

from __future__ import annotations

import numpy as np
import pytest

from curriculum.collecting.disturbance import LONGEST, SHORTEST, Disturbance
from curriculum.envs.interface import ActionSpec

ENVS, STEPS = 50, 400
WHEEL = ActionSpec("continuous", 3, (-1.0, 0.0, 0.0), (1.0, 1.0, 1.0))
BUTTONS = ActionSpec("discrete", 4)


def chosen(action: ActionSpec) -> np.ndarray:
    """What a policy that never does anything chooses; no draw is like it."""
    return np.full(ENVS, 0) if action.kind == "discrete" else np.zeros((ENVS, 3), np.float32)


def bursts(disturbed: np.ndarray) -> list[int]:
    """Returns the lengths of the runs of ones in `[T]` that begin and end inside it."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], disturbed, [0]])))
    return [int(b - a) for a, b in edges.reshape(-1, 2) if a > 0 and b < len(disturbed)]


def test_bursts_are_as_long_and_as_many_as_asked() -> None:
    probability, rng = 0.01, np.random.default_rng(2)
    disturbance, still = Disturbance(WHEEL, ENVS, probability), chosen(WHEEL)
    taken = np.stack([disturbance(still, rng) for _ in range(STEPS)])
    assert taken.dtype == np.float32 and taken.shape == (STEPS, ENVS, 3)
    low, high = WHEEL.bounds
    assert (taken >= low).all() and (taken <= high).all()
    disturbed = taken.any(axis=2)
    lengths = [length for row in disturbed.T for length in bursts(row)]
    # Two bursts may touch, so a few runs are longer.
    usual = [length for length in lengths if length <= LONGEST]
    assert min(lengths) == SHORTEST and max(usual) == LONGEST
    assert len(usual) > 0.8 * len(lengths) > 50
    # A burst of nine steps follows a hundred free ones on average.
    assert disturbed.mean() == pytest.approx(9 / 109, abs=0.02)
    moved = (np.diff(taken, axis=0) != 0).any(axis=2)
    assert moved.mean() < 3 * probability, "one action is held for all of a burst"


@pytest.mark.parametrize("action", [WHEEL, BUTTONS], ids=["continuous", "discrete"])
def test_chance_has_no_other_source_and_zero_draws_nothing(action: ActionSpec) -> None:
    still = chosen(action)
    played = []
    for _ in range(2):
        disturbance, rng = Disturbance(action, ENVS, 0.2), np.random.default_rng(4)
        played.append(np.stack([disturbance(still, rng) for _ in range(20)]))
        assert played[-1].dtype == still.dtype and played[-1].any()
    np.testing.assert_array_equal(*played)
    rng = np.random.default_rng(4)
    off = Disturbance(action, ENVS, 0.0)
    assert off(still, rng) is still and off.state() == {}
    assert rng.random() == np.random.default_rng(4).random()


def test_a_burst_outlasts_a_commit() -> None:
    still, rng = chosen(WHEEL), np.random.default_rng(5)
    one, other = Disturbance(WHEEL, ENVS, 0.3), Disturbance(WHEEL, ENVS, 0.3)
    for _ in range(7):
        one(still, rng)
    saved, state = {k: a.copy() for k, a in one.state().items()}, rng.bit_generator.state
    expected = [one(still, rng) for _ in range(20)]
    other.load_state(saved)
    rng.bit_generator.state = state
    np.testing.assert_array_equal([other(still, rng) for _ in range(20)], expected)
