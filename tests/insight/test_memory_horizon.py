"""Forecasts of memories whose errors are known exactly."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from curriculum.insight.memory_horizon import FACT_HORIZONS, LOW_TEMPERATURE, Horizon, open_loop
from curriculum.insight.vision_probe import Readout
from curriculum.world.world_model import WorldModel
from models.interfaces import Memory, Prediction

Z, A = 2, 3


class Mover:
    """Knows that z moves on by `velocity * a[0]`, but for a bias and noise in each step.

    Its state counts the steps, so that a test can tell whether it was warmed up.
    """

    latent_size, action_size, hidden_size, single_pass = Z, A, 1, True

    def __init__(self, bias: float = 0.0, noise: float = 0.0) -> None:
        self.bias, self.noise = bias, noise
        self.temperatures: set[float] = set()

    def initial_state(self, n: int) -> np.ndarray:
        return np.zeros((n, 2), np.float32)

    def step(self, state: np.ndarray, latents: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return np.stack([state[:, 0] + 1, actions[:, 0]], axis=1).astype(np.float32)

    def predict(
        self, state: np.ndarray, latents: np.ndarray, temperature: float, rng: np.random.Generator
    ) -> Prediction:
        self.temperatures.add(temperature)
        assert (state[:, 0] > 3).all(), "M has not followed what came before"
        noise = np.sqrt(temperature) * self.noise * rng.standard_normal(latents.shape)
        moved = latents + state[:, 1:] + self.bias + noise
        nothing = np.zeros(len(latents), np.float32)
        return Prediction(moved.astype(np.float32), nothing, nothing)


def walk(seed: int = 0, steps: int = 80, batch: int = 6) -> tuple[np.ndarray, ...]:
    """Latents that add up the first number of the actions, the actions and a full mask."""
    rng = np.random.default_rng(seed)
    actions = rng.integers(-2, 3, (batch, steps, A)).astype(np.float32)
    start = rng.integers(-9, 9, (batch, 1, Z)).astype(np.float32)
    moved = np.concatenate([np.zeros((batch, 1)), actions[:, :, 0].cumsum(axis=1)], axis=1)
    return start + moved[:, :, None].astype(np.float32), actions, np.ones((batch, steps))


def measure(memory: Mover, *batch: np.ndarray, **options: Any) -> Horizon:
    arguments: dict[str, Any] = {"warm_up": 5, "horizon": 20, "stride": 10, **options}
    world = WorldModel(None, cast(Memory, memory))
    return open_loop(world, *batch, rng=np.random.default_rng(1), **arguments)


def test_a_memory_that_knows_the_world_makes_no_error() -> None:
    memory = Mover()
    found = measure(memory, *walk())
    np.testing.assert_allclose(found.errors["likely"], 0.0, atol=1e-9)
    np.testing.assert_allclose(found.errors["mean"], 0.0, atol=1e-9)
    assert memory.temperatures == {LOW_TEMPERATURE, 1.0}
    assert found.starts == 6 * len(range(5, 80 - 20 + 1, 10))
    assert found.facts()["beats_copy_until"] == 20


def test_a_bias_adds_up_exactly() -> None:
    latents, actions, mask = walk()
    errors = measure(Mover(bias=0.5), latents, actions, mask).errors
    steps = np.arange(1, 21)
    expected = Z * np.square(0.5 * steps) / latents.reshape(-1, Z).var(axis=0).sum()
    np.testing.assert_allclose(errors["likely"], expected, rtol=1e-4)
    np.testing.assert_allclose(errors["mean"], expected, rtol=1e-4)


def test_the_mean_of_dreams_has_their_variance_over_their_number() -> None:
    latents, actions, mask = walk(batch=200)
    errors = measure(Mover(noise=1.0), latents, actions, mask, samples=4).errors
    variance = latents.reshape(-1, Z).var(axis=0).sum()
    expected = Z * np.arange(1, 21) / variance
    np.testing.assert_allclose(errors["mean"], expected / 4, rtol=0.15)
    np.testing.assert_allclose(errors["likely"], expected * LOW_TEMPERATURE, rtol=0.15)


def test_the_baselines_are_exact() -> None:
    """z is linear in time, so velocity is right and copying is off by k steps."""
    time = np.arange(61, dtype=np.float32)
    latents = np.stack([3.0 * time, -time], axis=1)[None]
    actions, mask = np.zeros((1, 60, A), np.float32), np.ones((1, 60))
    errors = measure(Mover(), latents, actions, mask).errors
    variance = latents[0].var(axis=0).sum()
    expected = 10.0 * np.square(np.arange(1, 21)) / variance
    np.testing.assert_allclose(errors["copy"], expected, rtol=1e-5)
    np.testing.assert_allclose(errors["velocity"], 0.0, atol=1e-9)
    np.testing.assert_allclose(errors["likely"], errors["copy"], rtol=1e-5)


def test_no_forecast_crosses_an_episodes_end() -> None:
    latents, actions, mask = walk()
    mask[0, 30:] = 0.0
    latents[0, 31:] = 1e6
    mask[1, 10:] = 0.0
    found = measure(Mover(), latents, actions, mask)
    assert found.errors["likely"].max() < 1e-9
    assert found.starts == 4 * 6 + 1, "of the first one start, of the second none"


def test_pixels_are_read_where_things_are_visible() -> None:
    latents, actions, mask = walk()
    readout = Readout(("ball_x",), np.array([[2.0], [0.0]]), np.array([3.0]))
    truth = 2.0 * latents[:, :, 0] + 3.0 + 0.25
    visible = np.ones(truth.shape, np.bool_)
    visible[:, 40:] = False
    truth[~visible] = 1e9
    found = measure(
        Mover(bias=0.5),
        *(latents, actions, mask),
        readout=readout,
        positions={"ball_x": truth},
        visible={"ball_x": visible},
    )
    curves = found.pixels["ball_x"]
    np.testing.assert_allclose(curves["readout"], 0.25, rtol=1e-4)
    np.testing.assert_allclose(curves["likely"], np.arange(1, 21) - 0.25, rtol=1e-4, atol=0.03)
    visible[:] = False
    hidden = measure(
        Mover(),
        *(latents, actions, mask),
        readout=readout,
        positions={"ball_x": truth},
        visible={"ball_x": visible},
    )
    assert np.isnan(hidden.pixels["ball_x"]["copy"]).all()
    assert not any("pixels" in name for name in hidden.facts())


def test_facts_are_the_curves_at_a_few_horizons() -> None:
    found = measure(Mover(bias=0.5), *walk())
    facts = found.facts()
    assert set(facts) == {"beats_copy_until"} | {
        f"{name}_{k}" for name in found.errors for k in FACT_HORIZONS if k <= 20
    }
    assert facts["copy_15"] == found.errors["copy"][14]
    worse = measure(Mover(bias=50.0), *walk()).facts()
    assert worse["beats_copy_until"] == 0


def test_too_short_sequences_and_wrong_shapes_are_refused() -> None:
    latents, actions, mask = walk(steps=20)
    with pytest.raises(ValueError, match="20 real steps"):
        measure(Mover(), latents, actions, mask)
    with pytest.raises(ValueError, match=r"\[B, T\+1\]"):
        measure(Mover(), latents[:, 1:], actions, mask)
    with pytest.raises(ValueError, match="needs positions"):
        measure(Mover(), *walk(), positions={"x": latents[:, :, 0]})
