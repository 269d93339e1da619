"""CarRacing: the track is what is seen, and unseen frames are not drawn."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from curriculum.envs.area import resize_area
from curriculum.envs.car_racing import TRACK_ROWS, hold_drawing_last
from curriculum.envs.gym import hold
from curriculum.envs.registry import make_env

# Box2D's module warns of itself as it loads, and crashes where that is made an error.
pytestmark = [
    pytest.mark.gym,
    pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning"),
]


def raw(**kwargs: Any) -> gymnasium.Env:
    env = gymnasium.make("CarRacing-v3", disable_env_checker=True, **kwargs)
    env.reset(seed=5)
    return env


@pytest.mark.parametrize("domain_randomize", [False, True])
def test_skipped_drawing_changes_no_bit(domain_randomize: bool) -> None:
    drawn, skipped = (raw(domain_randomize=domain_randomize) for _ in range(2))
    rng = np.random.default_rng(0)
    for frames in (1, 2, 3, 4, 3):
        action = rng.uniform([-1, 0.5, 0], [1, 1, 0.2]).astype(np.float32)
        expected, found = (hold(drawn, action, frames), hold_drawing_last(skipped, action, frames))
        np.testing.assert_array_equal(found[0], expected[0])
        assert found[1:] == expected[1:]
    drawn.close()
    skipped.close()


def test_an_episode_that_ends_inside_a_hold_still_shows_its_last_frame() -> None:
    drawn, skipped = raw(), raw()
    for env in (drawn, skipped):
        env.unwrapped.car.hull.position = (400.0, 0.0)
    action = np.zeros(3, np.float32)
    expected, found = hold(drawn, action, 4), hold_drawing_last(skipped, action, 4)
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1:] == expected[1:] == (-100.0, True, False)
    drawn.close()
    skipped.close()


def test_the_instruments_are_cut_off_and_frames_are_counted() -> None:
    env = make_env("CarRacing-v2", "pixels", 1, frame_skip=4, grayscale=False)
    seen = env.reset([5])
    native = gymnasium.make("CarRacing-v3", disable_env_checker=True)
    frame, _ = native.reset(seed=5)
    np.testing.assert_array_equal(seen[0], resize_area(frame[:TRACK_ROWS], 64, 64))
    action = np.array([[0.1, 0.8, 0.0]], np.float32)
    step = env.step(action)
    frame, reward, *_ = hold(native, action[0], 4)
    np.testing.assert_array_equal(step.observations[0], resize_area(frame[:TRACK_ROWS], 64, 64))
    assert step.rewards[0] == np.float32(reward)
    assert env.spec.max_episode_steps == 250
    assert env.spec.action.low == (-1.0, 0.0, 0.0)
    env.close()
    native.close()


def test_colours_of_the_world_can_be_random() -> None:
    options = {"domain_randomize": True}
    env = make_env("CarRacing-v3", "pixels", 2, grayscale=False, kwargs=options)
    usual = []
    for frame in env.reset([1, 2]):
        colours, counts = np.unique(frame.reshape(-1, 3), axis=0, return_counts=True)
        counts[(colours == 0).all(axis=1)] = 0  # beyond the end of the world
        usual.append(colours[counts.argmax()].tolist())
    assert usual[0] != usual[1]
    env.close()
