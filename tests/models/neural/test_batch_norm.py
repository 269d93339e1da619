"""V with normalised layers: as torch does it, frozen while it looks, without trace if refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.interfaces import NonFiniteLoss  # noqa: E402
from models.networks.convolutions import BatchNorm  # noqa: E402
from models.settings.vae import VAESettings  # noqa: E402
from models.vae import ConvVAE  # noqa: E402

pytestmark = pytest.mark.torch
RUNNING = ("running_mean", "running_variance")


def small(seed: int = 0, precision: Any = "float32", **more: Any) -> ConvVAE:
    settings = VAESettings(z_dim=6, channels=(8, 12), batch_norm=True, **more)
    return ConvVAE((16, 16, 1), settings, seed=seed, precision=precision)


def batch_of(seed: int, rows: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return tuple(rng.integers(0, 256, (rows, 16, 16, 1), np.uint8) for _ in range(2))  # type: ignore[return-value]


def train(vae: ConvVAE, steps: range) -> list[dict[str, float]]:
    return [vae.update(*batch_of(step), np.random.default_rng(step)) for step in steps]


def test_it_normalises_as_torch_does() -> None:
    ours, theirs = BatchNorm(5), torch.nn.BatchNorm2d(5, momentum=0.25)
    with torch.no_grad():
        ours.start()
        for module in (ours, theirs):
            module.weight.copy_(torch.arange(1.0, 6.0))
            module.bias.copy_(torch.arange(5.0))
    for number in range(3):
        maps = torch.randn(7, 5, 4, 3, generator=torch.Generator().manual_seed(number)) * 3 + 1
        torch.testing.assert_close(ours(maps), theirs(maps))
        variance, mean = ours.taken()
        count = maps.numel() / 5
        ours.follow(variance * count / (count - 1), mean, 0.25)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_variance, theirs.running_var)
    ours.eval(), theirs.eval()
    torch.testing.assert_close(ours(maps), theirs(maps))


def test_what_is_seen_does_not_depend_on_what_is_seen_beside_it() -> None:
    vae = small()
    train(vae, range(5))
    before = vae.state()
    frames = batch_of(99)[0]
    alone = np.concatenate([vae.encode(frames[n : n + 1]) for n in range(len(frames))])
    np.testing.assert_allclose(vae.encode(frames), alone, atol=1e-5)
    vae.decode(alone)
    after = vae.state()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_running_statistics_are_means_of_the_first_batches_and_then_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vae = small()
    first = vae._network.norms[0]
    told: list[np.ndarray] = []
    taken = BatchNorm.taken

    def noted(norm: BatchNorm) -> Any:
        variance, mean = taken(norm)
        if norm is first:
            told.append(mean.numpy().copy())
        return variance, mean

    monkeypatch.setattr(BatchNorm, "taken", noted)
    expected = np.zeros_like(vae.state()["weight.norms.0.running_mean"])
    for step in range(30):
        train(vae, range(step, step + 1))
        if step < 20:  # from 1/20 on a batch counts that much
            expected = np.mean(told, axis=0)
        else:
            expected = 0.95 * expected + 0.05 * told[-1]
        found = vae.state()["weight.norms.0.running_mean"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert len(told) == 30 and np.ptp(told, axis=0).min() > 0


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_reloaded_learner_continues_bit_for_bit(precision: str) -> None:
    whole = small(precision=precision)
    expected = train(whole, range(6))
    first, second = small(precision=precision), small(seed=7, precision=precision)
    train(first, range(3))
    second.load_state(first.state())
    assert train(second, range(3, 6)) == expected[3:]
    for name, value in whole.state().items():
        np.testing.assert_array_equal(second.state()[name], value, err_msg=name)
    assert any(name.endswith(RUNNING) for name in whole.state())


def test_a_refused_step_leaves_no_trace() -> None:
    vae = small()
    train(vae, range(2))
    broken = vae.state()
    broken["weight.from_latent.bias"] = np.full_like(broken["weight.from_latent.bias"], np.nan)
    vae.load_state(broken)
    with pytest.raises(NonFiniteLoss):
        train(vae, range(1))
    for name, value in vae.state().items():
        np.testing.assert_array_equal(value, broken[name], err_msg=name)
    assert not vae._network.training


def test_parts_of_a_batch_count_by_their_rows() -> None:
    whole, parts = small(), small()
    parts.parts = 5
    for vae in (whole, parts):
        train(vae, range(1))
    # What comes in first is the same in both, so its mean and mean square are.
    for name in RUNNING:
        first = f"weight.norms.0.{name}"
        np.testing.assert_allclose(parts.state()[first], whole.state()[first], rtol=1e-4, atol=1e-6)


def test_it_learns_and_its_halves_are_exported_as_they_look() -> None:
    vae = small(motion_weight=0.0, beta=0.001, learning_rate=3e-3)
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(150):
        frames = np.full((32, 16, 16, 1), 40, np.uint8)
        rows, columns = rng.integers(0, 14, (2, 32))
        for number in range(32):
            frames[number, rows[number] : rows[number] + 3, columns[number] :][:, :3] = 220
        losses.append(vae.update(frames, frames, rng)["reconstruction"])
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[5:15])
    encoder, decoder = vae.exported()
    z = vae.encode(frames)
    np.testing.assert_allclose(encoder(torch.from_numpy(frames)), z, atol=1e-4)
    shown = decoder(torch.from_numpy(z)).numpy() * 255.0
    assert np.abs(shown - vae.decode(z)).max() < 1.0
    # What it looks with is what it learned with, but for the batch.
    error = np.square((vae.decode(z).astype(float) - frames) / 255.0).sum(axis=(1, 2, 3)).mean()
    assert error < 1.5 * np.mean(losses[-10:])
