"""The numpy controller: sizes, agreement of its paths, bounds, sampling, and refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.controller_cpu import (
    MIN_ROWS_TO_THREAD,
    ROWS_PER_BLOCK,
    CPUController,
    PopulationController,
)
from models.settings.units import ACTIVATIONS, USUAL, Units
from tests.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]
UNITS = [Units(name, norm) for name in ACTIVATIONS for norm in (False, True)]
BOUNDS = {"action_low": (-1.0, 0.0, -0.1), "action_high": (1.0, 1.0, 0.3)}


def controller(
    hidden: tuple[int, ...],
    kind: str = "continuous",
    seed: int = 0,
    features: int = 20,
    units: Units = USUAL,
) -> CPUController:
    bounds = BOUNDS if kind == "continuous" else {}
    rng = np.random.default_rng(seed)
    return CPUController(features, kind, 3, hidden, **bounds, rng=rng, units=units)


def by_the_formula(
    one: CPUController, hidden: tuple[int, ...], x: np.ndarray, units: Units
) -> np.ndarray:
    """Outputs of the last layer in float64, straight from the flat vector."""
    flat = one.get_parameters().astype(np.float64)
    widths = (one.num_features, *hidden)
    y = x.astype(np.float64)
    for number, (weights, bias) in enumerate(one.layer_slices()):
        y = y @ flat[weights].reshape(widths[number], -1) + flat[bias]
        if number < len(hidden):
            if units.layer_norm:
                y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)
            y = np.tanh(y) if units.activation == "tanh" else y.clip(0.0)
    return y


@pytest.mark.parametrize(
    ("hidden", "expected"), [((), 1_734), ((32,), 9_446), ((128,), 37_766), ((8, 4), 2_378)]
)
def test_number_of_parameters(hidden: tuple[int, ...], expected: int) -> None:
    one = CPUController(288, "continuous", 3, hidden)
    assert one.num_parameters == one.get_parameters().size == expected
    covered = np.concatenate(
        [np.arange(part.start, part.stop) for pair in one.layer_slices() for part in pair]
    )
    np.testing.assert_array_equal(covered, np.arange(expected))


@settings(max_examples=40, deadline=None)
@given(
    hidden=st.lists(st.integers(1, 9), max_size=2).map(tuple),
    rows=st.sampled_from([0, 1, 3, ROWS_PER_BLOCK, ROWS_PER_BLOCK + 1, MIN_ROWS_TO_THREAD + 77]),
    features=st.integers(1, 12),
    seed=st.integers(0, 2**32),
    units=st.sampled_from(UNITS),
)
def test_actions_follow_the_formula_for_every_size_of_batch(
    hidden: tuple[int, ...], rows: int, features: int, seed: int, units: Units
) -> None:
    one = controller(hidden, seed=seed, features=features, units=units)
    x = np.random.default_rng(seed).normal(size=(rows, features)).astype(np.float32)
    low, high = np.array(BOUNDS["action_low"]), np.array(BOUNDS["action_high"])
    mean = by_the_formula(one, hidden, x, units)[:, :3]
    expected = low + (np.tanh(mean) + 1.0) / 2.0 * (high - low)
    # Where a layer's units are all but equal, their differences are divided by 3e-3.
    np.testing.assert_allclose(one.act(x), expected, atol=1e-3 if units.layer_norm else 1e-5)


@pytest.mark.parametrize("units", [Units(), Units("tanh", True), Units("relu", True)], ids=repr)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4])
def test_hidden_units_are_right_from_tiny_to_saturated(scale: float, units: Units) -> None:
    """A block that is large enough takes the way through exp, which overflows in saturation."""
    one = controller((128,), units=units)
    x = (scale * np.random.default_rng(1).normal(size=(ROWS_PER_BLOCK, 20))).astype(np.float32)
    mean = by_the_formula(one, (128,), x, units)[:, :3]
    low, high = np.array(BOUNDS["action_low"]), np.array(BOUNDS["action_high"])
    # Where units switch, rounding of the sums in front of tanh shows.
    atol = 1e-5 if scale <= 1.0 else 1e-3
    np.testing.assert_allclose(
        one.act(x), low + (np.tanh(mean) + 1.0) / 2.0 * (high - low), atol=atol
    )


@settings(max_examples=60, deadline=None)
@given(
    low=st.floats(-1e3, 1e3, width=32),
    span=st.floats(0.015625, 1e3, width=32),
    scale=st.sampled_from([1.0, 1e3]),
    sampled=st.booleans(),
)
def test_actions_never_leave_the_bounds(
    low: float, span: float, scale: float, sampled: bool
) -> None:
    high = float(np.float32(low) + np.float32(span))
    one = CPUController(4, "continuous", 1, action_low=[low], action_high=[high])
    rng = np.random.default_rng(0)
    one.set_parameters(scale * rng.normal(size=one.num_parameters))
    x = rng.normal(size=(200, 4)).astype(np.float32)
    actions = one.sample(x, rng) if sampled else one.act(x)
    assert actions.dtype == np.float32
    assert np.all((actions >= np.float32(low)) & (actions <= np.float32(high)))


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("units", UNITS, ids=repr)
@pytest.mark.parametrize("hidden", [(), (7,), (6, 5)])
def test_a_population_acts_as_its_members(kind: str, hidden: tuple[int, ...], units: Units) -> None:
    members = [controller(hidden, kind, seed, units=units) for seed in range(4)]
    x = np.random.default_rng(5).normal(size=(4, 9, 20)).astype(np.float32)
    parameters = np.stack([one.get_parameters() for one in members])
    bounds = BOUNDS if kind == "continuous" else {}
    population = PopulationController(
        20, kind, 3, hidden, **bounds, parameters=parameters, units=units
    )
    together = population.act(x)
    alone = np.stack([one.act(rows) for one, rows in zip(members, x, strict=True)])
    assert together.dtype == alone.dtype
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_a_population_refuses_what_does_not_fit() -> None:
    parameters = np.zeros((2, 63))
    population = PopulationController(20, "discrete", 3, parameters=parameters)
    with pytest.raises(ValueError, match="2: one group"):
        population.act(np.zeros((3, 5, 20), np.float32))
    with pytest.raises(ValueError, match="63"):
        PopulationController(20, "discrete", 3, parameters=parameters[:, :-1])
    parameters[1, 4] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        PopulationController(20, "discrete", 3, parameters=parameters)


def test_normalised_units_do_not_feel_how_large_their_inputs_are() -> None:
    one = controller((8,), "discrete", units=Units("relu", True))
    louder = one.get_parameters()
    for part in one.layer_slices()[0]:
        louder[part] *= 50.0
    x = np.random.default_rng(3).normal(size=(500, 20)).astype(np.float32)
    before = one.act(x)
    one.set_parameters(louder)
    np.testing.assert_array_equal(one.act(x), before)
    assert len(set(before)) > 1


def test_there_is_no_other_activation() -> None:
    with pytest.raises(ValueError, match="'gelu', expected one of tanh, relu"):
        Units("gelu")


def test_discrete_samples_have_the_softmax_s_frequencies() -> None:
    one = CPUController(1, "discrete", 3)
    logits = np.array([0.0, 1.0, -1.0])
    one.set_parameters(np.concatenate([np.zeros(3), logits]))
    drawn = one.sample(np.zeros((40_000, 1), np.float32), np.random.default_rng(0))
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(np.bincount(drawn) / drawn.size, expected, atol=0.01)


@pytest.mark.parametrize(("log_std", "used"), [(-1.0, -1.0), (-90.0, -5.0), (90.0, 2.0)])
def test_continuous_samples_have_the_gaussian_s_moments(log_std: float, used: float) -> None:
    one = CPUController(1, "continuous", 1)
    one.set_parameters(np.array([0.0, 0.0, 0.02, log_std]))
    drawn = one.sample(np.zeros((20_000, 1), np.float32), np.random.default_rng(0))
    with np.errstate(divide="ignore"):
        before_tanh = np.arctanh(drawn.astype(np.float64))
    # Quartiles, because tanh in float32 reaches 1 for the widest.
    low, middle, high = np.quantile(before_tanh, [0.25, 0.5, 0.75])
    assert middle == pytest.approx(0.02, abs=0.05 * np.exp(used))
    assert (high - low) / 1.349 == pytest.approx(np.exp(used), rel=0.05)


def test_initial_weights_are_drawn_and_biases_are_zero() -> None:
    one = CPUController(400, "discrete", 5, (50,), rng=np.random.default_rng(0))
    flat = one.get_parameters()
    for (weights, bias), inputs in zip(one.layer_slices(), (400, 50), strict=True):
        assert flat[weights].std() * np.sqrt(inputs) == pytest.approx(1.0, abs=0.1)
        assert not flat[bias].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"action_kind": "box"}, "box"),
        ({"action_size": 0}, "at least one"),
        ({"hidden_sizes": (4, 0)}, "hidden layer"),
        ({"action_low": (0.0, 0.0)}, "3 finite"),
        ({"action_low": (1.0, 0.0, 0.0), "action_high": (1.0, 1.0, 1.0)}, "low < high"),
    ],
)
def test_refuses_sizes_and_bounds_that_do_not_fit(arguments: dict, message: str) -> None:
    plain = {"num_features": 4, "action_kind": "continuous", "action_size": 3}
    with pytest.raises(ValueError, match=message):
        CPUController(**{**plain, **arguments})


@pytest.mark.parametrize("shape", [(20,), (4, 19), (2, 4, 20)])
def test_refuses_features_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected 20"):
        controller(()).act(np.zeros(shape, np.float32))


_DIGEST = """
import hashlib, numpy as np
from models.controller_cpu import CPUController
rng = np.random.default_rng(0)
x = rng.normal(size=(9_001, 288)).astype(np.float32)
digest = hashlib.sha256()
for hidden in ((), (32,), (128,)):
    one = CPUController(288, "continuous", 3, hidden, rng=rng)
    for rows in (1, 60, 500, 9_001):
        digest.update(one.act(x[:rows]).tobytes())
        digest.update(one.act(x[:rows]).tobytes())
print(digest.hexdigest())
"""


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    digests = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, "-c", _DIGEST]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=HANG_S
        )
        assert done.returncode == 0, done.stderr
        digests.add(done.stdout)
    assert len(digests) == 1
