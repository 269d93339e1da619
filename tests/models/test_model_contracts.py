"""One contract per Protocol of `models.interfaces`, held by every implementation."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from models.interfaces import Controller, Memory, NonFiniteFitness, SequenceBatch, Solver, Vision
from models.settings.mdnrnn import MDNRNNSettings
from models.settings.vae import VAESettings

Z, A = 6, 3


def implementation(module: str, name: str, needs: str = "", **arguments: Any) -> Any:
    """A constructor by name, skipped where the library it needs is absent."""
    marks = [pytest.mark.skipif(find_spec(needs) is None, reason=f"needs {needs}")] if needs else []
    if needs == "torch":
        marks.append(pytest.mark.torch)

    def make(**changes: Any) -> Any:
        return getattr(import_module(module), name)(**{**arguments, **changes})

    return pytest.param(make, marks=marks, id=name)


def assert_same_state(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def assert_plain_arrays(state: dict[str, np.ndarray]) -> None:
    """A state can be stored without pickle: string keys, arrays of numbers."""
    assert state
    for name, value in state.items():
        assert isinstance(name, str)
        assert isinstance(value, np.ndarray), name
        assert value.dtype.kind in "biuf", (name, value.dtype)


def assert_finite(metrics: dict[str, float]) -> None:
    for name, value in metrics.items():
        assert isinstance(value, float | int), name
        assert np.isfinite(value), (name, value)


FRAME_VISIONS = [
    implementation(
        "models.vae",
        "ConvVAE",
        "torch",
        frame_shape=(32, 32, 1),
        settings=VAESettings(z_dim=Z, channels=(4, 8, 8)),
    ),
    implementation("models.pca", "PCAVision", frame_shape=(32, 32, 1), latent_size=Z),
]
VISIONS = [*FRAME_VISIONS, implementation("models.normaliser", "StateVision", size=Z)]


def observations(vision: Any, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    if "State" in type(vision).__name__:
        before = rng.normal(3.0, 2.0, size=(n, Z)).astype(np.float32)
        return before + np.float32(0.1), before
    frames = np.full((2, n, 32, 32, 1), 30, np.uint8)
    position = rng.integers(1, 29, size=(n, 2))
    for row in range(n):
        y, x = position[row]
        frames[0, row, y : y + 3, x : x + 3] = 220
        frames[1, row, y - 1 : y + 2, x - 1 : x + 2] = 220
    return frames[0], frames[1]


def learn_vision(vision: Any, steps: range) -> list[dict[str, float]]:
    history = []
    for step in steps:
        rng = np.random.default_rng([1, step])
        history.append(vision.update(*observations(vision, rng, 24), rng))
    return history


@pytest.mark.parametrize("make", VISIONS)
def test_vision_turns_observations_into_latents_and_back(make: Callable[..., Any]) -> None:
    vision = make()
    assert isinstance(vision, Vision)
    assert vision.latent_size == Z
    assert isinstance(vision.single_pass, bool)
    for metrics in learn_vision(vision, range(4)):
        assert "loss" in metrics
        assert_finite(metrics)
    assert_finite(vision.finish())
    given, _ = observations(vision, np.random.default_rng(0), 10)
    latents = vision.encode(given)
    mean, log_variance = vision.posterior(given)
    assert latents.shape == mean.shape == log_variance.shape == (10, Z)
    assert latents.dtype == mean.dtype == log_variance.dtype == np.float32
    assert np.isfinite(latents).all()
    assert np.isfinite(log_variance).all()
    np.testing.assert_array_equal(latents, mean)
    np.testing.assert_array_equal(latents, vision.encode(given))
    assert latents.std(0).max() > 0
    decoded = vision.decode(latents)
    assert decoded.shape == given.shape
    assert decoded.dtype == given.dtype


@pytest.mark.parametrize("make", VISIONS)
def test_vision_continues_from_its_state_bit_for_bit(make: Callable[..., Any]) -> None:
    whole = make()
    expected = learn_vision(whole, range(5))
    first = make()
    learn_vision(first, range(3))
    saved = first.state()
    assert_plain_arrays(saved)
    second = make()
    second.load_state(saved)
    assert learn_vision(second, range(3, 5)) == expected[3:]
    assert second.finish() == whole.finish()
    assert_same_state(second.state(), whole.state())
    loaded = make()
    loaded.load_state(whole.state())
    given, _ = observations(whole, np.random.default_rng(0), 10)
    np.testing.assert_array_equal(loaded.encode(given), whole.encode(given))


@pytest.mark.parametrize("make", VISIONS)
def test_vision_s_state_is_a_copy(make: Callable[..., Any]) -> None:
    vision = make()
    learn_vision(vision, range(1))
    state = vision.state()
    kept = {name: value.copy() for name, value in state.items()}
    learn_vision(vision, range(1, 2))
    assert_same_state(state, kept)


MEMORIES = [
    implementation(
        "models.mdnrnn",
        "MDNRNN",
        "torch",
        latent_size=Z,
        action_size=A,
        settings=MDNRNNSettings(rnn_size=48, learning_rate=5e-3),
    ),
    implementation("models.echo", "EchoMemory", latent_size=Z, action_size=A, hidden_size=48),
]


def sequences(rng: np.random.Generator, b: int = 8, t: int = 10) -> SequenceBatch:
    """A decaying state pushed by the action; reward is its first part, large values end it."""
    actions = np.eye(A, dtype=np.float32)[rng.integers(A, size=(b, t))]
    latents = np.empty((b, t + 1, Z), np.float32)
    latents[:, 0] = rng.normal(size=(b, Z))
    for step in range(t):
        push = np.repeat(actions[:, step] - 1 / A, Z // A, axis=1)
        noise = 0.05 * rng.normal(size=(b, Z))
        latents[:, step + 1] = 0.8 * latents[:, step] + push + noise
    mask = np.ones((b, t), np.float32)
    mask[0, t // 2 :] = 0.0
    ends = (latents[:, 1:, 1] > 1.2).astype(np.float32)
    return SequenceBatch(latents, actions, latents[:, 1:, 0].copy(), ends, mask)


def learn_memory(memory: Any, steps: range) -> list[dict[str, float]]:
    rngs = [np.random.default_rng([2, step]) for step in steps]
    return [memory.update(sequences(rng), rng) for rng in rngs]


@pytest.mark.parametrize("make", MEMORIES)
def test_memory_predicts_within_its_contract(make: Callable[..., Any]) -> None:
    memory = make()
    assert isinstance(memory, Memory)
    assert (memory.latent_size, memory.action_size) == (Z, A)
    for metrics in learn_memory(memory, range(6)):
        assert "loss" in metrics
        assert_finite(metrics)
    assert_finite(memory.finish())
    scores = memory.evaluate(sequences(np.random.default_rng(0)))
    assert {"nll", "prediction_error", "reward_error"} <= scores.keys()
    assert_finite(scores)
    batch = sequences(np.random.default_rng(1), b=5)
    state = memory.initial_state(5)
    before = state.copy()
    advanced = memory.step(state, batch.latents[:, 0], batch.actions[:, 0])
    np.testing.assert_array_equal(state, before)
    assert advanced.shape == state.shape
    assert advanced.dtype == np.float32
    hidden = memory.hidden(advanced)
    assert hidden.shape == (5, memory.hidden_size)
    assert hidden.dtype == np.float32
    prediction = memory.predict(advanced, batch.latents[:, 0], 1.0, np.random.default_rng(3))
    assert prediction.latents.shape == (5, Z)
    assert prediction.rewards.shape == prediction.terminated.shape == (5,)
    for part in (prediction.latents, prediction.rewards, prediction.terminated):
        assert part.dtype == np.float32
        assert np.isfinite(part).all()
    assert np.all((prediction.terminated >= 0) & (prediction.terminated <= 1))


@pytest.mark.parametrize("make", MEMORIES)
def test_memory_learns_more_than_that_nothing_moves(make: Callable[..., Any]) -> None:
    memory = make()
    steps = 60 if memory.single_pass else 250
    learn_memory(memory, range(steps))
    memory.finish()
    unseen = sequences(np.random.default_rng(99), b=64)
    real = unseen.mask > 0
    copied = np.square(unseen.latents[:, 1:] - unseen.latents[:, :-1])[real].mean()
    scores = memory.evaluate(unseen)
    assert scores["prediction_error"] < 0.5 * copied
    assert scores["reward_error"] < 0.7 * unseen.rewards[real].var()


@pytest.mark.parametrize("make", MEMORIES)
def test_memory_s_noise_comes_from_the_generator_and_grows_with_temperature(
    make: Callable[..., Any],
) -> None:
    memory = make()
    learn_memory(memory, range(6))
    memory.finish()
    latents = np.zeros((400, Z), np.float32)
    state = memory.initial_state(400)
    draws = {
        (tau, seed): memory.predict(state, latents, tau, np.random.default_rng(seed)).latents
        for tau, seed in ((1.0, 1), (1.0, 2), (0.25, 1), (4.0, 1))
    }
    again = memory.predict(state, latents, 1.0, np.random.default_rng(1)).latents
    np.testing.assert_array_equal(draws[1.0, 1], again)
    assert not np.array_equal(draws[1.0, 1], draws[1.0, 2])
    spread = [draws[tau, 1].std(0).sum() for tau in (0.25, 1.0, 4.0)]
    assert spread[0] < spread[1] < spread[2]


@pytest.mark.parametrize("make", MEMORIES)
def test_memory_continues_from_its_state_bit_for_bit(make: Callable[..., Any]) -> None:
    whole = make()
    expected = learn_memory(whole, range(5))
    first = make()
    learn_memory(first, range(3))
    saved = first.state()
    assert_plain_arrays(saved)
    second = make()
    second.load_state(saved)
    assert learn_memory(second, range(3, 5)) == expected[3:]
    assert second.finish() == whole.finish()
    assert_same_state(second.state(), whole.state())
    batch = sequences(np.random.default_rng(7))
    loaded = make()
    loaded.load_state(whole.state())
    assert loaded.evaluate(batch) == whole.evaluate(batch)


CONTROLLERS = [
    implementation("models.controller", "TorchController", "torch"),
    implementation("models.controller_cpu", "CPUController"),
]
POLICIES = [
    pytest.param({"action_kind": "discrete", "action_size": 4}, id="discrete"),
    pytest.param(
        {
            "action_kind": "continuous",
            "action_size": 2,
            "action_low": (-1.0, 0.0),
            "action_high": (1.0, 3.0),
        },
        id="continuous",
    ),
]


@pytest.mark.parametrize("hidden_sizes", [(), (7,), (7, 5)])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("make", CONTROLLERS)
def test_controller_acts_within_its_contract(
    make: Callable[..., Any], policy: dict[str, Any], hidden_sizes: tuple[int, ...]
) -> None:
    controller = make(num_features=5, hidden_sizes=hidden_sizes, **policy)
    assert isinstance(controller, Controller)
    assert controller.num_features == 5
    np.testing.assert_array_equal(controller.get_parameters(), 0.0)
    rng = np.random.default_rng(0)
    parameters = rng.normal(size=controller.num_parameters).astype(np.float32)
    controller.set_parameters(parameters)
    kept = controller.get_parameters()
    np.testing.assert_array_equal(kept, parameters)
    parameters[:] = 0.0
    kept[:] = 0.0
    assert controller.get_parameters().any()
    features = rng.normal(size=(50, 5)).astype(np.float32)
    sampled = controller.sample(features, np.random.default_rng(1))
    np.testing.assert_array_equal(sampled, controller.sample(features, np.random.default_rng(1)))
    for actions in (controller.act(features), sampled):
        if policy["action_kind"] == "discrete":
            assert actions.shape == (50,)
            assert actions.dtype == np.int64
            assert set(actions) <= set(range(4))
        else:
            assert actions.shape == (50, 2)
            assert actions.dtype == np.float32
            assert np.all((actions >= (-1.0, 0.0)) & (actions <= (1.0, 3.0)))


@pytest.mark.parametrize("make", CONTROLLERS)
def test_controller_refuses_parameters_it_cannot_use(make: Callable[..., Any]) -> None:
    controller = make(num_features=5, action_kind="discrete", action_size=4)
    for bad in (np.zeros(3), np.full(controller.num_parameters, np.inf)):
        with pytest.raises(ValueError):
            controller.set_parameters(bad)
    np.testing.assert_array_equal(controller.get_parameters(), 0.0)


SOLVERS = [
    implementation("models.search.evolution", "EvolutionStrategy"),
    implementation("models.search.cma_es", "CMAES", "cma"),
]
P = 5
OPTIMUM = np.linspace(-1.0, 1.0, P)


def fitness(candidates: np.ndarray) -> np.ndarray:
    return -np.square(candidates - OPTIMUM).sum(-1)


def solver_of(make: Callable[..., Any]) -> Any:
    return make(initial_mean=np.zeros(P), sigma=0.5, popsize=10, seed=3)


def advance(solver: Any, generations: int) -> list[np.ndarray]:
    asked = []
    for _ in range(generations):
        asked.append(solver.ask().copy())
        solver.tell(fitness(asked[-1]))
    return asked


@pytest.mark.parametrize("make", SOLVERS)
def test_solver_finds_the_maximum(make: Callable[..., Any]) -> None:
    solver = solver_of(make)
    assert isinstance(solver, Solver)
    assert (solver.dimension, solver.popsize, solver.generation) == (P, 10, 0)
    asked = advance(solver, 80)
    assert solver.generation == 80
    assert asked[0].shape == (10, P)
    np.testing.assert_allclose(solver.mean(), OPTIMUM, atol=0.05)
    best, value = solver.best()
    assert value == pytest.approx(max(fitness(candidates).max() for candidates in asked))
    assert fitness(best) == pytest.approx(value)
    statistics = solver.statistics()
    assert {"sigma", "axis_ratio", "fitness_mean", "fitness_best", "fitness_std"} <= set(statistics)
    assert_finite(statistics)


@pytest.mark.parametrize("make", SOLVERS)
def test_solver_asks_the_same_until_it_is_told(make: Callable[..., Any]) -> None:
    solver = solver_of(make)
    first = solver.ask().copy()
    np.testing.assert_array_equal(solver.ask(), first)
    solver.tell(fitness(first))
    assert not np.array_equal(solver.ask(), first)


@pytest.mark.parametrize("make", SOLVERS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_solver_refuses_non_finite_fitness_and_keeps_its_state(
    make: Callable[..., Any], bad: float
) -> None:
    solver, untouched = solver_of(make), solver_of(make)
    advance(solver, 2)
    advance(untouched, 2)
    values = fitness(solver.ask())
    values[4] = bad
    with pytest.raises(NonFiniteFitness):
        solver.tell(values)
    for ours, theirs in zip(advance(solver, 3), advance(untouched, 3), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("make", SOLVERS)
@pytest.mark.parametrize("between", [False, True])
def test_solver_continues_from_its_state_bit_for_bit(
    make: Callable[..., Any], between: bool
) -> None:
    """`between`: saved after an ask that was not told yet."""
    whole, first, second = solver_of(make), solver_of(make), solver_of(make)
    advance(whole, 3)
    advance(first, 3)
    if between:
        first.ask()
    saved = first.state()
    assert_plain_arrays(saved)
    second.load_state(saved)
    for ours, theirs in zip(advance(second, 4), advance(whole, 4), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert second.generation == whole.generation
    np.testing.assert_array_equal(second.mean(), whole.mean())
