"""ConvVAE: what it learns, that it repeats itself bit for bit, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.interfaces import NonFiniteLoss, OutOfDeviceMemory  # noqa: E402
from models.networks.convolutions import folded, unfolded  # noqa: E402
from models.neural.precision import Precision  # noqa: E402
from models.settings.vae import VAESettings  # noqa: E402
from models.vae import ConvVAE  # noqa: E402

pytestmark = pytest.mark.torch


def small(
    device: str = "cpu", seed: int = 0, precision: Precision = "auto", **changes: Any
) -> ConvVAE:
    settings = VAESettings(**{"z_dim": 8, "channels": (8, 16, 16, 16), **changes})
    return ConvVAE((32, 32, 1), settings, device=device, seed=seed, precision=precision)


def moving_ball(
    rng: np.random.Generator, n: int, size: int = 32, channels: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns frames, the frames before, and the ball's position `[n, 2]`: 3x3 bright on grey."""
    position = rng.integers(2, size - 4, size=(n, 2))
    frames = np.full((2, n, size, size, channels), 80, np.uint8)
    frames[:, :, :, :2] = 160
    rows, columns = np.arange(3)[:, None], np.arange(3)[None, :]
    for step, shift in ((0, 0), (1, 1)):
        y = position[:, 0, None, None] + rows - shift
        x = position[:, 1, None, None] + columns - shift
        frames[step, np.arange(n)[:, None, None], y, x] = 240
    return frames[0], frames[1], position


def train(vae: ConvVAE, steps: int, seed: int = 0, batch: int = 32) -> list[dict[str, float]]:
    rng = np.random.default_rng(seed)
    height, _, channels = vae.frame_shape
    history = []
    for _ in range(steps):
        frames, before, _ = moving_ball(rng, batch, height, channels)
        history.append(vae.update(frames, before, rng))
    return history


