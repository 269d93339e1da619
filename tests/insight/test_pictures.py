"""Strips of V and M: the right size, real above, and the right frame in each place."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import pytest

from curriculum.insight.drawing import GAP, LABEL_WIDTH, SCALE
from curriculum.insight.pictures import COLUMNS, memory_picture, motion_weights, vision_picture
from curriculum.world.world_model import WorldModel
from models.interfaces import Memory, Prediction, Vision

SIDE = 16
TILE = SCALE * SIDE


class Grey:
    """One latent: a frame's mean grey."""

    latent_size, single_pass = 1, True

    def encode(self, observations: np.ndarray) -> np.ndarray:
        return observations.astype(np.float32).mean(axis=(1, 2, 3))[:, None]

    def decode(self, latents: np.ndarray) -> np.ndarray:
        grey = np.rint(latents).astype(np.uint8)[:, :, None, None]
        return np.broadcast_to(grey, (len(latents), SIDE, SIDE, 1))


class Adds:
    """Says that the grey grows by the action plus one."""

    latent_size, action_size, hidden_size, single_pass = 1, 1, 1, True

    def initial_state(self, n: int) -> np.ndarray:
        return np.zeros((n, 1), np.float32)

    def step(self, state: np.ndarray, latents: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return actions

    def predict(
        self, state: np.ndarray, latents: np.ndarray, temperature: float, rng: np.random.Generator
    ) -> Prediction:
        nothing = np.zeros(len(latents), np.float32)
        return Prediction(latents + state + 1, nothing, nothing)


VISION, MEMORY = cast(Vision, Grey()), cast(Memory, Adds())
WORLD = WorldModel(VISION, MEMORY)


def greys(picture: np.ndarray) -> np.ndarray:
    """The value in the middle of each tile, `[rows, columns]`."""
    height, width = picture.shape[0] - GAP, picture.shape[1] - LABEL_WIDTH
    rows, columns = height // (TILE + GAP), width // (TILE + GAP)
    assert rows * (TILE + GAP) == height and columns * (TILE + GAP) == width
    top = GAP + TILE // 2 + np.arange(rows) * (TILE + GAP)
    left = LABEL_WIDTH + TILE // 2 + np.arange(columns) * (TILE + GAP)
    return picture[top[:, None], left, 0].astype(int)


def episode(steps: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Frames that grow by their action of 1 or 2, and the actions."""
    actions = np.random.default_rng(0).integers(1, 3, (steps, 1)).astype(np.float32)
    levels = np.concatenate([[20], 20 + actions[:, 0].cumsum()])
    frames = np.broadcast_to(levels[:, None, None, None], (steps + 1, SIDE, SIDE, 1))
    return frames.astype(np.uint8), actions


def test_real_stands_above_one_step_above_a_dream() -> None:
    frames, actions = episode()
    rng = np.random.default_rng(0)
    picture = memory_picture(WORLD, frames, actions, [4, 25], rng)
    found = greys(picture)
    assert found.shape == (6, COLUMNS) and picture.dtype == np.uint8 and picture.shape[2] == 3
    shown = np.linspace(1, 15, COLUMNS).round().astype(int)
    for row, start in ((0, 4), (3, 25)):
        real = frames[start + shown, 0, 0, 0]
        np.testing.assert_array_equal(found[row], real)
        np.testing.assert_array_equal(found[row + 1], real + 1)
        np.testing.assert_array_equal(found[row + 2], real + shown)


def test_short_dreams_have_a_column_a_step_and_long_ones_are_refused() -> None:
    frames, actions = episode(10)
    rng = np.random.default_rng(0)
    picture = memory_picture(WORLD, frames, actions, [2], rng, dream_steps=3)
    assert greys(picture).shape == (3, 3)
    for starts in ([], [-1], [8]):
        with pytest.raises(ValueError, match="from 0 to 7"):
            memory_picture(WORLD, frames, actions, starts, rng, dream_steps=3)


def test_vision_has_three_rows_and_looks_where_it_moves() -> None:
    frames = np.full((5, SIDE, SIDE, 1), 90, np.uint8)
    previous = frames.copy()
    previous[2] = 10
    found = greys(vision_picture(VISION, frames, previous))
    np.testing.assert_array_equal(found[0], 90)
    np.testing.assert_array_equal(found[1], 90)
    np.testing.assert_array_equal(found[2], [3, 3, 255, 3, 3])


def test_weights_without_motion_are_equal() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    assert (motion_weights(frames, frames[::-1], motion_weight=0.0) == 1).all()
    np.testing.assert_allclose(motion_weights(frames, frames), 0.01)


@pytest.mark.torch
@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
@pytest.mark.parametrize("channels", [1, 3])
def test_weights_are_those_of_the_loss(channels: int) -> None:
    import torch

    from models.networks.pixels import moving

    rng = np.random.default_rng(channels)
    frames = rng.integers(0, 256, (6, 16, 16, channels), np.uint8)
    previous = frames.copy()
    places = rng.random(frames.shape) < 0.05
    step = rng.integers(-9, 10, frames.shape)
    previous[places] = np.clip(frames.astype(int) + step, 0, 255)[places]

    def images(pixels: np.ndarray) -> Any:
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().mul(1.0 / 255.0)

    moved = moving(images(frames), images(previous)).numpy()[:, 0]
    assert 0 < moved.mean() < 1
    np.testing.assert_allclose(motion_weights(frames, previous), 0.01 + moved, rtol=1e-6)
