"""V's coarser scales: what they measure, and that they make small things easy to read from z."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.networks.coarse import (  # noqa: E402
    WindowStatistics,
    coarse_error,
    window_means,
)
from models.settings.vae import VAESettings  # noqa: E402
from models.vae import ConvVAE  # noqa: E402
from tests.models.test_vae import moving_ball  # noqa: E402

pytestmark = pytest.mark.torch


def dots(rng: np.random.Generator, n: int, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Frames `[n, S, S, 1]` of one bright pixel on black, and its place `[n, 2]`."""
    places = rng.integers(4, size - 4, (n, 2))
    frames = np.zeros((n, size, size, 1), np.uint8)
    frames[np.arange(n), places[:, 0], places[:, 1]] = 255
    return frames, places


def images(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255.0


def test_windows_overlap_by_half_and_hold_means() -> None:
    frame = torch.zeros(1, 1, 32, 32)
    frame[0, 0, 10, 21] = 1.0
    for size, level in zip((4, 8, 16), window_means(frame), strict=True):
        assert level.shape == (1, 1, 2 * 32 // size + 1, 2 * 32 // size + 1)
        starts = np.arange(level.shape[-1]) * size // 2 - size // 2
        holds = [np.flatnonzero((starts <= at) & (at < starts + size)) for at in (10, 21)]
        expected = np.zeros(level.shape[-2:], np.float32)
        expected[np.ix_(*holds)] = 1.0 / size**2
        assert (expected > 0).sum() == 4
        np.testing.assert_allclose(level[0, 0].numpy(), expected)


def test_the_mean_frame_explains_nothing_and_the_frame_everything() -> None:
    data = images(dots(np.random.default_rng(0), 4000)[0])
    mean = data.mean(dim=0, keepdim=True)
    squares = WindowStatistics((64, 64, 1)).after(data, 0)
    nothing = float(coarse_error(mean.expand_as(data), data, mean, squares).mean())
    assert 0.5 < nothing <= 1.0
    assert float(coarse_error(data, data, mean, squares).abs().max()) == 0.0


def test_a_near_miss_costs_less_than_a_far_one() -> None:
    data = images(dots(np.random.default_rng(0), 2000)[0])
    mean, squares = data.mean(0, keepdim=True), WindowStatistics((64, 64, 1)).after(data, 0)
    costs = []
    for shift in (1, 3, 6, 12, 30):
        moved = torch.roll(data, shift, dims=3)
        pixels = (moved - data).square().sum(dim=(1, 2, 3)).mean()
        assert float(pixels) == pytest.approx(2.0)  # a pixel's error knows no distance
        costs.append(float(coarse_error(moved, data, mean, squares).mean()))
    assert costs == sorted(costs)
    assert costs[0] < 0.5 * costs[-1]


def test_quiet_windows_count_as_much_as_busy_ones() -> None:
    """A ball seen in one frame of a hundred is not lost beside what moves in each."""
    rng = np.random.default_rng(0)
    data = torch.zeros(2000, 1, 64, 64)
    data[:, 0, 8, 8] = torch.from_numpy(rng.integers(0, 2, 2000).astype(np.float32))
    rare = rng.permutation(2000)[:20]
    data[rare, 0, 40, 40] = 1.0
    mean, squares = data.mean(0, keepdim=True), WindowStatistics((64, 64, 1)).after(data, 0)
    busy, quiet = data.clone(), data.clone()
    busy[:, 0, 8, 8], quiet[:, 0, 40, 40] = mean[0, 0, 8, 8], mean[0, 0, 40, 40]
    lost = [float(coarse_error(d, data, mean, squares).mean()) for d in (busy, quiet)]
    variances = [float(data[:, 0, p, p].var()) for p in (8, 40)]
    assert variances[1] < 0.05 * variances[0]
    assert lost[1] > 0.15 * lost[0]


def test_statistics_are_those_of_all_batches() -> None:
    data = images(dots(np.random.default_rng(0), 90)[0])
    parts, whole = WindowStatistics((64, 64, 1)), WindowStatistics((64, 64, 1))
    for number in range(3):
        parts.keep(parts.after(data[30 * number : 30 * number + 30], number))
    whole.keep(whole.after(data, 0))
    for found, expected in zip(parts.squares, whole.squares, strict=True):
        torch.testing.assert_close(found, expected)


def test_frames_too_small_for_windows_are_refused() -> None:
    with pytest.raises(ValueError, match="coarse_weight to 0"):
        ConvVAE((4, 4, 1), VAESettings(channels=(8,), coarse_weight=1.0))


def test_with_it_a_line_reads_from_z_where_the_ball_is() -> None:
    """What it is for: the same updates, with and without."""
    scores = []
    for weight in (0.0, 50.0):
        settings = VAESettings(z_dim=8, learning_rate=3e-3, channels=(16, 32), coarse_weight=weight)
        vae = ConvVAE((32, 32, 1), settings, seed=3)
        rng = np.random.default_rng(0)
        for _ in range(120):
            frames, before, _ = moving_ball(rng, 32)
            vae.update(frames, before, rng)
        frames, _, places = moving_ball(np.random.default_rng(9), 1000)
        inputs = np.c_[vae.encode(frames), np.ones(1000)]
        fit = np.linalg.lstsq(inputs[:700], places[:700], rcond=None)[0]
        error = ((inputs[700:] @ fit - places[700:]) ** 2).mean(0)
        scores.append(float((1.0 - error / places[700:].var(0)).min()))
    assert scores[1] > 0.7
    assert scores[1] > scores[0] + 0.3
