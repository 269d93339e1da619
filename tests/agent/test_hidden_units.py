"""What a task says of its C's hidden units holds wherever that C is built: alone, in a search."""

from __future__ import annotations

import numpy as np
import pytest

from curriculum.agent.work import (
    EpisodesUnit,
    FitnessUnit,
    Workbench,
    WorkSpec,
    measure_fitness,
    play_episodes,
)
from curriculum.backends import parts
from curriculum.config.schema import ControllerConfig, EnvConfig, TaskConfig
from curriculum.records.agent_state import PARAMETERS
from models.settings.units import ACTIVATIONS, USUAL, Units

pytestmark = pytest.mark.gym

SEEDS = (3, 4, 5, 6)
UNITS = [Units(name, norm) for name in ACTIVATIONS for norm in (False, True)]


def workbench(mode: str, kind: str, units: Units) -> Workbench:
    controller = ControllerConfig(
        type=kind, hidden_sizes=(6, 5), features=("z",), solver="cma", units=units
    )
    env = EnvConfig(num_envs=2, max_episode_steps=200)
    task = TaskConfig(
        name="pole", env_id="CartPole-v1", observation="state", env=env, controller=controller
    )
    states = {} if mode == "GYM_ONLY" else {"torch": "ok"}
    return Workbench(WorkSpec(task, mode, states))


def parameters(bench: Workbench) -> np.ndarray:
    size = bench.agent.controller.num_parameters
    return np.random.default_rng(2).normal(size=size).astype(np.float32)


@pytest.mark.parametrize("units", UNITS, ids=repr)
@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("GYM_ONLY", "cpu"),
        pytest.param("FULL", "original", marks=pytest.mark.torch),
    ],
)
def test_a_candidate_of_a_search_plays_as_the_agent_does(
    mode: str, kind: str, units: Units
) -> None:
    if mode == "FULL":
        pytest.importorskip("torch")
    bench = workbench(mode, kind, units)
    flat = parameters(bench)
    fitness = measure_fitness(bench, FitnessUnit(flat[None], SEEDS, 0, dream=False))
    played = play_episodes(bench, EpisodesUnit({PARAMETERS: flat}, SEEDS))
    bench.close()
    assert fitness.scores[0].tolist() == [episode.score for episode in played]


def test_other_units_are_another_function_of_the_same_parameters() -> None:
    features = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    actions = []
    for units in UNITS:
        bench = workbench("GYM_ONLY", "cpu", units)
        task, action = bench.spec.task, bench.agent.spec.action
        one = parts.numpy_controller(task, action, 4)
        one.set_parameters(parameters(bench))
        actions.append(one.act(features).tobytes())
        assert parts.policy_shape(task, action, 4).units == units
        bench.close()
    assert len(set(actions)) == len(UNITS)
    assert UNITS[0] == USUAL
