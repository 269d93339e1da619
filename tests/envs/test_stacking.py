"""Several frames in one observation: the last ones of the episode, whatever plays it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from curriculum.envs.contract import check_vector_env
from curriculum.envs.interface import VectorEnv
from curriculum.envs.registry import make_env
from curriculum.envs.simulation import make_simulation
from curriculum.errors import ConfigError

Make = Callable[[int, int], VectorEnv]


def simulated(num_envs: int, frames: int) -> VectorEnv:
    return make_simulation("breakout", num_envs, max_episode_steps=25, frame_stack=frames)


def driven(num_envs: int, frames: int) -> VectorEnv:
    actions = [[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]
    return make_simulation(
        "carracing", num_envs, grayscale=False, actions=actions, frame_stack=frames
    )


def emulated(num_envs: int, frames: int) -> VectorEnv:
    pytest.importorskip("ale_py")
    options = {"frame_skip": 4, "max_episode_steps": 25, "frame_stack": frames}
    return make_env("BreakoutNoFrameskip-v4", "pixels", num_envs, **options)


MAKERS = pytest.mark.parametrize(
    "make", [simulated, driven, pytest.param(emulated, marks=pytest.mark.gym)]
)


@MAKERS
def test_the_contract_of_environments_holds(make: Make) -> None:
    assert check_vector_env(lambda num_envs: make(num_envs, 2)) == []


@MAKERS
@pytest.mark.parametrize("frames", [2, 3])
def test_an_observation_is_the_last_frames_of_its_episode(make: Make, frames: int) -> None:
    """Beside the same environments without: ends, parked rows, resets with and without seeds."""
    plain, several = make(3, 1), make(3, frames)
    channels = plain.spec.shape[-1]
    assert several.spec.shape == (64, 64, frames * channels) and several.spec.frames == frames
    rng, ended = np.random.default_rng(0), 0
    past = [[frame] * frames for frame in plain.reset([5, 6, 7])]
    live = np.ones(3, np.bool_)

    def begun(seeds: list[int] | None, row: int) -> None:
        frame = plain.reset(seeds, [row])[row]
        past[row], live[row] = [frame] * frames, True
        np.testing.assert_array_equal(several.reset(seeds, [row]), expected())

    def expected() -> np.ndarray:
        return np.stack([np.concatenate(seen, axis=-1) for seen in past])

    np.testing.assert_array_equal(several.reset([5, 6, 7]), expected())
    for number in range(80):
        actions = np.stack([plain.spec.action.sample(rng) for _ in range(3)])
        one, other = plain.step(actions), several.step(actions)
        for row in np.flatnonzero(live).tolist():
            past[row] = [*past[row][1:], one.observations[row]]
        np.testing.assert_array_equal(other.rewards, one.rewards)
        np.testing.assert_array_equal(other.observations, expected())
        over = np.flatnonzero(one.terminated | one.truncated).tolist()
        live[over] = False
        ended += len(over)
        # Some stay parked for a while.
        for row in over if number % 4 else []:
            begun(None, row)
        if number % 20 == 19:
            begun([number], 1)
    assert ended or make is driven


def test_what_a_step_showed_stays_as_it_was() -> None:
    env = simulated(2, 2)
    shown = [env.reset([1, 2])]
    for _ in range(3):
        shown.append(env.step(np.zeros(2, np.int64)).observations)
    shown.append(env.reset([3], [0]))
    copies = [seen.copy() for seen in shown]
    env.step(np.ones(2, np.int64))
    env.reset([4], [1])
    for seen, copy in zip(shown, copies, strict=True):
        np.testing.assert_array_equal(seen, copy)


def test_frames_of_a_state_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"frame_stack was 2, but .* shows a state"):
        make_simulation("pong", 1, "state", frame_stack=2)
