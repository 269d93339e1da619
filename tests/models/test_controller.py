"""TorchController: the same function as the numpy one, for every shape of controller."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from models.controller import TorchController  # noqa: E402
from models.controller_cpu import CPUController  # noqa: E402
from models.settings.units import ACTIVATIONS, Units  # noqa: E402

pytestmark = pytest.mark.torch

LOW, HIGH = (-1.0, 0.0, 0.5), (1.0, 1.0, 4.0)

shapes = st.fixed_dictionaries(
    {
        "num_features": st.integers(1, 20),
        "action_kind": st.sampled_from(["discrete", "continuous"]),
        "hidden_sizes": st.lists(st.integers(1, 17), max_size=2).map(tuple),
        "units": st.builds(Units, st.sampled_from(ACTIVATIONS), st.booleans()),
    }
    # Two or three units are now and then all but equal, and rounding is what is left of them.
).filter(lambda shape: not shape["units"].layer_norm or min(shape["hidden_sizes"], default=9) > 5)


def pair(shape: dict, seed: int) -> tuple[TorchController, CPUController]:
    arguments = {**shape, "action_size": 3}
    if shape["action_kind"] == "continuous":
        arguments |= {"action_low": LOW, "action_high": HIGH}
    torch_controller, cpu_controller = TorchController(**arguments), CPUController(**arguments)
    parameters = np.random.default_rng(seed).normal(size=torch_controller.num_parameters)
    torch_controller.set_parameters(parameters)
    cpu_controller.set_parameters(parameters)
    return torch_controller, cpu_controller


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(0, 2**32), st.integers(1, 33))
def test_greedy_actions_equal_those_of_numpy(shape: dict, seed: int, n: int) -> None:
    torch_controller, cpu_controller = pair(shape, seed)
    features = np.random.default_rng(seed + 1).normal(size=(n, shape["num_features"]))
    features = features.astype(np.float32)
    ours, theirs = torch_controller.act(features), cpu_controller.act(features)
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(0, 2**32), st.integers(1, 33))
def test_equal_generators_give_equal_samples_as_in_numpy(shape: dict, seed: int, n: int) -> None:
    torch_controller, cpu_controller = pair(shape, seed)
    features = np.random.default_rng(seed + 1).normal(size=(n, shape["num_features"]))
    features = features.astype(np.float32)
    ours = torch_controller.sample(features, np.random.default_rng([seed, 1]))
    theirs = cpu_controller.sample(features, np.random.default_rng([seed, 1]))
    assert ours.dtype == theirs.dtype
    # The deviation reaches e^2, which magnifies what two orders of summation differ by.
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(0, 2**32), st.integers(2, 33))
def test_samples_are_the_policy_with_noise_that_is_given_or_drawn(
    shape: dict, seed: int, n: int
) -> None:
    features = np.random.default_rng(seed + 1).normal(size=(n, shape["num_features"]))
    features = features.astype(np.float32)
    for controller in pair(shape, seed):
        sampled = controller.sample(features, np.random.default_rng(1))
        noise = controller.draw_noise(n, np.random.default_rng(1))
        assert noise.shape == (n, 3) and noise.dtype == np.float32
        given_before = noise.copy()
        np.testing.assert_array_equal(controller.perturbed(features, noise), sampled)
        np.testing.assert_array_equal(noise, given_before)
        with pytest.raises(ValueError, match="noise has shape"):
            controller.perturbed(features, noise[1:])


def test_sampling_repeats_itself_and_comes_from_the_generator_alone() -> None:
    controller, _ = pair({"num_features": 4, "action_kind": "continuous", "hidden_sizes": ()}, 0)
    features = np.zeros((6, 4), np.float32)
    before = torch.get_rng_state()
    a, b, c = (controller.sample(features, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("hidden", "expected"), [((), 1734), ((32,), 9446), ((128,), 37766)])
def test_it_has_the_parameters_that_the_paper_s_shapes_have(
    hidden: tuple[int, ...], expected: int
) -> None:
    controller = TorchController(288, "continuous", 3, hidden, LOW, HIGH)
    assert controller.num_parameters == expected
    assert controller.get_parameters().shape == (expected,)


def test_equal_generators_give_equal_initial_parameters() -> None:
    ours = TorchController(5, "discrete", 3, (4,), rng=np.random.default_rng(8))
    theirs = CPUController(5, "discrete", 3, (4,), rng=np.random.default_rng(8))
    np.testing.assert_array_equal(ours.get_parameters(), theirs.get_parameters())
    features = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    np.testing.assert_array_equal(ours.act(features), theirs.act(features))


def test_bad_parameters_are_refused_and_change_nothing() -> None:
    controller, _ = pair({"num_features": 4, "action_kind": "discrete", "hidden_sizes": (3,)}, 0)
    before = controller.get_parameters()
    for bad in (np.zeros(len(before) + 1), np.full(len(before), np.nan)):
        with pytest.raises(ValueError):
            controller.set_parameters(bad)
    np.testing.assert_array_equal(controller.get_parameters(), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_it_acts_as_on_the_cpu() -> None:
    arguments = (9, "continuous", 3, (16,), LOW, HIGH)
    gpu = TorchController(*arguments, rng=np.random.default_rng(0), device="cuda")
    cpu = TorchController(*arguments, rng=np.random.default_rng(0))
    features = np.random.default_rng(1).normal(size=(7, 9)).astype(np.float32)
    np.testing.assert_allclose(gpu.act(features), cpu.act(features), atol=1e-4)
