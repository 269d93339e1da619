"""Resizing by area and luminance."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum.envs import area
from curriculum.envs.area import luminance, resize_area
from models.numeric.threads import _thread_control

sizes = st.integers(1, 9)


def area_mean(line: np.ndarray, target: int) -> list[Fraction]:
    """Integrates a piecewise constant line over `target` equal cells, in exact fractions."""
    width = Fraction(len(line), target)
    cells = []
    for cell in range(target):
        low, high = cell * width, (cell + 1) * width
        overlaps = [max(Fraction(0), min(high, i + 1) - max(low, i)) for i in range(len(line))]
        pixels = zip(line.tolist(), overlaps, strict=True)
        cells.append(sum((Fraction(p) * o for p, o in pixels), Fraction(0)) / width)
    return cells


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, sizes, sizes, st.integers(0, 2**32 - 1))
def test_each_new_pixel_is_the_mean_of_its_area(
    h: int, w: int, h2: int, w2: int, seed: int
) -> None:
    frame = np.random.default_rng(seed).integers(0, 256, (h, w, 2), dtype=np.uint8)
    resized = resize_area(frame, h2, w2)
    assert resized.shape == (h2, w2, 2)
    for channel in range(2):
        columns = np.array([area_mean(row, w2) for row in frame[..., channel]])
        expected = np.array([area_mean(column, h2) for column in columns.T]).T
        rounded = np.array([[int(value + Fraction(1, 2)) for value in row] for row in expected])
        np.testing.assert_array_equal(resized[..., channel], rounded)


def test_a_large_frame_stays_exact_beyond_float32() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (256, 320, 3), dtype=np.uint8)
    blocks = frame.reshape(64, 4, 64, 5, 3).astype(np.int64).sum((1, 3))
    np.testing.assert_array_equal(resize_area(frame, 64, 64), (blocks + 10) // 20)
    white = np.full((900, 1200, 3), 255, np.uint8)
    assert (resize_area(white, 64, 64) == 255).all()


def test_an_equal_size_is_a_copy() -> None:
    frame = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    same = resize_area(frame, 2, 2)
    np.testing.assert_array_equal(same, frame)
    assert not np.shares_memory(same, frame)


def test_luminance_weighs_the_colours() -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)
    np.testing.assert_array_equal(luminance(colours[None])[0, :, 0], [76, 150, 29, 255])


@pytest.mark.gym
@pytest.mark.parametrize("env_id", ["LunarLander-v3", "CartPole-v1", "CarRacing-v3"])
def test_real_frames_are_the_same_whatever_threads_there_are(env_id: str) -> None:
    """One thread is what is used now; what was learned before was shown by as many as there are."""
    gymnasium = pytest.importorskip("gymnasium")
    pytest.importorskip("pygame" if env_id == "CartPole-v1" else "Box2D")
    env = gymnasium.make(env_id, render_mode="rgb_array")
    env.reset(seed=1)
    frames = []
    for _ in range(3):
        frames.append(env.render())
        env.step(env.action_space.sample())
    env.close()
    for frame in frames:
        expected = area._mean_planes(frame, 64, 64).reshape(3, 64, 64).transpose(1, 2, 0)
        np.testing.assert_array_equal(resize_area(frame, 64, 64), expected)


def test_a_resize_multiplies_on_the_calling_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    means = area._mean_planes
    outside = _thread_control()

    def noting(*args: Any) -> np.ndarray:
        threads.append(outside.read() if outside else 1)
        return means(*args)

    monkeypatch.setattr(area, "_mean_planes", noting)
    resize_area(np.zeros((210, 160, 3), np.uint8), 64, 64)
    assert threads == [1]
