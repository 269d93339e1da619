"""What is seen of a picture: crops and maxima done by hand, and games seen through them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum.config.writing import dump
from curriculum.envs.area import resize_area
from curriculum.envs.framing import SIZE, Framing
from curriculum.errors import ConfigError
from curriculum.tasks import load_config

PLAYFIELD = (30, 210, 8, 152)


def brightest(image: np.ndarray) -> np.ndarray:
    """The definition: the maximum over rows and columns from floor to ceiling."""
    height, width = image.shape[:2]
    small = np.zeros((SIZE, SIZE, image.shape[2]), np.uint8)
    for row in range(SIZE):
        for column in range(SIZE):
            covered = image[
                row * height // SIZE : -(-(row + 1) * height // SIZE),
                column * width // SIZE : -(-(column + 1) * width // SIZE),
            ]
            small[row, column] = covered.max(axis=(0, 1))
    return small


def test_halving_takes_the_brightest_of_four() -> None:
    frames = np.zeros((2, 130, 128, 1), np.uint8)
    frames[0, 3, 5], frames[0, 2, 4], frames[1, 129, 127] = 7, 9, 200
    small = Framing((2, 130, 0, 128), "max").shrinking("x", 130, 128)(frames)
    assert small.shape == (2, 64, 64, 1)
    assert small[0, 0, 2, 0] == 9 and small[1, 63, 63, 0] == 200
    assert np.count_nonzero(small) == 2


def test_a_ball_of_two_by_four_pixels_keeps_its_brightness_wherever_it_is() -> None:
    shrink = Framing(PLAYFIELD, "max").shrinking("x", 210, 160)
    rng = np.random.default_rng(0)
    frames = np.zeros((40, 210, 160, 1), np.uint8)
    corners = np.stack([rng.integers(30, 207, 40), rng.integers(8, 151, 40)], axis=1)
    for frame, (top, left) in zip(frames, corners.tolist(), strict=True):
        frame[top : top + 4, left : left + 2] = 142
    small = shrink(frames)
    assert (small.max(axis=(1, 2, 3)) == 142).all()
    # Four of at most 2.8 rows touch three at most, two of 2.25 columns two.
    assert ((small > 0).sum(axis=(1, 2, 3)) <= 3 * 2).all()


@settings(max_examples=30, deadline=None)
@given(
    bounds=st.tuples(
        st.integers(0, 140), st.integers(0, 90), st.integers(64, 210), st.integers(64, 160)
    ),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
)
def test_every_crop_is_as_the_definition_says(
    bounds: tuple[int, int, int, int], channels: int, seed: int
) -> None:
    top, left, rows, columns = bounds
    crop = (top, min(210, top + rows), left, min(160, left + columns))
    frames = np.random.default_rng(seed).integers(0, 256, (2, 210, 160, channels), np.uint8)
    kept = frames[:, crop[0] : crop[1], crop[2] : crop[3]]
    small = Framing(crop, "max").shrinking("x", 210, 160)(frames)
    np.testing.assert_array_equal(small, np.stack([brightest(image) for image in kept]))
    averaged = Framing(crop).shrinking("x", 210, 160)(frames)
    np.testing.assert_array_equal(averaged[1], resize_area(kept[1], SIZE, SIZE))


def test_the_pictures_are_not_written_to() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 70, 64, 1), np.uint8)
    before = frames.copy()
    Framing((), "max").shrinking("x", 70, 64)(frames)
    np.testing.assert_array_equal(frames, before)


def test_what_does_not_fit_a_picture_is_said() -> None:
    with pytest.raises(ConfigError, match=r"\[30, 211, 8, 152\].*210 rows.*\[0, 210, 0, 160\]"):
        Framing((30, 211, 8, 152)).shrinking("Breakout", 210, 160)
    with pytest.raises(ConfigError, match="63 rows and 80 columns; expected at least 64"):
        Framing((), "max").shrinking("tiny", 63, 80)


BAD_CROPS = ["[30, 210, 8]", "[210, 30, 8, 152]", "[0, 63, 0, 160]", "[0, 210, 90, 150]", "[-1]"]


@pytest.mark.parametrize("crop", BAD_CROPS)
def test_a_crop_that_is_none_is_refused_in_the_configuration(tmp_path: Path, crop: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"tasks: {{breakout: {{env: {{crop: {crop}}}}}}}\n")
    with pytest.raises(ConfigError, match=r"tasks\.breakout\.env\.crop.*expected"):
        load_config(path)


def test_a_crop_is_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "tasks: {breakout: {env: {crop: [30, 210, 8, 152], pooling: max}}, pong: {env: {crop: []}}}"
    )
    config = load_config(path)
    env = config.tasks[0].env
    assert (env.crop, env.pooling, env.frame_skip) == (PLAYFIELD, "max", 4)
    assert (config.tasks[1].env.crop, config.tasks[1].env.pooling) == ((), "area")
    path.write_text(dump(config))
    assert load_config(path) == config
    path.write_text("tasks: {breakout: {env: {pooling: maximum}}}")
    with pytest.raises(ConfigError, match="expected one of area, max"):
        load_config(path)
