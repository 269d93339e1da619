"""Atari games beside Gymnasium's own preprocessing: the same actions give the same games.

Frames are equal to the last bit: both take the maximum of the last two frames of four in the
emulator's own grey, and both let OpenCV average areas. What is replayed on the reference by hand is
what Gymnasium has no wrapper for: FIRE for one frame at a reset, and instead of the action that
follows a lost life, as Stable-Baselines3's wrappers press it. Not compared is the frame at which a
limit cuts an episode inside a step: there the reference returns the frame of the step before.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from curriculum.envs.atari import AtariGames
from curriculum.envs.batch import Batch
from curriculum.envs.registry import make_env

pytest.importorskip("cv2")
pytestmark = [pytest.mark.gym, pytest.mark.slow]
FIRE = 1


class Reference:
    """A game through `gymnasium.make` and `AtariPreprocessing`."""

    def __init__(self, env_id: str, grayscale: bool, max_frames: int) -> None:
        import ale_py

        gymnasium.register_envs(ale_py)
        self._game = gymnasium.make(env_id, max_num_frames_per_episode=max_frames)
        self._ale: Any = self._game.unwrapped.ale  # pyright: ignore[reportAttributeAccessIssue]
        self._env = gymnasium.wrappers.AtariPreprocessing(
            self._game, noop_max=0, frame_skip=4, screen_size=64, grayscale_obs=grayscale
        )
        self._lives = 0

    def reset(self) -> None:
        self._env.reset(seed=0)
        self._ale.act(FIRE)
        self._lives = self._ale.lives()

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, bool]:
        frame, reward, terminated, truncated, _ = self._env.step(action)
        lost = self._ale.lives() < self._lives and not terminated
        self._lives = self._ale.lives()
        return np.asarray(frame), float(reward), bool(terminated), bool(truncated), lost

    def close(self) -> None:
        self._env.close()


@pytest.mark.parametrize(
    ("env_id", "grayscale", "max_steps"),
    [
        ("PongNoFrameskip-v4", True, 0),
        ("BreakoutNoFrameskip-v4", True, 0),
        ("BreakoutNoFrameskip-v4", False, 0),
        ("BreakoutNoFrameskip-v4", True, 130),
    ],
)
def test_whole_games_equal_the_reference(env_id: str, grayscale: bool, max_steps: int) -> None:
    ours = make_env(
        env_id,
        "pixels",
        1,
        frame_skip=4,
        noop_max=0,
        grayscale=grayscale,
        max_episode_steps=max_steps,
    )
    theirs = Reference(env_id, grayscale, max_steps * 4 or 108_000)
    ours.reset([0])
    theirs.reset()
    rng = np.random.default_rng(7)
    games = rewarded = lives = 0
    for _ in range(1100):
        taken = ours.send(rng.integers(0, ours.spec.action.size, 1))
        step = ours.recv()
        frame, reward, terminated, truncated, lost = theirs.step(int(taken[0]))
        if not truncated:
            np.testing.assert_array_equal(step.observations[0].reshape(frame.shape), frame)
        found = (step.rewards[0], step.terminated[0], step.truncated[0], step.life_lost[0])
        assert found == (reward, terminated, truncated, lost)
        rewarded += reward != 0
        lives += lost
        if terminated or truncated:
            games += 1
            ours.reset(None, [0])
            theirs.reset()
    ours.close()
    theirs.close()
    assert games and rewarded and lives == 0 if "Pong" in env_id else lives > 3


def test_fire_is_taken_after_a_lost_life_and_told() -> None:
    env = make_env("BreakoutNoFrameskip-v4", "pixels", 2, frame_skip=4)
    env.reset([1, 2])
    idle, before = np.zeros(2, np.int64), np.zeros(2, np.bool_)
    pressed = 0
    for _ in range(300):
        taken = env.send(idle)
        np.testing.assert_array_equal(taken, np.where(before, FIRE, 0))
        pressed += int(before.sum())
        step = env.recv()
        before = step.life_lost
        if (over := np.flatnonzero(step.terminated)).size:
            env.reset(None, over.tolist())
    env.close()
    assert pressed > 8


def test_going_on_is_free_and_the_same_as_a_seedless_reset_of_the_emulator() -> None:
    """One batch goes on in the step that ends a game, one is kept waiting by its caller."""
    prompt, late = (
        make_env("BreakoutNoFrameskip-v4", "pixels", 1, frame_skip=4, noop_max=0) for _ in range(2)
    )
    assert isinstance(prompt, Batch) and isinstance(prompt.core, AtariGames)
    actions = np.random.default_rng(3).integers(0, 4, (400, 1))
    seen = []
    for env in (prompt, late):
        env.reset([9])
        begun = None
        for action in actions:
            step = env.step(action)
            if step.terminated[0] and begun is None:
                if env is late:
                    env.step(action)
                begun = env.reset(None, [0])[0]
                break
        assert begun is not None
        seen.append(begun)
        env.close()
    np.testing.assert_array_equal(*seen)


def test_an_emulator_that_was_never_seeded_does_not_go_on() -> None:
    env = make_env("PongNoFrameskip-v4", "pixels", 2, frame_skip=4)
    with pytest.raises(ValueError, match="seed"):
        env.reset(None)
    env.close()


def test_threads_follow_the_usual_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    from curriculum.envs import atari

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert atari._default_threads() == 3
    for nonsense in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", nonsense)
        assert atari._default_threads() >= 1
