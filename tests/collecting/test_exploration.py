"""Noise that lasts: what a single step sees of it, and how long it stays."""

from __future__ import annotations

import numpy as np
import pytest

from curriculum.collecting.exploration import LastingNoise
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