def assert_same_state(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_it_learns_where_the_ball_is() -> None:
    settings = VAESettings(z_dim=8, channels=(16, 32), learning_rate=3e-3, beta_warmup_steps=100)
    vae = ConvVAE((16, 16, 1), settings)
    history = train(vae, 300)
    assert history[-1]["loss"] < 0.2 * history[0]["loss"]
    assert history[-1]["moving_variance_explained"] > 0.85
    assert history[-1]["active_latents"] >= 2
    frames, _, position = moving_ball(np.random.default_rng(99), 600, 16)
    latents = vae.encode(frames)
    products = np.einsum("ni,nj->nij", latents, latents)[:, *np.triu_indices(8)]
    inputs = np.c_[latents, products, np.ones(600)]
    fit = np.linalg.lstsq(inputs[:400], position[:400], rcond=None)[0]
    error = ((inputs[400:] @ fit - position[400:]) ** 2).mean(0)
    assert np.all(1.0 - error / position[400:].var(0) > 0.25)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_paper_sized_network_takes_64_by_64_frames(channels: int) -> None:
    vae = ConvVAE((64, 64, channels), VAESettings(channels=(16, 32, 64, 64)))
    frames, before, _ = moving_ball(np.random.default_rng(0), 4, 64, channels)
    metrics = vae.update(frames, before, np.random.default_rng(1))
    assert all(np.isfinite(value) for value in metrics.values())
    latents = vae.encode(frames)
    assert latents.shape == (4, 32)
    assert latents.dtype == np.float32
    decoded = vae.decode(latents)
    assert decoded.shape == frames.shape
    assert decoded.dtype == np.uint8


def test_metrics_lie_in_their_ranges() -> None:
    metrics = train(small(), 5)[-1]
    expected = {"loss", "reconstruction", "kl", "beta", "pixel_accuracy", "gradient_norm"}
    expected |= {"moving_variance_explained", "latent_magnitude", "latent_std", "active_latents"}
    assert expected <= metrics.keys()
    assert 0.0 <= metrics["pixel_accuracy"] <= 1.0
    assert 0.0 <= metrics["active_latents"] <= 8.0
    assert metrics["kl"] >= 0.0
    assert metrics["moving_variance_explained"] <= 1.0


def test_loss_is_scaled_reconstruction_plus_ramped_kl() -> None:
    vae = small(beta=0.5, beta_warmup_steps=4, reconstruction_scale=3.0)
    for step, metrics in enumerate(train(vae, 7)):
        assert metrics["beta"] == pytest.approx(0.5 * min(1.0, step / 4))
        parts = 3.0 * metrics["reconstruction"] + metrics["beta"] * metrics["kl"]
        assert metrics["loss"] == pytest.approx(parts, rel=1e-5)


def test_what_is_unexplained_at_coarser_scales_counts_if_asked() -> None:
    vae = small(reconstruction_scale=3.0, coarse_weight=7.0)
    for metrics in train(vae, 3):
        parts = 3.0 * metrics["reconstruction"] + 7.0 * metrics["coarse"]
        assert metrics["loss"] == pytest.approx(parts + metrics["beta"] * metrics["kl"], rel=1e-5)
    assert "coarse" not in train(small(), 1)[0]


def test_still_background_counts_only_by_its_weight() -> None:
    frames, _, _ = moving_ball(np.random.default_rng(0), 8)
    still = [
        small(background_weight=weight).update(frames, frames, np.random.default_rng(0))
        for weight in (0.01, 0.02)
    ]
    assert still[1]["reconstruction"] == pytest.approx(2 * still[0]["reconstruction"], rel=1e-5)
    plain = small(motion_weight=0.0)
    unweighted = plain.update(frames, frames, np.random.default_rng(0))
    assert unweighted["reconstruction"] == pytest.approx(100 * still[0]["reconstruction"], rel=1e-4)
    assert still[0]["moving_variance_explained"] == 0.0


def test_the_mean_frame_is_the_average_of_the_first_batches_and_then_stays() -> None:
    vae = small(mean_frame_updates=3)
    rng = np.random.default_rng(5)
    batches = [moving_ball(rng, 16)[0] for _ in range(5)]
    means = []
    for batch in batches:
        vae.update(batch, batch, rng)
        means.append(vae.state()["mean_frame"])
    expected = np.concatenate(batches[:3]).mean(0).transpose(2, 0, 1)[None] / 255.0
    np.testing.assert_allclose(means[2], expected, atol=1e-5)
    np.testing.assert_array_equal(means[4], means[2])


@pytest.mark.parametrize("coarse", [0.0, 5.0])
@pytest.mark.parametrize("saved_after", [0, 3, 55])
def test_a_reloaded_learner_continues_bit_for_bit(saved_after: int, coarse: float) -> None:
    rng = np.random.default_rng(1)
    batches = [moving_ball(rng, 8) for _ in range(saved_after + 3)]

    def run(vae: ConvVAE, steps: range) -> list[dict[str, float]]:
        return [vae.update(batches[i][0], batches[i][1], np.random.default_rng(i)) for i in steps]

    whole = small(coarse_weight=coarse)
    expected = run(whole, range(saved_after + 3))
    first = small(coarse_weight=coarse)
    run(first, range(saved_after))
    second = small(coarse_weight=coarse, seed=77)
    second.load_state(first.state())
    assert run(second, range(saved_after, saved_after + 3)) == expected[saved_after:]
    assert_same_state(second.state(), whole.state())


def test_state_is_a_copy() -> None:
    vae = small()
    state = vae.state()
    before = {name: value.copy() for name, value in state.items()}
    train(vae, 1)
    assert_same_state(state, before)


def test_loading_a_state_of_another_shape_changes_nothing() -> None:
    vae = small()
    before = vae.state()
    other = small(z_dim=9).state()
    with pytest.raises(ValueError, match=r"expected .* build it with the arguments"):
        vae.load_state(other)
    with pytest.raises(ValueError, match="missing"):
        vae.load_state({"mean_frame": before["mean_frame"]})
    assert_same_state(vae.state(), before)


def test_non_finite_steps_are_refused_and_leave_no_trace() -> None:
    vae = small()
    train(vae, 2)
    before = vae.state()
    broken = {
        **before,
        "weight.from_latent.bias": np.full_like(before["weight.from_latent.bias"], np.nan),
    }
    vae.load_state(broken)
    with pytest.raises(NonFiniteLoss, match="refused"):
        train(vae, 1)
    assert_same_state(vae.state(), broken)
    vae.load_state(before)
    assert np.isfinite(train(vae, 1)[0]["loss"])


def test_building_and_learning_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    train(small(), 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_equal_seeds_give_equal_weights_and_others_do_not() -> None:
    assert_same_state(small(seed=4).state(), small(seed=4).state())
    name = "weight.to_latent.weight"
    a, b = small(seed=4).state()[name], small(seed=5).state()[name]
    assert not np.array_equal(a, b)


def test_encoding_takes_read_only_strided_and_empty_batches() -> None:
    vae = small()
    frames, _, _ = moving_ball(np.random.default_rng(0), 300)
    expected = vae.encode(frames)
    frames.flags.writeable = False
    np.testing.assert_array_equal(vae.encode(frames), expected)
    np.testing.assert_allclose(vae.encode(frames[::2]), expected[::2], atol=1e-5)
    assert vae.encode(frames[:0]).shape == (0, 8)
    assert vae.decode(np.zeros((0, 8), np.float32)).shape == (0, 32, 32, 1)


def test_wrong_frames_are_refused_with_what_was_expected() -> None:
    vae = small()
    with pytest.raises(ValueError, match="expected uint8"):
        vae.encode(np.zeros((2, 32, 32, 1), np.float32))
    with pytest.raises(ValueError, match="expected uint8"):
        vae.encode(np.zeros((2, 32, 32, 3), np.uint8))
    with pytest.raises(ValueError, match="expected"):
        vae.decode(np.zeros((2, 7), np.float32))
    with pytest.raises(ValueError, match="divisible by 16"):
        ConvVAE((60, 64, 1))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_follows_float32(precision: str) -> None:
    exact = train(small(precision="float32"), 3)
    lower = train(small(precision=precision), 3)
    for a, b in zip(exact, lower, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=0.1)


def test_what_is_seen_in_lower_precision_is_the_same_to_a_hundredth_of_its_spread() -> None:
    exact = small(precision="float32")
    train(exact, 20)
    rounded = small(precision="bfloat16")
    rounded.load_state(exact.state())
    frames = moving_ball(np.random.default_rng(3), 64)[0]
    seen, seen_rounded = exact.encode(frames), rounded.encode(frames)
    assert seen_rounded.dtype == np.float32
    errors = (seen - seen_rounded).std(axis=0) / seen.std(axis=0)
    assert 0.0 < errors.max() < 0.01


def test_folding_is_that_of_pixel_unshuffle_and_can_be_undone() -> None:
    images = torch.rand(3, 2, 8, 12)
    maps = folded(images)
    assert maps.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(maps, torch.nn.PixelUnshuffle(4)(images), rtol=0, atol=0)
    torch.testing.assert_close(unfolded(maps), images, rtol=0, atol=0)
    torch.testing.assert_close(unfolded(maps), torch.nn.PixelShuffle(4)(maps), rtol=0, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_it_learns_and_encodes_as_on_the_cpu() -> None:
    gpu = small(device="cuda")
    train(gpu, 20)
    cpu = small(precision="float32")
    cpu.load_state({**cpu.state(), **{k: v for k, v in gpu.state().items() if "adam" not in k}})
    frames, _, _ = moving_ball(np.random.default_rng(3), 16)
    np.testing.assert_allclose(gpu.encode(frames), cpu.encode(frames), atol=2e-2)


def test_a_batch_in_parts_takes_the_step_of_the_whole_batch() -> None:
    whole, parts = (small(precision="float32", coarse_weight=5.0) for _ in range(2))
    parts.parts = 3
    for found, expected in zip(train(parts, 5), train(whole, 5), strict=True):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
    for name, value in whole.state().items():
        np.testing.assert_allclose(parts.state()[name], value, rtol=1e-2, atol=1e-4, err_msg=name)


def test_memory_that_is_short_has_a_name_and_leaves_no_gradient(monkeypatch) -> None:
    vae = small()
    before = vae.state()
    for raised, expected in (
        (torch.OutOfMemoryError("CUDA out of memory"), OutOfDeviceMemory),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), OutOfDeviceMemory),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError),
        (RuntimeError("something else"), RuntimeError),
    ):

        def decode(latents, raised=raised):
            raise raised

        monkeypatch.setattr(vae._network, "decode", decode)
        with pytest.raises(expected) as error:
            train(vae, 1)
        assert error.type is expected
    assert_same_state(vae.state(), before)
    assert all(p.grad is None for p in vae._network.parameters())


def test_moving_to_another_device_keeps_everything_and_the_rate() -> None:
    stayed, moved = small(), small()
    for vae in (stayed, moved):
        train(vae, 3)
        vae.learning_rate = 1e-4
    moved.move_to("cpu")
    assert (moved.device, moved.learning_rate) == ("cpu", 1e-4)
    assert train(moved, 3, seed=1) == train(stayed, 3, seed=1)
    assert_same_state(moved.state(), stayed.state())
