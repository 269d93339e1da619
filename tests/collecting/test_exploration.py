"""Noise that lasts: what a single step sees of it, and how long it stays."""

from __future__ import annotations

import numpy as np
import pytest

from curriculum.collecting.exploration import LastingNoise, RandomActions, RandomShare
from curriculum.envs.interface import ActionSpec
from models.controller_cpu import CPUController

ENVS, STEPS = 200, 400


def played(persistence: float, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns noise `[T, N, A]` and actions `[T, N]` of a policy that always wants the same."""
    controller = CPUController(1, "discrete", len(logits))
    controller.set_parameters(np.concatenate([np.zeros(len(logits)), logits]))
    lasting, rng = LastingNoise(persistence), np.random.default_rng(1)
    noise = np.stack([lasting.next(controller, ENVS, rng) for _ in range(STEPS)])
    features = np.zeros((ENVS, 1), np.float32)
    return noise, np.stack([controller.perturbed(features, each) for each in noise])


@pytest.mark.parametrize("persistence", [0.0, 0.5, 0.9])
def test_it_stays_as_often_as_asked_in_each_environment_by_itself(persistence: float) -> None:
    noise, _ = played(persistence, np.zeros(3))
    stayed = (noise[1:] == noise[:-1]).all(axis=-1)
    assert stayed.mean() == pytest.approx(persistence, abs=0.01)
    # Each environment draws by itself: pairs stay together as often as chance has it.
    together = (stayed[:, 0::2] & stayed[:, 1::2]).mean()
    assert together == pytest.approx(persistence**2, abs=0.02)


@pytest.mark.parametrize("persistence", [0.5, 0.9])
def test_a_step_s_actions_have_the_softmax_s_frequencies_as_without_it(persistence: float) -> None:
    logits = np.array([0.0, 1.0, -1.0])
    _, actions = played(persistence, logits)
    expected = np.exp(logits) / np.exp(logits).sum()
    frequencies = np.bincount(actions.ravel(), minlength=3) / actions.size
    np.testing.assert_allclose(frequencies, expected, atol=0.02)


def test_without_persistence_it_draws_what_sampling_draws_and_nothing_more() -> None:
    controller = CPUController(4, "continuous", 2)
    rng, expected = np.random.default_rng(2), np.random.default_rng(2)
    for _ in range(2):
        noise = LastingNoise(0.0).next(controller, 5, rng)
        np.testing.assert_array_equal(noise, controller.draw_noise(5, expected))


def test_it_goes_on_from_what_was_saved() -> None:
    controller = CPUController(1, "discrete", 3)
    one, other = LastingNoise(0.8), LastingNoise(0.8)
    one.next(controller, 6, np.random.default_rng(0))
    other.load_state(one.state())
    for step in range(5):
        first, second = (
            each.next(controller, 6, np.random.default_rng([1, step])) for each in (one, other)
        )
        assert first.dtype == second.dtype == np.float32
        np.testing.assert_array_equal(first, second)


BUTTONS = ActionSpec("discrete", 4)
STICKS = ActionSpec("continuous", 2, (-1.0, 0.0), (1.0, 0.5))
SHARE = RandomShare(
    all_until=10 * ENVS, final=0.2, falling=20 * ENVS, persistence=0.9, persistence_later=0.5
)


def test_the_share_of_random_actions_falls_from_all_to_its_last() -> None:
    shares = [SHARE.at(steps)[0] for steps in (0, 10 * ENVS - 1, 20 * ENVS, 30 * ENVS, 10**9)]
    assert shares == pytest.approx([1.0, 1.0, 0.6, 0.2, 0.2])
    assert [SHARE.at(steps)[1] for steps in (0, 10 * ENVS - 1, 10 * ENVS)] == [0.9, 0.9, 0.5]
    assert RandomShare(5, 0.0, 0, 0.9, 0.0).at(5) == (0.0, 0.0)


def explored(exploration: RandomActions, steps: int, seed: int = 0) -> np.ndarray:
    """Returns the actions of a policy whose own, greedy or with noise, are 0."""
    controller = CPUController(1, "discrete", 4)
    controller.set_parameters(np.array([0, 0, 0, 0, 99, 0, 0, 0], np.float32))
    features = np.zeros((ENVS, 1), np.float32)
    rng = np.random.default_rng(seed)
    return np.stack([exploration.act(controller, features, rng) for _ in range(steps)])


@pytest.mark.parametrize("policy", [None, LastingNoise(0.5)])
def test_random_actions_are_as_many_as_asked_and_last(policy: LastingNoise | None) -> None:
    actions = explored(RandomActions(BUTTONS, SHARE, policy), 630)
    first, last = actions[:10], actions[30:]
    assert np.bincount(first.ravel(), minlength=4) / first.size == pytest.approx(0.25, abs=0.06)
    # Fresh ones are the same by chance as well, a quarter of the tenth.
    assert (first[1:] == first[:-1]).mean() == pytest.approx(0.9 + 0.1 / 4, abs=0.02)
    shares = np.bincount(last.ravel(), minlength=4) / last.size
    assert shares == pytest.approx([0.8 + 0.05, 0.05, 0.05, 0.05], abs=0.01)
    seen = last[:-1] > 0
    fresh = 0.2 * 0.5 / (1 - 0.5 * 0.2)
    stays = 0.5 + 0.5 * fresh / 4
    assert (last[1:] == last[:-1])[seen].mean() == pytest.approx(stays, abs=0.02)


def test_random_continuous_actions_fill_their_bounds() -> None:
    share = RandomShare(10**9, 0.0, 0, 0.0, 0.0)
    controller = CPUController(1, "continuous", 2, (), STICKS.low, STICKS.high)
    exploration, rng = RandomActions(STICKS, share, LastingNoise(0.0)), np.random.default_rng(0)
    features = np.zeros((ENVS, 1), np.float32)
    actions = np.stack([exploration.act(controller, features, rng) for _ in range(100)])
    assert actions.dtype == np.float32
    rows = actions.reshape(-1, 2)
    assert rows.min(axis=0) == pytest.approx([-1, 0], abs=0.01) and (rows >= STICKS.low).all()
    assert rows.max(axis=0) == pytest.approx([1, 0.5], abs=0.01) and (rows <= STICKS.high).all()
    assert rows.mean(axis=0) == pytest.approx([0, 0.25], abs=0.02)


@pytest.mark.parametrize("before", [1, 5, 25])
def test_exploration_goes_on_from_what_was_saved(before: int) -> None:
    one = RandomActions(BUTTONS, SHARE, LastingNoise(0.8))
    other = RandomActions(BUTTONS, SHARE, LastingNoise(0.8))
    explored(one, before)
    other.load_state(one.state())
    np.testing.assert_array_equal(explored(one, 20, 1), explored(other, 20, 1))
