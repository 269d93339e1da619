"""Seeds, parking and limits of the simulated environments, and what they look like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum.envs.interface import EnvSpec, VectorEnv
from curriculum.envs.simulation import SIMULATIONS, make_simulation
from curriculum.envs.simulation.game import Streams

NAMES = tuple(SIMULATIONS)


def actions_of(spec: EnvSpec, seed: int, steps: int) -> np.ndarray:
    """Actions of one episode, each held for three steps so that something happens."""
    rng = np.random.default_rng(seed)
    drawn = np.stack([spec.action.sample(rng) for _ in range(steps // 3 + 1)])
    return np.repeat(drawn, 3, axis=0)[:steps]


def play(env: VectorEnv, seeds: list[int], steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations `[T+1, N, ...]`, rewards `[T, N]` and ends `[T, N]` of scripted actions."""
    observations, rewards, ends = [env.reset(seeds)], [], []
    script = np.stack([actions_of(env.spec, seed, steps) for seed in seeds], axis=1)
    for actions in script:
        step = env.step(actions)
        observations.append(step.observations)
        rewards.append(step.rewards)
        ends.append(step.terminated | step.truncated)
    return np.stack(observations), np.stack(rewards), np.stack(ends)


@pytest.mark.parametrize("observation", ["pixels", "state"])
@pytest.mark.parametrize("name", NAMES)
def test_episode_depends_on_its_seed_and_actions_alone(name: str, observation: str) -> None:
    steps = 90
    together = make_simulation(name, 5, observation)
    first = play(together, [3, 1, 4, 1, 5], steps)
    again = play(together, [3, 1, 4, 1, 5], steps)
    alone = play(make_simulation(name, 1, observation), [4], steps)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(first, alone, strict=True):
        np.testing.assert_array_equal(one[:, 2:3], other)
    np.testing.assert_array_equal(first[0][:, 1], first[0][:, 3])
    assert (first[0][:, 0] != first[0][:, 2]).any()


@pytest.mark.parametrize("name", NAMES)
def test_restarting_some_leaves_the_others_alone(name: str) -> None:
    env, undisturbed = make_simulation(name, 3), make_simulation(name, 3)
    play(env, [7, 8, 9], 20)
    play(undisturbed, [7, 8, 9], 20)
    before = env.reset([11, 10], indices=[2, 0])
    copy = before.copy()
    fresh = make_simulation(name, 3)
    np.testing.assert_array_equal(before[[0, 2]], fresh.reset([10, 0, 11])[[0, 2]])
    actions = actions_of(env.spec, 1, 3)
    after, restarted, kept = (e.step(actions).observations for e in (env, fresh, undisturbed))
    np.testing.assert_array_equal(after[[0, 2]], restarted[[0, 2]])
    np.testing.assert_array_equal(after[1], kept[1])
    np.testing.assert_array_equal(before, copy)


@pytest.mark.parametrize("name", NAMES)
def test_an_ended_episode_is_parked(name: str) -> None:
    env = make_simulation(name, 2, max_episode_steps=2)
    env.reset([0, 1])
    actions = actions_of(env.spec, 0, 2)
    assert not env.step(actions).truncated.any()
    last = env.step(actions)
    assert last.truncated.all()
    assert not last.terminated.any()
    parked = env.step(actions)
    np.testing.assert_array_equal(parked.observations, last.observations)
    assert not parked.rewards.any()
    assert not (parked.terminated | parked.truncated).any()


@pytest.mark.parametrize("name", NAMES)
def test_all_is_parked_before_the_first_reset(name: str) -> None:
    env = make_simulation(name, 2)
    step = env.step(actions_of(env.spec, 0, 2))
    assert step.observations.shape == (2, *env.spec.shape)
    assert not step.rewards.any()


@pytest.mark.parametrize("name", ["pong", "breakout", "carracing"])
def test_what_is_seen_does_not_change_what_happens(name: str) -> None:
    runs = [
        play(make_simulation(name, 3, observation, grayscale), [1, 2, 3], 60)
        for observation, grayscale in (("pixels", True), ("pixels", False), ("state", True))
    ]
    for _, rewards, ends in runs[1:]:
        np.testing.assert_array_equal(rewards, runs[0][1])
        np.testing.assert_array_equal(ends, runs[0][2])


@pytest.mark.parametrize(
    ("name", "size"), [("pong", 6), ("lunarlander", 4), ("breakout", 4), ("carracing", 3)]
)
def test_spaces_are_those_of_the_real_tasks(name: str, size: int) -> None:
    spec = make_simulation(name, 1, grayscale=name != "carracing").spec
    shapes = {"lunarlander": (8,), "carracing": (64, 64, 3)}
    assert spec.env_id == f"simulation/{name}"
    assert spec.shape == shapes.get(name, (64, 64, 1))
    assert spec.action.size == size
    assert spec.frames_per_step == (1 if name == "lunarlander" else 4)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"name": "tetris", "num_envs": 1}, "tetris"),
        ({"name": "pong", "num_envs": 0}, "at least 1"),
        ({"name": "pong", "num_envs": 1, "observation": "ram"}, "ram"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make_simulation(**arguments)


def test_wrong_actions_and_indices_are_refused() -> None:
    pong, car = make_simulation("pong", 2), make_simulation("carracing", 2)
    with pytest.raises(ValueError, match=r"0\.\.5"):
        pong.step(np.array([0, 6]))
    with pytest.raises(ValueError, match="actions must be"):
        pong.step(np.array([0]))
    with pytest.raises(ValueError, match="finite"):
        car.step(np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match=r"0\.\.1"):
        pong.reset([0], indices=[2])
    with pytest.raises(ValueError, match="one seed per"):
        pong.reset([0, 1], indices=[1, 1])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sets(st.integers(0, 2), min_size=1), st.integers(1, 4)), max_size=30))
def test_a_stream_does_not_notice_the_others(turns: list[tuple[set[int], int]]) -> None:
    shared, alone = Streams(3, block=5), Streams(1, block=5)
    for row in range(3):
        shared.seed(row, row)
    alone.seed(0, 1)
    for chosen, count in turns:
        rows = np.array(sorted(chosen))
        drawn = shared.draw(rows, count)
        if 1 in chosen:
            expected = alone.draw(np.array([0]), count)[:, 0]
            np.testing.assert_array_equal(drawn[:, rows.tolist().index(1)], expected)
