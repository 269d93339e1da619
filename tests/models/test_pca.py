"""PCA vision: the ball is linearly decodable, frames come back, and fitting is exact and fast."""

from __future__ import annotations

import time

import numpy as np
import pytest

from models.pca import PCAVision

Z = 24


def game(seed: int, n: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames with two paddles, a two-pixel ball and a score that seldom changes.

    Returns:
        frames and previous ones `[n, 64, 64, 1]`, and ball x, y and a paddle's y `[n, 3]`.
    """
    rng = np.random.default_rng(seed)
    balls = rng.integers((8, 8), (54, 54), size=(n, 2))
    paddles = np.clip(30 + np.cumsum(rng.integers(-2, 3, size=(n + 1, 2)), axis=0) % 40, 8, 52)
    before = np.clip(balls + rng.choice([-3, 3], size=(n, 2)), 8, 56)
    scores = np.cumsum(rng.random(n + 1) < 0.01) % 9
    frames = np.full((2, n, 64, 64, 1), 40, np.uint8)
    for row in range(n):
        for shown, (x, y) in ((0, balls[row]), (1, before[row])):
            frame = frames[shown, row, ..., 0]
            moment = row + 1 - shown
            frame[y : y + 2, x : x + 2] = 236
            for column, top in zip((3, 59), paddles[moment], strict=True):
                frame[top : top + 8, column : column + 2] = 130
            frame[2:5, 10 : 12 + 4 * scores[moment]] = 200
    return frames[0], frames[1], np.column_stack([balls, paddles[1:, 0]])


def taught(frames: np.ndarray, previous: np.ndarray, **arguments: float) -> PCAVision:
    vision = PCAVision(frames.shape[1:], **{"latent_size": Z, **arguments})
    for start in range(0, len(frames), 250):
        part = slice(start, start + 250)
        vision.update(frames[part], previous[part], np.random.default_rng(0))
    vision.finish()
    return vision


def decodability(
    vision: PCAVision, train: tuple[np.ndarray, ...], test: tuple[np.ndarray, ...]
) -> np.ndarray:
    """R^2 of the best linear map from z to each position, on frames that it has not seen."""
    z, unseen = (
        np.column_stack([vision.encode(frames), np.ones(len(frames))])
        for frames in (train[0], test[0])
    )
    weights = np.linalg.lstsq(z.astype(np.float64), train[2], rcond=None)[0]
    return 1.0 - np.square(unseen @ weights - test[2]).mean(axis=0) / test[2].var(axis=0)


def test_the_ball_is_linearly_decodable_and_not_from_plain_components() -> None:
    train, test = game(0), game(1, 1000)
    ours = decodability(taught(*train[:2]), train, test)
    plain = decodability(taught(*train[:2], motion_weight=0.0), train, test)
    assert ours[:2].min() > 0.95
    assert plain[:2].max() < 0.6
    assert ours[2] > 0.95


def test_frames_come_back_with_their_paddles_and_ball() -> None:
    frames, previous, _ = game(0, 2000)
    vision = taught(frames, previous)
    shown = vision.decode(vision.encode(frames[:300]))
    assert shown.dtype == np.uint8
    error = np.square(shown / 255.0 - frames[:300] / 255.0).mean()
    still = np.square(frames.mean(axis=0) / 255.0 - frames[:300] / 255.0).mean()
    assert error < 0.3 * still
    bright = (frames[:300] == 236).reshape(300, -1)
    assert np.mean(shown.reshape(300, -1)[bright]) > 120


def test_plain_components_are_those_of_an_ordinary_pca() -> None:
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(500, 3)) * (3.0, 2.0, 1.0)
    mixing = np.linalg.qr(rng.normal(size=(16 * 16, 3)))[0]
    frames = np.clip(128 + 25 * hidden @ mixing.T * 4, 0, 255).astype(np.uint8)
    frames = frames.reshape(500, 16, 16, 1)
    vision = taught(frames, frames, latent_size=3, motion_weight=0.0)
    z = vision.encode(frames)
    centred = frames.reshape(500, -1) / 255.0 - frames.reshape(500, -1).mean(axis=0) / 255.0
    left, _, _ = np.linalg.svd(centred, full_matrices=False)
    expected = left[:, :3] * np.sqrt(500)
    signs = np.sign((z * expected).sum(axis=0))
    np.testing.assert_allclose(z * signs, expected, atol=0.02)
    np.testing.assert_allclose(z.std(axis=0), 1.0, atol=0.01)


@pytest.mark.parametrize("shape", [(64, 64, 3), (32, 32, 1), (48, 40, 3), (7, 11, 1)])
def test_frames_of_any_size_are_seen(shape: tuple[int, int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, size=(60, *shape), dtype=np.uint8)
    vision = taught(frames, np.roll(frames, 1, axis=0), latent_size=12)
    z = vision.encode(frames)
    assert z.shape == (60, 12)
    assert np.isfinite(z).all()
    assert vision.decode(z).shape == frames.shape
    alone = np.concatenate([vision.encode(frame[None]) for frame in frames])
    np.testing.assert_allclose(alone, z, atol=1e-4)


def test_frames_that_never_change_give_finite_latents() -> None:
    frames = np.full((40, 16, 16, 1), 77, np.uint8)
    vision = taught(frames, frames, latent_size=12)
    z = vision.encode(frames)
    assert np.isfinite(z).all()
    np.testing.assert_allclose(vision.decode(z), frames, atol=1)


def test_twelve_thousand_colour_frames_are_learned_in_seconds() -> None:
    """Processor time of a twelfth of them, and of one solution."""
    frames = np.random.default_rng(0).integers(0, 256, size=(1000, 64, 64, 3), dtype=np.uint8)
    vision = PCAVision((64, 64, 3), 32)
    began = time.thread_time()
    for start in range(0, 1000, 125):
        part = frames[start : start + 125]
        vision.update(part, part[::-1], np.random.default_rng(0))
    learning = time.thread_time() - began
    began = time.thread_time()
    vision.finish()
    assert 12 * learning + time.thread_time() - began < 15.0


def test_refuses_frames_and_arguments_that_do_not_fit() -> None:
    vision = PCAVision((16, 16, 1), 4)
    with pytest.raises(ValueError, match="no frames"):
        vision.finish()
    with pytest.raises(ValueError, match="16, 16"):
        vision.encode(np.zeros((2, 16, 17, 1), np.uint8))
    with pytest.raises(ValueError):
        vision.load_state(PCAVision((16, 16, 1), 5).state())
    for wrong in ({"latent_size": 0}, {"latent_size": 300}, {"motion_weight": -1.0}):
        with pytest.raises(ValueError):
            PCAVision(**{"frame_shape": (16, 16, 1), "latent_size": 4, **wrong})
