"""Sampled play of agents that learn values: the likeliest action, and now and then any other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curriculum.agent.agent import Agent, Player
from curriculum.backends import simulation
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import ActionSpec
from curriculum.tasks import builtin_tasks
from models.controller_cpu import CPUController

SLOTS = np.arange(4000)


class Plain:
    """C reads what is seen."""

    def begin(self, slots: np.ndarray) -> None: ...

    def features(self, observations: np.ndarray, slots: np.ndarray) -> np.ndarray:
        return observations

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None: ...


def chosen(epsilon: float, action: ActionSpec, seed: int | None = 3) -> np.ndarray:
    """What a controller that likes the last action does 4,000 times."""
    controller = CPUController(
        2, action.kind, action.size, (), action_low=action.low, action_high=action.high
    )
    parameters = controller.get_parameters()
    parameters[controller.num_parameters - 1] = 8.0
    controller.set_parameters(parameters)
    rng = None if seed is None else np.random.default_rng(seed)
    player = Player(Plain(), controller, rng, epsilon, action)
    return player.act(np.zeros((len(SLOTS), 2), np.float32), SLOTS)


@pytest.mark.parametrize("epsilon", [0.02, 0.5, 1.0])
def test_a_share_of_actions_is_drawn_from_all(epsilon: float) -> None:
    actions = chosen(epsilon, ActionSpec("discrete", 4))
    shares = np.bincount(actions, minlength=4) / len(actions)
    expected = np.array([0, 0, 0, 1.0 - epsilon]) + epsilon / 4
    np.testing.assert_allclose(shares, expected, atol=0.03)
    np.testing.assert_array_equal(actions, chosen(epsilon, ActionSpec("discrete", 4)))


def test_greedy_play_draws_nothing_and_no_epsilon_draws_from_the_policy() -> None:
    action = ActionSpec("discrete", 4)
    assert (chosen(0.5, action, None) == 3).all()
    # Of logits 0, 0, 0, 8 the others are drawn with a probability of 0.001.
    assert 0 < (chosen(0.0, action) != 3).sum() < 20


def test_continuous_actions_are_drawn_within_their_bounds() -> None:
    action = ActionSpec("continuous", 1, (-2.0,), (4.0,))
    actions = chosen(0.5, action)
    other = actions[actions != chosen(0.5, action, None)]
    assert 0.4 < len(other) / len(actions) < 0.6
    assert -2.0 <= other.min() < -1.5 and 3.5 < other.max() <= 4.0


def test_an_agent_takes_it_from_its_task() -> None:
    task: TaskConfig = builtin_tasks()[0]
    task = replace(task, evaluate=replace(task.evaluate, epsilon=0.25))
    backend = simulation.build({}, "cpu")
    spec = backend.make_env(task, 1, lambda text: None).spec
    assert Agent.build(backend, task, spec).epsilon == 0.25
