"""The torch models' parts against independent references: mixtures, guarded Adam, precision."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from models.interfaces import NonFiniteLoss  # noqa: E402
from models.networks.mixture import Mixture  # noqa: E402
from models.neural.adam import GuardedAdam  # noqa: E402
from models.neural.precision import resolve_precision  # noqa: E402
from models.numeric.threads import one_torch_thread  # noqa: E402

pytestmark = pytest.mark.torch


def mixture_of(rng: np.random.Generator, *shape: int, spread: float = 3.0) -> Mixture:
    def draw() -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=shape) * spread)

    return Mixture(torch.log_softmax(draw(), -1), draw(), (0.5 * draw()).clamp(-5, 3))


def reference(mixture: Mixture) -> torch.distributions.MixtureSameFamily:
    return torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=mixture.log_weights),
        torch.distributions.Normal(mixture.means, mixture.log_stds.exp()),
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 6), st.floats(0.1, 8))
def test_likelihood_mean_and_entropy_are_those_of_torch_distributions(
    seed: int, latents: int, mixtures: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    mixture = mixture_of(rng, 5, latents, mixtures, spread=spread)
    targets = torch.from_numpy(rng.normal(size=(5, latents)) * 4)
    expected = reference(mixture)
    torch.testing.assert_close(
        mixture.negative_log_likelihood(targets), -expected.log_prob(targets), rtol=1e-9, atol=1e-9
    )
    torch.testing.assert_close(mixture.expectation(), expected.mean)
    torch.testing.assert_close(mixture.entropy(), expected.mixture_distribution.entropy())


def test_samples_have_the_moments_of_the_mixture() -> None:
    rng = np.random.default_rng(0)
    mixture = mixture_of(rng, 3, 4, spread=1.0)
    n = 200_000
    wide = Mixture(*(part.expand(n, 3, 4) for part in mixture))
    uniforms, normals = (
        torch.from_numpy(rng.random((n, 3))),
        torch.from_numpy(rng.normal(size=(n, 3))),
    )
    samples = wide.sample(1.0, uniforms, normals)
    expected = reference(mixture)
    error = (samples.mean(0) - expected.mean).abs() / expected.stddev
    assert error.max() < 5 / np.sqrt(n)
    torch.testing.assert_close(samples.var(0), expected.variance, rtol=0.03, atol=0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_divides_log_weights_and_scales_deviations_by_its_root(
    temperature: float,
) -> None:
    rng = np.random.default_rng(1)
    weights = torch.tensor([0.7, 0.3], dtype=torch.float64)
    n = 100_000
    mixture = Mixture(
        weights.log().expand(n, 1, 2),
        torch.tensor([-100.0, 100.0], dtype=torch.float64).expand(n, 1, 2),
        torch.zeros(n, 1, 2, dtype=torch.float64),
    )
    uniforms, normals = (
        torch.from_numpy(rng.random((n, 1))),
        torch.from_numpy(rng.normal(size=(n, 1))),
    )
    samples = mixture.sample(temperature, uniforms, normals)
    tempered = weights ** (1 / temperature)
    assert (samples < 0).double().mean().item() == pytest.approx(
        (tempered[0] / tempered.sum()).item(), abs=0.01
    )
    assert samples[samples < 0].std().item() == pytest.approx(np.sqrt(temperature), rel=0.02)


def test_the_extremes_of_the_uniform_choose_existing_gaussians() -> None:
    mixture = mixture_of(np.random.default_rng(2), 2, 3)
    mixture = Mixture(*(part.float() for part in mixture))
    for value in (0.0, float(np.nextafter(np.float32(1), np.float32(0)))):
        samples = mixture.sample(1.0, torch.full((2,), value), torch.zeros(2))
        assert torch.isin(samples, mixture.means).all()


def guarded(dtype: torch.dtype, clip: float = 1e9) -> tuple[torch.nn.Linear, GuardedAdam]:
    layer = torch.nn.utils.skip_init(torch.nn.Linear, 2, 1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(0.5)
    return layer, GuardedAdam(layer, 0.1, clip, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_guarded_adam_steps_like_torch_adam(dtype: torch.dtype) -> None:
    layer, adam = guarded(dtype)
    plain, _ = guarded(dtype)
    reference_adam = torch.optim.Adam(plain.parameters(), lr=0.1)
    for value in (1.0, -2.0, 0.5):
        inputs = torch.tensor([[value, 1.0]])
        loss, norm = adam.step([lambda inputs=inputs: layer(inputs).square().sum()])
        assert loss == pytest.approx(float(plain(inputs).detach().square().sum()))
        reference_adam.zero_grad()
        plain(inputs).square().sum().backward()
        assert norm == pytest.approx(
            float(torch.nn.utils.get_total_norm([p.grad for p in plain.parameters()])), rel=1e-5
        )
        reference_adam.step()
    for a, b in zip(layer.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_an_infinite_gradient_of_a_finite_loss_is_refused() -> None:
    layer, adam = guarded(torch.float32)
    before = {name: value.clone() for name, value in adam.tensors().items()}
    # The root's slope at zero is infinite, its value is not.
    with pytest.raises(NonFiniteLoss, match="gradient"):
        adam.step([lambda: (layer.weight - 0.5).sum().abs().sqrt()])
    for name, value in adam.tensors().items():
        assert torch.equal(value, before[name])
    assert (layer.weight == 0.5).all()


def test_an_overflow_that_the_loss_scale_caused_is_healed_by_halving_it() -> None:
    layer, adam = guarded(torch.float16)
    before = adam.tensors()["loss_scale"].item()
    # Ten times the initial scale is beyond float16, ten is not.
    _, norm = adam.step([lambda: (layer.weight.half() * 10).float().sum()])
    assert norm == pytest.approx(10 * np.sqrt(2), rel=1e-3)
    assert adam.tensors()["loss_scale"].item() < before
    assert (layer.weight < 0.5).all()


def test_precision_is_resolved_once_and_refuses_unknown_names() -> None:
    cpu = torch.device("cpu")
    assert resolve_precision("float32", cpu) == torch.float32
    assert resolve_precision("auto", cpu) in (torch.float32, torch.bfloat16)
    with pytest.raises(ValueError, match="expected one of auto"):
        resolve_precision("int8", cpu)  # type: ignore[arg-type]


def test_torch_stays_on_one_thread_for_a_while_whatever_happens() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(KeyError), one_torch_thread():
            assert torch.get_num_threads() == 1
            raise KeyError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
