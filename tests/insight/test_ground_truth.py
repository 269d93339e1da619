"""Positions from RAM: the frames are the batch's, and things are where the RAM says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curriculum.envs.registry import make_env
from curriculum.errors import ConfigError
from curriculum.insight.ground_truth import COORDINATES, Coordinate, on_frame, play_with_truth

pytestmark = pytest.mark.gym


class Waiting:
    """Always does one thing, and remembers what it was told."""

    def __init__(self, action: int) -> None:
        self.action, self.begun, self.taken = action, [], []

    def begin(self, slots: np.ndarray, episodes: np.ndarray) -> None:
        self.begun += episodes.tolist()

    def act(self, observations: np.ndarray, slots: np.ndarray) -> np.ndarray:
        assert observations.shape == (1, 64, 64, 1)
        return np.array([self.action])

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        self.taken += actions.tolist()


@pytest.mark.parametrize(
    ("rom", "maxpool"), [("Pong", True), ("Breakout", True), ("Breakout", False)]
)
def test_frames_and_actions_are_those_of_the_batch(rom: str, maxpool: bool) -> None:
    env_id, rows = f"{rom}NoFrameskip-v4", 1100
    truth = play_with_truth(env_id, rows, seed=5, noop_max=0, maxpool=maxpool)
    env = make_env(env_id, "pixels", 1, frame_skip=4, noop_max=0, maxpool=maxpool)
    seen, before, over = env.reset([5]), None, False
    for row in range(rows):
        np.testing.assert_array_equal(truth.frames[row], seen[0].reshape(64, 64, 1))
        previous = truth.frames[row] if before is None else before
        np.testing.assert_array_equal(truth.previous[row], previous)
        before = truth.frames[row]
        if row + 1 < rows:
            assert over == (truth.episodes[row + 1] > truth.episodes[row])
        if over:
            seen, before, over = env.reset(None, [0]), None, False
            continue
        taken = env.send(truth.actions[row : row + 1])
        np.testing.assert_array_equal(taken, truth.actions[row : row + 1])
        step = env.recv()
        seen, over = step.observations, bool(step.terminated[0])
    env.close()
    assert truth.episodes[-1] >= 1


# The palette's colour of each thing and the rows and columns of the screen where nothing else has
# it, then the number of pixels of the whole thing.
LOOKS = {
    ("pong", "ball_x"): (14, slice(34, 194), slice(0, 160), 8),
    ("pong", "ball_y"): (14, slice(34, 194), slice(0, 160), 8),
    ("pong", "player_y"): (200, slice(34, 194), slice(140, 144), 64),
    ("pong", "enemy_y"): (56, slice(34, 194), slice(16, 20), 64),
    ("breakout", "ball_x"): (70, slice(93, 189), slice(8, 152), 8),
    ("breakout", "ball_y"): (70, slice(93, 189), slice(8, 152), 8),
    ("breakout", "player_x"): (70, slice(189, 193), slice(8, 152), 64),
}


def played(rom: str, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Screens in palette colours `[n, 210, 160]` and RAM `[n, 128]` of single emulator frames."""
    import ale_py
    from ale_py import roms

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", 3)
    ale.setFloat("repeat_action_probability", 0.0)
    ale.loadROM(Path(str(roms.get_rom_path(rom))))
    actions, rng = ale.getMinimalActionSet(), np.random.default_rng(1)
    screens, rams = [], []
    action = actions[1]
    for frame in range(frames):
        if frame % 6 == 0:
            action = actions[rng.integers(len(actions))]
        if ale.game_over():
            ale.reset_game()
        ale.act(action)
        screens.append(ale.getScreen())
        rams.append(ale.getRAM())
    return np.stack(screens), np.stack(rams)


@pytest.mark.parametrize("rom", COORDINATES)
def test_things_are_drawn_where_the_ram_says(rom: str) -> None:
    screens, rams = played(rom, 2500)
    for name, place in COORDINATES[rom].items():
        colour, rows, columns, whole = LOOKS[rom, name]
        drawn = screens[:, rows, columns] == colour
        count = drawn.sum(axis=(1, 2))
        along = drawn.sum(axis=1 if place.axis == "x" else 2)
        first = (columns if place.axis == "x" else rows).start
        centre = (along * np.arange(along.shape[1])).sum(1) / np.maximum(count, 1) + first
        entire, byte = count == whole, rams[:, place.address].astype(float)
        slope, intercept = np.polyfit(byte[entire], centre[entire], 1)
        assert abs(slope - 1.0) < 0.01, name
        assert abs((slope - 1.0) * byte[entire].mean() + intercept - place.offset) < 0.3, name
        assert np.abs(byte[entire] + place.offset - centre[entire]).max() <= 1.0, name
        assert_visibility(name, place, rams, count, entire)


def assert_visibility(
    name: str, place: Coordinate, rams: np.ndarray, count: np.ndarray, entire: np.ndarray
) -> None:
    byte = rams[:, place.seen_at]
    visible = (byte >= place.seen_from) & (byte <= place.seen_to)
    assert entire.sum() > 500 and visible[entire].all(), name
    assert (count[visible] > 0).mean() > 0.99, name


def test_positions_are_those_of_the_small_frame() -> None:
    truth = play_with_truth("PongNoFrameskip-v4", 600, seed=2, keep=0.8)
    np.testing.assert_allclose(on_frame(np.array([0.0, 159.0]), "x"), [-0.3, 63.3], atol=1e-6)
    seen = truth.visible["enemy_y"]
    paddle = truth.frames[seen][:, 11:59, 6:8, 0].astype(float)
    paddle = np.abs(paddle - np.median(paddle)).sum(axis=2)
    top = 11 + (paddle * np.arange(48)).sum(axis=1) / np.maximum(paddle.sum(axis=1), 1)
    inside = (truth.positions["enemy_y"][seen] > 15) & (truth.positions["enemy_y"][seen] < 54)
    assert inside.sum() > 100
    off = np.abs(top - truth.positions["enemy_y"][seen])[inside]
    assert np.median(off) < 0.7 and np.quantile(off, 0.9) < 1.5


def test_a_policy_is_told_of_episodes_and_of_what_was_really_done() -> None:
    waiting = Waiting(0)
    truth = play_with_truth("breakout", 300, 1, waiting, noop_max=3)
    assert waiting.begun == list(range(int(truth.episodes[-1]) + 1)) and len(waiting.begun) > 1
    final = np.append(np.diff(truth.episodes) > 0, True)
    assert truth.actions[~final].tolist() == waiting.taken
    assert set(waiting.taken) == {0, 1}, "FIRE was pressed after lost lives"
    assert not truth.actions[final].any()


def test_equal_seeds_give_equal_games_and_limits_cut_them() -> None:
    one, two, other = (
        play_with_truth("pong", 60, seed, max_episode_steps=20) for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(one.frames, two.frames)
    assert not np.array_equal(one.actions, other.actions)
    np.testing.assert_array_equal(np.bincount(one.episodes), [21, 21, 18])


def test_unknown_games_are_named() -> None:
    with pytest.raises(ConfigError, match="Seaquest"):
        play_with_truth("SeaquestNoFrameskip-v4", 10, 0)
    with pytest.raises(ValueError, match="frame_skip 1"):
        play_with_truth("pong", 10, 0, frame_skip=1)
