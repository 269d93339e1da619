"""MDNRNN: what it learns, that both its paths agree, and that it repeats itself bit for bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.interfaces import NonFiniteLoss, SequenceBatch  # noqa: E402
from models.mdnrnn import MDNRNN  # noqa: E402
from models.neural.precision import Precision  # noqa: E402
from models.settings.mdnrnn import MDNRNNSettings  # noqa: E402

pytestmark = pytest.mark.torch

END_PROBABILITY = 0.03


def world(rng: np.random.Generator, b: int, t: int) -> SequenceBatch:
    """A point on a circle, turned by the action; half the turns slip, which only shows in z.

    The reward is 5 on the right half and -1 elsewhere; one step in 33 ends, whatever one does.
    """
    actions = rng.integers(0, 2, size=(b, t))
    slips = rng.random((b, t)) < 0.5
    turns = np.where(actions == 1, 0.6, 0.2) * np.where(slips, 1.5, 1.0)
    start = rng.uniform(0, 2 * np.pi, (b, 1))
    angles = np.concatenate([start, start + np.cumsum(turns, axis=1)], axis=1)
    latents = np.stack([np.cos(angles), np.sin(angles)], axis=-1).astype(np.float32)
    return SequenceBatch(
        latents=latents,
        actions=np.eye(2, dtype=np.float32)[actions],
        rewards=np.where(latents[:, 1:, 0] > 0, 5.0, -1.0).astype(np.float32),
        terminated=(rng.random((b, t)) < END_PROBABILITY).astype(np.float32),
        mask=np.ones((b, t), np.float32),
    )


def small(
    latent_size: int = 2,
    action_size: int = 2,
    device: str = "cpu",
    seed: int = 0,
    precision: Precision = "auto",
    **changes: Any,
) -> MDNRNN:
    settings = MDNRNNSettings(**{"rnn_size": 24, "num_mixtures": 3, **changes})
    return MDNRNN(latent_size, action_size, settings, device=device, seed=seed, precision=precision)


def train(memory: MDNRNN, steps: range) -> list[dict[str, float]]:
    rngs = [np.random.default_rng([7, step]) for step in steps]
    return [memory.update(world(rng, 16, 12), rng) for rng in rngs]


@pytest.fixture(scope="module")
def trained() -> MDNRNN:
    memory = small(learning_rate=5e-3)
    train(memory, range(400))
    return memory


@pytest.fixture(scope="module")
def unseen() -> SequenceBatch:
    return world(np.random.default_rng(12345), 128, 12)


def assert_same_state(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_it_learns_the_world(trained: MDNRNN, unseen: SequenceBatch) -> None:
    fresh, learned = small().evaluate(unseen), trained.evaluate(unseen)
    assert fresh["prediction_error"] == pytest.approx(fresh["copy_error"], rel=0.05)
    assert learned["prediction_error"] < 0.2 * learned["copy_error"]
    assert learned["nll"] < fresh["nll"] - 1.0
    assert learned["reward_error"] < 0.3 * unseen.rewards.var()
    assert 0.0 <= learned["mixture_entropy"] <= np.log(3)


def test_the_end_probability_is_calibrated_though_ends_weigh_more(
    trained: MDNRNN, unseen: SequenceBatch
) -> None:
    metrics = trained.evaluate(unseen)
    assert metrics["done_probability"] == pytest.approx(END_PROBABILITY, abs=0.015)
    entropy = -sum(p * np.log(p) for p in (END_PROBABILITY, 1 - END_PROBABILITY))
    assert metrics["done_loss"] < 1.3 * entropy


def test_dreamed_steps_keep_the_two_outcomes_apart() -> None:
    memory = small(learning_rate=1e-2)
    batch = world(np.random.default_rng(0), 512, 1)
    batch.latents[:, 0] = (1.0, 0.0)
    batch.latents[:, 1] = (0.8, 0.5)
    batch.latents[:256, 1, 1] = -0.5
    for _ in range(150):
        memory.update(batch, np.random.default_rng(0))
    state = memory.step(memory.initial_state(512), batch.latents[:, 0], batch.actions[:, 0])
    dreamed = memory.predict(state, batch.latents[:, 0], 1.0, np.random.default_rng(0)).latents
    # The mean, -0 on the second latent, never happens; one Gaussian would dream of it most.
    assert np.mean(np.abs(np.abs(dreamed[:, 1]) - 0.5) < 0.15) > 0.9
    assert np.mean(dreamed[:, 1] > 0) == pytest.approx(0.5, abs=0.15)
    np.testing.assert_allclose(dreamed[:, 0].mean(), 0.8, atol=0.1)


@pytest.mark.parametrize("n", [1, 7])
def test_single_steps_agree_with_the_sequence(trained: MDNRNN, n: int) -> None:
    batch = world(np.random.default_rng(3), n, 12)
    state = trained.initial_state(n)
    error = np.zeros((n, 12), np.float32)
    for t in range(12):
        state = trained.step(state, batch.latents[:, t], batch.actions[:, t])
        # At next to no temperature the most likely Gaussian's mean is all that is left.
        dreamed = trained.predict(state, batch.latents[:, t], 1e-10, np.random.default_rng(0))
        error[:, t] = (dreamed.rewards - batch.rewards[:, t]) ** 2
        assert np.all((dreamed.terminated >= 0) & (dreamed.terminated <= 1))
    assert trained.evaluate(batch)["reward_error"] == pytest.approx(error.mean(), abs=1e-4)
    inputs = torch.from_numpy(np.concatenate([batch.latents[:, :-1], batch.actions], -1))
    with torch.inference_mode():
        hidden, (h, c) = trained._network.lstm(inputs)
    np.testing.assert_allclose(trained.hidden(state), hidden[:, -1].numpy(), atol=1e-5)
    np.testing.assert_allclose(state, np.concatenate([h[0], c[0]], axis=1), atol=1e-5)


def test_predictions_come_from_the_generator_alone(trained: MDNRNN) -> None:
    latents = np.zeros((5, 2), np.float32)
    state = trained.initial_state(5)
    a, b, c = (
        trained.predict(state, latents, 1.0, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(a.latents, b.latents)
    assert not np.array_equal(a.latents, c.latents)
    np.testing.assert_array_equal(a.rewards, c.rewards)


def test_temperature_spreads_the_dream_and_must_be_positive(trained: MDNRNN) -> None:
    latents = np.tile(np.array([[0.0, 1.0]], np.float32), (500, 1))
    actions = np.tile(np.array([[1.0, 0.0]], np.float32), (500, 1))
    state = trained.step(trained.initial_state(500), latents, actions)
    spread = [
        trained.predict(state, latents, tau, np.random.default_rng(0)).latents.std(0).sum()
        for tau in (0.1, 1.0, 2.0)
    ]
    assert spread[0] < spread[1] < spread[2]
    with pytest.raises(ValueError, match="temperature"):
        trained.predict(state, latents, 0.0, np.random.default_rng(0))


@pytest.mark.parametrize("filler", [0.0, 1e6, np.nan])
def test_what_stands_behind_the_mask_has_no_effect(filler: float) -> None:
    batch = world(np.random.default_rng(4), 6, 10)
    mask = batch.mask.copy()
    mask[2:, 7:] = 0.0
    latents, actions, rewards, ends = (
        a.copy() for a in (batch.latents, batch.actions, batch.rewards, batch.terminated)
    )
    latents[2:, 8:], actions[2:, 7:], rewards[2:, 7:], ends[2:, 7:] = (filler,) * 4
    padded = SequenceBatch(latents, actions, rewards, ends, mask)
    plain, filled = small(), small()
    assert plain.evaluate(replace(batch, mask=mask)) == filled.evaluate(padded)
    rng = np.random.default_rng(0)
    assert plain.update(replace(batch, mask=mask), rng) == filled.update(padded, rng)
    assert_same_state(plain.state(), filled.state())


def test_evaluation_does_not_depend_on_how_it_is_cut(
    trained: MDNRNN, monkeypatch: pytest.MonkeyPatch, unseen: SequenceBatch
) -> None:
    whole = trained.evaluate(unseen)
    monkeypatch.setattr("models.mdnrnn._EVALUATION_STEPS", 60)
    assert trained.evaluate(unseen) == pytest.approx(whole, rel=1e-4)


def test_a_batch_in_parts_takes_the_step_of_the_whole_batch() -> None:
    whole, parts = (small(precision="float32") for _ in range(2))
    parts.parts = 3
    for found, expected in zip(train(parts, range(5)), train(whole, range(5)), strict=True):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
    for name, value in whole.state().items():
        np.testing.assert_allclose(parts.state()[name], value, rtol=1e-2, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("saved_after", [0, 3])
def test_a_reloaded_learner_continues_bit_for_bit(saved_after: int) -> None:
    whole = small()
    expected = train(whole, range(5))
    first = small()
    train(first, range(saved_after))
    second = small(seed=9)
    second.load_state(first.state())
    assert train(second, range(saved_after, 5)) == expected[saved_after:]
    assert_same_state(second.state(), whole.state())


@pytest.mark.parametrize("field", ["latents", "rewards"])
def test_non_finite_steps_are_refused_and_leave_no_trace(field: str) -> None:
    memory = small()
    train(memory, range(2))
    before = memory.state()
    batch = world(np.random.default_rng(0), 4, 6)
    getattr(batch, field)[1, 2] = np.nan
    with pytest.raises(NonFiniteLoss, match="refused"):
        memory.update(batch, np.random.default_rng(0))
    assert_same_state(memory.state(), before)


def test_wrong_batches_and_states_are_refused() -> None:
    memory = small()
    batch = world(np.random.default_rng(0), 4, 6)
    with pytest.raises(ValueError, match="latents"):
        memory.evaluate(replace(batch, latents=batch.latents[:, :-1]))
    with pytest.raises(ValueError, match="all zero"):
        memory.evaluate(replace(batch, mask=np.zeros_like(batch.mask)))
    with pytest.raises(ValueError, match="build it with the arguments"):
        memory.load_state(small(rnn_size=25).state())
    with pytest.raises(ValueError, match="positive"):
        small(rnn_size=0)


def test_building_and_learning_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    train(small(), range(1))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_follows_float32(precision: str) -> None:
    exact, lower = (
        train(small(precision="float32"), range(3)),
        train(small(precision=precision), range(3)),
    )
    for a, b in zip(exact, lower, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_it_learns_and_predicts_as_on_the_cpu(unseen: SequenceBatch) -> None:
    gpu = small(device="cuda")
    train(gpu, range(20))
    cpu = small(precision="float32")
    cpu.load_state({**cpu.state(), **{k: v for k, v in gpu.state().items() if "adam" not in k}})
    assert gpu.evaluate(unseen) == pytest.approx(cpu.evaluate(unseen), rel=1e-2, abs=1e-2)


def test_dropout_makes_many_networks_around_the_one_that_is_scored() -> None:
    memory = small(dropout=0.25, learning_rate=5e-3)
    train(memory, range(60))
    batch = world(np.random.default_rng(3), 1, 1)
    latents = np.repeat(batch.latents[:, 0], 20_000, axis=0)
    actions = np.repeat(batch.actions[:, 0], 20_000, axis=0)
    state = memory.step(memory.initial_state(20_000), latents, actions)
    assert np.ptp(state, axis=0).max() == 0  # nothing is dropped inside the LSTM
    dreamed = memory.predict(state, latents, 1.0, np.random.default_rng(0)).rewards
    assert dreamed.std() > 0.01
    whole = memory.evaluate(batch)["reward_error"]
    mean = float(np.mean(dreamed, dtype=np.float64))
    standard_error = dreamed.std() / np.sqrt(len(dreamed))
    assert abs(abs(mean - batch.rewards[0, 0]) - whole**0.5) < 5 * standard_error


def test_what_is_dropped_comes_from_the_generator_alone() -> None:
    first, again, other = (small(dropout=0.5) for _ in range(3))
    batch = world(np.random.default_rng(5), 4, 6)
    losses = [
        memory.update(batch, np.random.default_rng(seed))["loss"]
        for memory, seed in ((first, 1), (again, 1), (other, 2))
    ]
    assert losses[0] == losses[1] != losses[2]
    in_parts = small(dropout=0.5)
    in_parts.parts = 3
    loss = in_parts.update(batch, np.random.default_rng(1))["loss"]
    assert loss == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_not_everything_can_be_dropped(dropout: float) -> None:
    with pytest.raises(ValueError, match="dropout"):
        small(dropout=dropout)
