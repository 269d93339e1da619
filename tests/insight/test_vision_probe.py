"""Probes of latents: planted answers are found, absent ones are not, on rows never learned from."""

from __future__ import annotations

import numpy as np
import pytest

from curriculum.insight.vision_probe import GAP, fit_readout, probe, split_rows

N, Z = 2000, 12


def rows(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Latents `[N, Z]`, 10 episodes `[N]`, and all-visible `[N]`."""
    rng = np.random.default_rng(seed)
    latents = rng.standard_normal((N, Z)).astype(np.float32)
    return latents, np.repeat(np.arange(10), N // 10), np.ones(N, np.bool_)


def test_a_planted_linear_map_is_found_and_noise_is_not() -> None:
    z, episodes, seen = rows()
    rng = np.random.default_rng(9)
    positions = {
        "planted": 30 + z @ rng.normal(0, 3, Z) + rng.normal(0, 0.1, N),
        "noise": rng.uniform(0, 64, N),
    }
    scores = probe(z, positions, dict.fromkeys(positions, seen), episodes)
    assert scores["planted"]["r2"] > 0.99 and scores["planted"]["kernel_r2"] > 0.99
    assert scores["planted"]["mae_pixels"] == pytest.approx(0.1 * np.sqrt(2 / np.pi), rel=0.1)
    assert scores["noise"]["r2"] < 0.01 and scores["noise"]["kernel_r2"] < 0.01
    assert scores["noise"]["mae_pixels"] == pytest.approx(16, rel=0.1)


def test_the_second_row_sees_what_no_line_can() -> None:
    z, episodes, seen = rows()
    z = z[:, :3]
    target = {"bent": 10 * z[:, 0] * z[:, 1]}
    (score,) = probe(z, target, {"bent": seen}, episodes).values()
    assert score["r2"] < 0.1 and score["kernel_r2"] > 0.8


def test_an_episodes_own_constant_cannot_be_remembered() -> None:
    """Latents that name the episode help on random rows of it, and nowhere else."""
    rng = np.random.default_rng(2)
    episodes = np.repeat(np.arange(10), N // 10)
    z = np.eye(10, dtype=np.float32)[episodes] + rng.normal(0, 0.01, (N, 10)).astype(np.float32)
    target = rng.uniform(0, 64, 10)[episodes] + rng.normal(0, 0.1, N)
    (score,) = probe(z, {"x": target}, {"x": np.ones(N, np.bool_)}, episodes).values()
    assert score["r2"] < 0.0


def test_invisible_rows_do_not_count() -> None:
    z, episodes, _ = rows()
    seen = np.random.default_rng(3).random(N) < 0.4
    target = np.where(seen, 5.0 * z[:, 0], 1e6)
    scores = probe(z, {"x": target, "gone": target}, {"x": seen, "gone": ~(seen | True)}, episodes)
    assert list(scores) == ["x"] and scores["x"]["r2"] > 0.99
    assert scores["x"]["rows"] == (seen & split_rows(episodes).test).sum()


def test_a_readout_gives_pixels_of_any_latents() -> None:
    z, _, seen = rows()
    z[:, 3] *= 50
    z[:, 4] = 7.0
    positions = {"x": 20 + 2.0 * z[:, 0] - 0.1 * z[:, 3], "y": 9 - z[:, 1]}
    readout = fit_readout(z, positions, {"x": seen, "y": seen}, strength=1e-9)
    found = readout(z.reshape(4, 500, Z))
    for name in positions:
        np.testing.assert_allclose(found[name].ravel(), positions[name], atol=1e-4)


@pytest.mark.parametrize("count", [2, 7, 31])
def test_rows_are_split_by_episode_or_by_time(count: int) -> None:
    episodes = np.repeat(np.arange(count), 1200 // count)
    parts = split_rows(episodes, seed=4)
    assert not (np.sum(parts, axis=0) > 1).any() and all(part.any() for part in parts)
    if count >= 5:
        owners = [set(episodes[part].tolist()) for part in parts]
        assert sum(map(len, owners)) == count == len(set().union(*owners))
    else:
        train, choose, test = (np.flatnonzero(part) for part in parts)
        assert choose[0] - train[-1] > GAP and test[0] - choose[-1] > GAP
    assert 0.5 < parts.train.mean() < 0.75


def test_wrong_lengths_and_too_few_rows_are_refused() -> None:
    z, episodes, seen = rows()
    with pytest.raises(ValueError, match="lengths"):
        probe(z, {"x": z[:5, 0]}, {"x": seen}, episodes)
    with pytest.raises(ValueError, match="too few"):
        split_rows(np.zeros(100))
    with pytest.raises(ValueError, match="play more"):
        fit_readout(z, {"x": z[:, 0]}, {"x": ~seen})
