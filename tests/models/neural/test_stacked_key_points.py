"""Key points of two frames: what moves is found among what looks the same and stands still."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.settings.vae import VAESettings  # noqa: E402
from models.vae import ConvVAE  # noqa: E402
from tests.models.neural.test_key_points import SIZE, closest, of_squares, places  # noqa: E402

pytestmark = pytest.mark.torch

STILL = 5


def drawn(corners: np.ndarray) -> np.ndarray:
    """Returns frames `[n, H, W, 1]` of white squares 2 x 2 at corners `[n, k, 2]`."""
    frames = np.zeros((len(corners), SIZE, SIZE, 1), np.uint8)
    for frame, squares in zip(frames, corners.tolist(), strict=True):
        for x, y in squares:
            frame[y : y + 2, x : x + 2] = 255
    return frames


def stacks(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns stacks of two frames, those one step before, and where the moving square is.

    Five others, elsewhere in each, look like it.
    """
    still = rng.integers(1, SIZE - 3, (n, STILL, 2))
    last = rng.integers(7, SIZE - 9, (n, 1, 2))
    move = rng.choice([-2, 2], (n, 1, 2))
    oldest, old, new = (
        drawn(np.concatenate([still, last + steps * move], axis=1)) for steps in (-2, -1, 0)
    )
    return np.concatenate([old, new], -1), np.concatenate([oldest, old], -1), last[:, 0]


def found(frames: int) -> float:
    """Returns the share of places that are found within a pixel and a half."""
    settings = VAESettings(
        z_dim=8, channels=(4, 8), learning_rate=5e-3, key_points=1, key_point_channels=16
    )
    vae = ConvVAE((SIZE, SIZE, frames), settings, precision="float32", frames=frames)
    rng = np.random.default_rng(0)
    for _ in range(300):
        seen, before, _ = stacks(rng, 32)
        vae.update(seen[..., -frames:], before[..., -frames:], rng)
    seen, _, corners = stacks(np.random.default_rng(9), 200)
    distances = closest(places(vae, seen[..., -frames:], 1), of_squares(corners))
    return float(np.mean(distances < 1.5))


def test_two_frames_tell_what_moves_from_what_looks_like_it() -> None:
    assert found(2) > 0.8
    assert found(1) < 0.4
