"""The echo-state network: what it learns, what fades, and what a rare end does to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.echo import EchoMemory
from models.interfaces import NonFiniteLoss, SequenceBatch
from models.numeric.logistic import MAX_EVENTS, MAX_OTHERS, RareEvents, sigmoid

Z, A = 3, 2


def swings(seed: int, b: int = 32, t: int = 40) -> SequenceBatch:
    """A swing that shows its place, not its speed, is pushed by the action, and ends far out.

    Latent 0 is the place, 1 its square (nonlinear in what is shown), 2 never moves.
    """
    rng = np.random.default_rng(seed)
    actions = np.eye(A, dtype=np.float32)[rng.integers(A, size=(b, t))]
    place, speed = rng.normal(size=(2, b))
    latents = np.zeros((b, t + 1, Z), np.float32)
    for step in range(t + 1):
        latents[:, step, 0], latents[:, step, 1] = place, place**2
        if step < t:
            speed = 0.98 * speed - 0.2 * place + 0.2 * (actions[:, step, 0] - 0.5)
            place = place + 0.3 * speed
    rewards = latents[:, 1:, 0] - 0.5 * actions[..., 1]
    ends = (np.abs(latents[:, 1:, 0]) > 2.0).astype(np.float32)
    mask = (np.cumsum(ends, axis=1) - ends == 0).astype(np.float32)
    return SequenceBatch(latents, actions, rewards.astype(np.float32), ends * mask, mask)


def learned(batches: int = 12, **arguments: float) -> EchoMemory:
    memory = EchoMemory(Z, A, **{"hidden_size": 64, **arguments})
    for seed in range(batches):
        memory.update(swings(seed), np.random.default_rng(seed))
    memory.finish()
    return memory


def test_predicts_what_needs_the_past_and_the_action() -> None:
    scores = learned().evaluate(swings(999))
    assert scores["prediction_error"] < 0.1 * scores["copy_error"]
    assert scores["reward_error"] < 0.05 * scores["reward_variance"]


def test_the_end_s_probability_is_calibrated_and_tells_ends_apart() -> None:
    scores = learned().evaluate(swings(999, b=256))
    rate = scores["done_rate"]
    assert 0.0 < rate < 0.1
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    assert scores["done_loss"] < 0.6 * entropy
    assert scores["done_probability"] == pytest.approx(rate, rel=0.35)


def test_without_ends_their_probability_is_small_and_not_zero() -> None:
    memory = EchoMemory(Z, A, hidden_size=16)
    batch = swings(0)
    ends = np.zeros_like(batch.terminated)
    batch = SequenceBatch(batch.latents, batch.actions, batch.rewards, ends, batch.mask)
    memory.update(batch, np.random.default_rng(0))
    memory.finish()
    state = memory.step(memory.initial_state(32), batch.latents[:, 0], batch.actions[:, 0])
    ended = memory.predict(state, batch.latents[:, 0], 1.0, np.random.default_rng(0)).terminated
    assert np.all((ended > 0) & (ended < 2.0 / batch.mask.sum()))


def test_padding_teaches_nothing() -> None:
    batch = swings(3)
    assert not batch.mask.all()
    hidden = batch.mask == 0
    spoilt = [part.copy() for part in (batch.latents, batch.rewards, batch.terminated)]
    spoilt[0][:, 1:][hidden] = 50.0
    spoilt[1][hidden] = np.nan
    spoilt[2][hidden] = 1.0
    memories = [EchoMemory(Z, A, hidden_size=8) for _ in range(2)]
    latents, rewards, ends = spoilt
    other = SequenceBatch(latents, batch.actions, rewards, ends, batch.mask)
    for memory, given_batch in zip(memories, (batch, other), strict=True):
        memory.update(given_batch, np.random.default_rng(0))
    for name, value in memories[0].state().items():
        np.testing.assert_array_equal(value, memories[1].state()[name], err_msg=name)


def test_the_data_s_order_matters_only_to_rounding() -> None:
    """Normal equations are sums; the first batch is the same because it sets the inputs' scale."""
    order = (0, 3, 1, 4, 2)
    memories = [EchoMemory(Z, A, hidden_size=24) for _ in range(2)]
    for memory, seeds in zip(memories, (range(5), order), strict=True):
        for seed in seeds:
            memory.update(swings(seed), np.random.default_rng(seed))
        memory.finish()
    one, other = (memory.evaluate(swings(50)) for memory in memories)
    for name, value in one.items():
        assert other[name] == pytest.approx(value, rel=1e-3, abs=1e-4), name


