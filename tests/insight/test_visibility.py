"""The ball's contrast, in pictures whose ball was painted by hand, and in Breakout's views."""

from __future__ import annotations

import numpy as np
import pytest

from curriculum.envs.framing import PLAIN, Framing
from curriculum.insight.ground_truth import Truth, bricks, on_frame, play_with_truth
from curriculum.insight.visibility import ball_contrast

PLAYFIELD = (30, 210, 8, 152)


def painted(brightness: int, rows: int = 60, background: int = 40) -> Truth:
    """A ball of two pixels that moves by two columns a frame over a striped picture."""
    frames = np.full((rows, 64, 64, 1), background, np.uint8)
    frames[:, ::3] = 90
    x = 2.0 + 2.0 * (np.arange(rows) % 30)
    for frame, column in zip(frames, x.astype(int).tolist(), strict=True):
        frame[31:33, column] = background + brightness
    here = np.ones(rows, np.bool_)
    return Truth(
        frames,
        frames,
        np.zeros(rows, np.int64),
        np.repeat([0, 1], rows // 2),
        {"ball_x": x.astype(np.float32), "ball_y": np.full(rows, 31.5, np.float32)},
        {"ball_x": here, "ball_y": here},
        np.zeros((rows, 128), np.uint8),
    )


def test_a_painted_ball_is_measured() -> None:
    found = ball_contrast(painted(100))
    # Four frames at each end of two episodes have too few around them.
    assert found == {
        "brightest": 100.0,
        "faintest": 100.0,
        "pixels": 2.0,
        "unseen": 0.0,
        "frames": 60.0 - 16.0,
    }


def test_what_is_as_dark_as_its_background_is_not_seen() -> None:
    found = ball_contrast(painted(0))
    assert (found["brightest"], found["pixels"], found["unseen"]) == (0.0, 0.0, 1.0)
    assert ball_contrast(painted(100, rows=36)) != {}
    assert ball_contrast(painted(100, rows=34)) == {}, "too few frames"
    truth = painted(100)
    del truth.positions["ball_x"]
    assert ball_contrast(truth) == {}, "a game without a ball"


def test_positions_follow_the_crop() -> None:
    framing = Framing(PLAYFIELD, "max")
    # The middles of the first and the last pixel that are kept.
    edges = on_frame(np.array([30.0, 209.0]), "y", framing)
    np.testing.assert_allclose(edges, [0.5 * 64 / 180 - 0.5, 179.5 * 64 / 180 - 0.5], atol=1e-5)
    assert on_frame(np.array([80.0]), "x", framing)[0] == pytest.approx(72.5 * 64 / 144 - 0.5)
    assert on_frame(np.array([79.5]), "x", PLAIN)[0] == pytest.approx(31.5)


@pytest.mark.gym
def test_the_maximum_shows_breakouts_ball_as_bright_as_it_is() -> None:
    pytest.importorskip("ale_py")
    usual, brightest = (
        play_with_truth("breakout", 500, 3, keep=0.8, framing=framing)
        for framing in (PLAIN, Framing(PLAYFIELD, "max"))
    )
    np.testing.assert_array_equal(usual.rams, brightest.rams)
    before, after = ball_contrast(usual), ball_contrast(brightest)
    # The ball's grey is 110, on black.
    assert after["faintest"] == 110.0 and after["unseen"] < 0.01
    assert before["faintest"] < 80.0 and before["brightest"] < 90.0
    below = brightest.visible["ball_y"] & (brightest.rams[:, 101] > 90)
    for row in np.flatnonzero(below).tolist():
        y, x = (round(float(brightest.positions[name][row])) for name in ("ball_y", "ball_x"))
        around = brightest.frames[row, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        assert around.max() >= 110, f"row {row}"


@pytest.mark.gym
def test_bricks_are_where_the_picture_shows_them() -> None:
    import ale_py
    from ale_py import roms

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", 1)
    ale.loadROM(str(roms.get_rom_path("breakout")))
    actions = ale.getMinimalActionSet()
    fell = 0
    for frame in range(2500):
        ram = ale.getRAM().astype(int)
        off = (ram[99] - 48.5) - (ram[72] - 39.5)
        ale.act(actions[1 if not ram[101] else 2 if off > 3 else 3 if off < -3 else 0])
        if frame % 50:
            continue
        rams = ale.getRAM()[None]
        shown = ale.getScreen()[60:93:6, 12:152:8] != 0
        stand = bricks(rams)[0]
        assert stand.shape == (6, 18)
        # The ball may be drawn over one place where no brick is left.
        assert (shown | ~stand).all() and (shown & ~stand).sum() <= 1
        fell = max(fell, int((~stand).sum()))
    assert fell > 5
