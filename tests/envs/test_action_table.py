"""A table of actions: C chooses a place, the environment gets the vector that stands there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from curriculum.envs.action_table import Table, table_for
from curriculum.envs.contract import check_vector_env
from curriculum.envs.interface import ActionSpec, EnvSpec, VectorEnv
from curriculum.envs.registry import make_env
from curriculum.envs.simulation import make_simulation
from curriculum.errors import ConfigError

PENDULUM: Table = ((-2.0,), (0.0,), (1.5,))
LANDER: Table = ((0.0, 0.0), (1.0, 0.0), (0.5, -0.7), (0.5, 0.7))
DRIVER: Table = ((0.0, 1.0, 0.0), (-0.6, 0.2, 0.0), (0.6, 0.2, 0.0), (0.0, 0.0, 0.8))

GYM = pytest.mark.gym
RACING = [GYM, pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")]


def spec(low: Sequence[float] = (-1.0, 0.1), high: Sequence[float] = (1.0, 0.7)) -> EnvSpec:
    action = ActionSpec("continuous", len(low), tuple(low), tuple(high))
    return EnvSpec("Box-v0", "state", (1,), action)


def test_a_table_is_given_to_the_environment_as_it_stands() -> None:
    table = table_for(spec(), [[0, 0.1], [-1, 0.7]])
    assert table.dtype == np.float32
    np.testing.assert_allclose(table, [[0, 0.1], [-1, 0.7]])
    low, high = spec().action.bounds
    assert (table >= low).all() and (table <= high).all(), "rounded inwards, as all actions are"


@pytest.mark.parametrize(
    ("actions", "text"),
    [
        ([[0, 0.5, 1], [1, 0.5, 1]], "vectors of 3 numbers, expected 2 in each, as Box-v0 takes"),
        ([[0, 0.5], [1]], "vectors of 1 and 2 numbers"),
        ([[0, 0.5], [1.1, 0.5]], r"given \[1.1\d*, 0.5\], expected numbers from \[-1.0"),
        ([[0, 0.5], [0, np.nan]], "given .*nan"),
        ([[0, 0.5]], "given 1 vectors, expected at least two"),
        ([[0, 0.5], [1, 0.5], [0, 0.5]], "none of them twice"),
    ],
)
@pytest.mark.faults("env.actions does not fit the environment", expect="a sentence, exit code 2")
def test_a_table_that_does_not_fit_is_refused(actions: Table, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        table_for(spec(), actions)


def test_a_table_is_of_continuous_actions() -> None:
    discrete = EnvSpec("Buttons-v0", "state", (1,), ActionSpec("discrete", 4))
    with pytest.raises(ConfigError, match="Buttons-v0 has 4 discrete actions, expected"):
        table_for(discrete, [[0], [1]])


@GYM
@pytest.mark.parametrize("env_id", ["CartPole-v1", "PongNoFrameskip-v4"])
def test_environments_of_buttons_take_no_table(env_id: str) -> None:
    observation = "state" if env_id == "CartPole-v1" else "pixels"
    with pytest.raises(ConfigError, match="discrete actions"):
        make_env(env_id, observation, 1, actions=PENDULUM)


def alike(places: VectorEnv, vectors: VectorEnv, table: Table, steps: int = 25) -> None:
    """Requires that places in a table do what its vectors do, and closes both."""
    array, rng = np.asarray(table, np.float32), np.random.default_rng(3)
    action = places.spec.action
    assert (action.kind, action.size) == ("discrete", len(table))
    np.testing.assert_array_equal(np.asarray(action.meanings, np.float32), array)
    seeds = list(range(places.num_envs))
    np.testing.assert_array_equal(places.reset(seeds), vectors.reset(seeds))
    for _ in range(steps):
        chosen = rng.integers(len(table), size=places.num_envs)
        taken = places.send(chosen)
        assert taken.dtype == np.int64 and (taken == chosen).all(), "M reads places, one-hot"
        step, expected = places.recv(), vectors.step(array[chosen])
        for found, wanted in zip(step, expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    places.close()
    vectors.close()


@pytest.mark.parametrize(
    ("env_id", "observation", "table", "options"),
    [
        pytest.param("Pendulum-v1", "state", PENDULUM, {}, marks=GYM),
        pytest.param("LunarLander-v3", "state", LANDER, {"continuous": True}, marks=GYM),
        pytest.param("CarRacing-v3", "pixels", DRIVER, {"frame_skip": 4}, marks=RACING),
    ],
)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_place_does_what_its_vector_does(
    env_id: str, observation: str, table: Table, options: dict[str, Any], workers: int
) -> None:
    places = make_env(env_id, observation, 2, workers=workers, actions=table, **options)
    alike(places, make_env(env_id, observation, 2, **options), table)


@pytest.mark.parametrize(("name", "table"), [("carracing", DRIVER), ("lunarlander", LANDER)])
def test_simulations_take_a_table_too(name: str, table: Table) -> None:
    places = make_simulation(name, 3, observation="state", continuous=True, actions=table)
    alike(places, make_simulation(name, 3, observation="state", continuous=True), table)


def test_a_tabled_environment_keeps_the_contract() -> None:
    def make(num_envs: int) -> VectorEnv:
        return make_simulation("carracing", num_envs, observation="state", actions=DRIVER)

    assert check_vector_env(make) == []