@settings(max_examples=25, deadline=None)
@given(
    radius=st.floats(0.1, 0.95),
    leak=st.floats(0.1, 1.0),
    hidden=st.integers(1, 40),
    seed=st.integers(0, 2**63),
)
def test_the_past_fades(radius: float, leak: float, hidden: int, seed: int) -> None:
    """Equal inputs make any two states equal: the echo-state property (Jaeger 2001)."""
    memory = EchoMemory(Z, A, hidden_size=hidden, spectral_radius=radius, leak=leak, seed=seed)
    rng = np.random.default_rng(seed)
    state = memory.initial_state(2)
    state[1, :hidden] = rng.uniform(-1.0, 1.0, hidden)
    distance = np.linalg.norm(state[0, :hidden] - state[1, :hidden])
    slowest = 1.0 - leak * (1.0 - radius)
    for _ in range(60):
        z = np.repeat(rng.normal(size=(1, Z)), 2, axis=0).astype(np.float32)
        state = memory.step(state, z, np.repeat(np.eye(A, dtype=np.float32)[:1], 2, axis=0))
    h = memory.hidden(state)
    assert np.abs(h).max() <= 1.0
    assert np.linalg.norm(h[0] - h[1]) <= 20.0 * distance * slowest**60 + 1e-5


def test_a_dream_stays_near_what_was_seen() -> None:
    memory, batch = learned(3), swings(0)
    state, z = memory.initial_state(32), batch.latents[:, 0]
    rng = np.random.default_rng(0)
    seen = batch.latents
    for seed in (1, 2):
        seen = np.concatenate([seen, swings(seed).latents])
    low, high = seen.min(axis=(0, 1)), seen.max(axis=(0, 1))
    margin = 0.11 * (high - low) + 1e-5
    for step in range(300):
        state = memory.step(state, z, np.eye(A, dtype=np.float32)[[step % A] * 32])
        imagined = memory.predict(state, z, 2.0, rng)
        z = imagined.latents
        assert np.all((z >= low - margin) & (z <= high + margin))
        assert np.isfinite(imagined.rewards).all()


def test_noise_has_the_residual_s_width_times_the_root_of_the_temperature() -> None:
    memory = learned()
    residual = np.sqrt(memory.evaluate(swings(999))["prediction_error"])
    state = memory.step(
        memory.initial_state(4000),
        np.zeros((4000, Z), np.float32),
        np.eye(A, dtype=np.float32)[[0] * 4000],
    )
    z = np.zeros((4000, Z), np.float32)
    cold, warm = (
        memory.predict(state, z, tau, np.random.default_rng(0)).latents.std(axis=0)
        for tau in (0.25, 1.0)
    )
    np.testing.assert_allclose(warm[:2], 2.0 * cold[:2], rtol=0.02)
    assert np.sqrt(np.square(warm).mean()) == pytest.approx(residual, rel=0.5)


def test_loading_brings_the_seed_and_with_it_the_reservoir() -> None:
    taught, fresh = learned(2, seed=5), EchoMemory(Z, A, hidden_size=64, seed=6)
    fresh.load_state(taught.state())
    batch = swings(40)
    assert fresh.evaluate(batch) == taught.evaluate(batch)
    arguments = batch.latents[:, 0], batch.actions[:, 0]
    for memory in (taught, fresh):
        memory.update(batch, np.random.default_rng(1))
    np.testing.assert_array_equal(
        fresh.step(fresh.initial_state(32), *arguments),
        taught.step(taught.initial_state(32), *arguments),
    )
    assert fresh.finish() == taught.finish()


def test_refuses_what_is_not_finite_and_keeps_its_state() -> None:
    memory = learned(2)
    before, batch = memory.state(), swings(7)
    batch.latents[4, 0, 1] = np.nan
    with pytest.raises(NonFiniteLoss):
        memory.update(batch, np.random.default_rng(0))
    fresh = EchoMemory(Z, A, hidden_size=64)
    untouched = fresh.state()
    with pytest.raises(NonFiniteLoss):
        fresh.update(batch, np.random.default_rng(0))
    for owner, expected in ((memory, before), (fresh, untouched)):
        for name, value in owner.state().items():
            np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_refuses_arguments_states_and_temperatures_that_do_not_fit() -> None:
    for wrong in ({"latent_size": 0}, {"ridge": 0.0}, {"spectral_radius": 1.0}, {"leak": 0.0}):
        with pytest.raises(ValueError, match="expected"):
            EchoMemory(**{"latent_size": Z, "action_size": A, **wrong})
    memory = EchoMemory(Z, A, hidden_size=8)
    with pytest.raises(ValueError, match="no steps"):
        memory.finish()
    with pytest.raises(ValueError, match="temperature"):
        memory.predict(
            memory.initial_state(1), np.zeros((1, Z), np.float32), 0.0, np.random.default_rng(0)
        )
    for state in ({}, EchoMemory(Z, A, hidden_size=9).state()):
        with pytest.raises(ValueError, match="cannot load"):
            memory.load_state(state)


def test_rare_events_are_found_with_their_true_frequency() -> None:
    rng = np.random.default_rng(0)
    sample, size = RareEvents(3), 60_000
    true = np.array([1.5, -1.0, -4.5])
    for _ in range(6):
        x = np.column_stack([rng.normal(size=(size // 6, 2)), np.ones(size // 6)])
        sample.add(x.astype(np.float32), (rng.random(len(x)) < sigmoid(x @ true)) * 1.0, rng)
    kept = sample.state()
    assert len(kept["sample_others_rows"]) == MAX_OTHERS
    assert len(kept["sample_events_rows"]) == MAX_EVENTS
    weights, _ = sample.fit(np.array([1.0, 2.0, 1.0]))
    np.testing.assert_allclose(weights, true, atol=0.3)
