"""The state normaliser: moments of everything seen, however it was cut, and a way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.interfaces import NonFiniteLoss
from models.normaliser import StateVision

RNG = np.random.default_rng

states = arrays(
    np.int16, st.tuples(st.integers(2, 40), st.just(3)), elements=st.integers(-9_000, 9_000)
).map(lambda whole: whole.astype(np.float32) / np.float32(8.0))
"""Numbers that either differ clearly or not at all."""


def taught(*batches: np.ndarray) -> StateVision:
    vision = StateVision(3)
    for batch in batches:
        vision.update(batch, batch, RNG(0))
    vision.finish()
    return vision


@settings(max_examples=60, deadline=None)
@given(states, st.lists(st.integers(0, 40), max_size=4))
def test_any_cut_of_the_data_gives_the_same_latents(x: np.ndarray, cuts: list[int]) -> None:
    parts = np.split(x, sorted(min(cut, len(x)) for cut in cuts))
    mean, std = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    expected = np.clip((x - mean) / np.where(std > 0, std, 1.0), -10, 10)
    np.testing.assert_allclose(taught(*parts).encode(x), expected, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(states)
def test_decoding_undoes_encoding(x: np.ndarray) -> None:
    vision = taught(x)
    z = vision.encode(x)
    inside = np.abs(z) < 10
    np.testing.assert_allclose(vision.decode(z)[inside], x[inside], rtol=1e-4, atol=1e-2)


def test_outliers_are_clipped_and_constants_are_quiet() -> None:
    x = RNG(0).normal(size=(500, 3)).astype(np.float32)
    x[:, 2] = 7.0
    vision = taught(x)
    z = vision.encode(np.array([[1e6, -1e6, 7.0], [0, 0, 7.0001]], np.float32))
    np.testing.assert_array_equal(z[0], [10.0, -10.0, 0.0])
    assert abs(z[1, 2]) < 0.2


def test_an_untaught_one_passes_states_through() -> None:
    x = RNG(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(StateVision(3).encode(x), x)


def test_refuses_what_is_not_finite_or_does_not_fit() -> None:
    x = RNG(0).normal(size=(9, 3)).astype(np.float32)
    vision = taught(x)
    before = vision.state()
    with pytest.raises(NonFiniteLoss):
        vision.update(np.full((4, 3), np.nan, np.float32), x, RNG(0))
    for name, value in vision.state().items():
        np.testing.assert_array_equal(value, before[name])
    for call in (
        lambda: StateVision(0),
        lambda: vision.encode(x[:, :2]),
        lambda: vision.load_state({}),
        lambda: vision.load_state(StateVision(4).state()),
    ):
        with pytest.raises(ValueError, match=r"expected|saved with"):
            call()
