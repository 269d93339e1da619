"""A collector that cuts idle episodes and is pushed: what it hands out is what really happened."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from curriculum.collecting.collector import Collector, Transition
from curriculum.collecting.disturbance import Disturbance
from curriculum.collecting.exploration import LastingNoise
from curriculum.collecting.lessons import LessonRules
from curriculum.collecting.shaping import Shaping
from curriculum.collecting.tape import Tape
from curriculum.envs.interface import Step
from curriculum.stops import Barrier, Guard
from models.controller_cpu import CPUController
from models.interfaces import State
from tests.curriculum.counting_env import CountingEnv

ENVS, IDLE = 4, 2


class Plain:
    """Features are what is observed: the seed of an episode, and its steps."""

    def __init__(self) -> None:
        self.taken: list[np.ndarray] = []

    def begin(self, slots: np.ndarray) -> None: ...

    def features(self, observations: np.ndarray, slots: np.ndarray) -> np.ndarray:
        return observations.astype(np.float32)

    def acted(self, actions: np.ndarray, slots: np.ndarray) -> None:
        self.taken.append(actions.copy())

    def state(self) -> State:
        return {}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None: ...


class Unpaid(CountingEnv):
    """Counting in which only action 2 is paid for."""

    def recv(self) -> Step:
        step = super().recv()
        return step._replace(rewards=np.where(step.rewards == 2, step.rewards, 0))


def played(disturbance: float, steps: int = 30) -> tuple[list[Transition], list[np.ndarray]]:
    """What a controller that always chooses 0 hands out, and the actions that M was told of."""
    env, eyes = Unpaid(ENVS), Plain()
    controller = CPUController(2, "discrete", 3)
    controller.set_parameters(np.array([0, 0, 0, 0, 0, 0, 99, 0, 0], np.float32))
    collector = Collector(
        env,
        Tape(env, lambda row, number: 4 + 5 * (row + ENVS * number), 1000),
        eyes,
        controller,
        LessonRules(),
        LastingNoise(0.0),
        shaping=Shaping(env.spec, ENVS, idle_steps=IDLE),
        disturbance=Disturbance(env.spec.action, ENVS, disturbance),
    )
    collector.begin()
    rng, guard = np.random.default_rng(0), Guard(Barrier(1e9), lambda: None)
    transitions = [collector.step(rng, guard) for _ in range(steps)]
    collector.close()
    return transitions, eyes.taken


def test_an_idle_episode_is_cut_and_the_next_one_begins() -> None:
    transitions, taken = played(0.0)
    assert not np.any(taken)
    for number, transition in enumerate(transitions):
        idle = number % IDLE == IDLE - 1
        assert transition.truncated.all() == idle and not transition.terminated.any()
        # Its value goes on from its own last observation, and C goes on in another episode.
        assert transition.cut_features[:, 1].tolist() == [IDLE] * ENVS * idle
        assert (transition.following[:, 1] == (0 if idle else 1)).all()
        assert transition.scores == (0.0,) * ENVS * idle
    seeds = [transition.features[:, 0].tolist() for transition in transitions[::IDLE]]
    assert len({tuple(row) for row in seeds}) == len(seeds), "each has a seed of its own"


def test_what_is_stored_is_what_was_done() -> None:
    transitions, taken = played(0.3)
    stored = np.stack([transition.actions for transition in transitions])
    np.testing.assert_array_equal(stored, np.stack(taken))
    assert 0 < np.mean(stored != 0) < 1
    for transition in transitions:
        np.testing.assert_array_equal(transition.rewards, np.where(transition.actions == 2, 2, 0))
    lengths = [float(t.cut_features[:, 1].max()) for t in transitions if t.cut.size]
    assert max(lengths) > IDLE, "who is paid meanwhile goes on"


@pytest.mark.parametrize("disturbance", [0.0, 0.3])
def test_it_is_the_same_each_time(disturbance: float) -> None:
    (one, _), (other, _) = played(disturbance), played(disturbance)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.actions, b.actions)
        np.testing.assert_array_equal(a.features, b.features)
