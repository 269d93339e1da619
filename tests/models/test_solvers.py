"""The solvers: they find optima, repeat themselves exactly, and refuse what would poison them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from models.interfaces import NonFiniteFitness, Solver
from models.search.cma_es import CMAES
from models.search.evolution import EvolutionStrategy, Strategy

Fitness = Callable[[np.ndarray], np.ndarray]
SOLVERS: list[Callable[..., Solver]] = [EvolutionStrategy, CMAES]
both = pytest.mark.parametrize("make", SOLVERS)
# Small numbers of parameters are made separable, so that tests of that variant are quick too.
variants = pytest.mark.parametrize("above", [500, 3], ids=["full", "separable"])


def sphere(x: np.ndarray) -> np.ndarray:
    return -((x - 1.0) ** 2).sum(axis=1)


def ellipsoid(x: np.ndarray) -> np.ndarray:
    return -(10 ** (6 * np.linspace(0, 1, x.shape[1])) * x**2).sum(axis=1)


def rotated_ellipsoid(x: np.ndarray) -> np.ndarray:
    basis, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((x.shape[1],) * 2))
    return ellipsoid(x @ basis)


def rosenbrock(x: np.ndarray) -> np.ndarray:
    return -(100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(axis=1)


def advance(solver: Solver, fitness: Fitness, generations: int) -> None:
    for _ in range(generations):
        solver.tell(fitness(solver.ask()))


def assert_equal_states(left: Mapping[str, np.ndarray], right: Mapping[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for name, array in left.items():
        assert array.dtype == right[name].dtype, name
        np.testing.assert_array_equal(array, right[name], err_msg=name)


@both
@pytest.mark.parametrize(
    ("fitness", "n", "popsize", "generations"),
    [
        (sphere, 10, 10, 200),
        (rosenbrock, 10, 16, 600),
        (ellipsoid, 10, 10, 500),
        (rotated_ellipsoid, 10, 10, 500),
    ],
)
def test_finds_the_optimum(
    make: Callable[..., Solver], fitness: Fitness, n: int, popsize: int, generations: int
) -> None:
    solver = make(np.full(n, 0.3), 0.5, popsize, seed=3)
    advance(solver, fitness, generations)
    assert fitness(solver.mean()[None])[0] > -1e-8
    x, value = solver.best()
    assert value == pytest.approx(fitness(x[None])[0], rel=1e-6)
    assert value > -1e-8


@both
def test_600_parameters_are_searched_in_linear_memory(make: Callable[..., Solver]) -> None:
    solver = make(np.zeros(600), 0.5, 24, seed=3)
    advance(solver, sphere, 400)
    assert fitness_left(solver) < 0.25 * 600
    assert max(array.size for array in solver.state().values()) < 600 * 100


@both
def test_separable_variant_learns_scales(make: Callable[..., Solver]) -> None:
    solver = make(np.full(40, 0.3), 0.5, 14, seed=3, separable_above=3)
    advance(solver, ellipsoid, 700)
    assert ellipsoid(solver.mean()[None])[0] > -1.0
    assert solver.statistics()["axis_ratio"] > 100


def fitness_left(solver: Solver) -> float:
    return -float(sphere(solver.mean()[None])[0])


@both
@variants
def test_only_the_ranking_matters(make: Callable[..., Solver], above: int) -> None:
    plain = make(np.zeros(8), 0.5, 12, seed=1, separable_above=above)
    bent = make(np.zeros(8), 0.5, 12, seed=1, separable_above=above)
    advance(plain, rosenbrock, 25)
    advance(bent, lambda x: -7.0 + np.arctan(rosenbrock(x) / 1000) ** 3, 25)
    np.testing.assert_array_equal(plain.ask(), bent.ask())


@both
@variants
@pytest.mark.parametrize("seed", [0, 7])
def test_equal_seeds_give_equal_runs(make: Callable[..., Solver], above: int, seed: int) -> None:
    runs = [make(np.zeros(6), 0.5, 8, seed=seed, separable_above=above) for _ in range(2)]
    for index, solver in enumerate(runs):
        np.random.seed(index)  # noqa: NPY002 - the global generator must not matter
        advance(solver, rosenbrock, 12)
    np.testing.assert_array_equal(runs[0].ask(), runs[1].ask())
    other = make(np.zeros(6), 0.5, 8, seed=seed + 1, separable_above=above)
    assert not np.array_equal(other.ask(), make(np.zeros(6), 0.5, 8, seed=seed).ask())


@both
def test_asking_twice_gives_the_same_candidates(make: Callable[..., Solver]) -> None:
    solver, other = make(np.zeros(6), 0.5, 8), make(np.zeros(6), 0.5, 8)
    for _ in range(4):
        first = solver.ask()
        kept = first.copy()
        first[:] = 99.0
        np.testing.assert_array_equal(solver.ask(), kept)
        fitness = sphere(kept)
        solver.tell(fitness)
        fitness[:] = 0.0
        advance(other, sphere, 1)
    assert_equal_states(solver.state(), other.state())


@both
@variants
@pytest.mark.parametrize("asked", [False, True], ids=["told", "asked"])
@pytest.mark.parametrize("saved_at", [0, 1, 2, 50])
def test_restored_solver_continues_bit_identically(
    make: Callable[..., Solver], above: int, asked: bool, saved_at: int
) -> None:
    def new() -> Solver:
        scales = np.linspace(0.5, 2.0, 12)
        return make(np.full(12, 0.2), 0.4, 9, scales, seed=4, separable_above=above)

    original, restored = new(), new()
    advance(original, rosenbrock, saved_at)
    if asked:
        original.ask()
    advance(restored, sphere, 3)
    restored.load_state(load(save(original.state())))
    assert restored.generation == saved_at
    for _ in range(35):
        candidates = original.ask()
        np.testing.assert_array_equal(candidates, restored.ask())
        original.tell(rosenbrock(candidates))
        restored.tell(rosenbrock(candidates))
    assert_equal_states(original.state(), restored.state())
    assert original.statistics() == restored.statistics()
    np.testing.assert_array_equal(original.mean(), restored.mean())
    np.testing.assert_array_equal(original.best()[0], restored.best()[0])


def assert_equal_solvers(left: Solver, right: Solver) -> None:
    """Equal to the last byte, NaN and the sign of zero included."""
    one, other = left.state(), right.state()
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert (array.dtype, array.shape) == (other[name].dtype, other[name].shape), name
        assert array.tobytes() == other[name].tobytes(), name
    assert repr(left.statistics()) == repr(right.statistics())


# Below six candidates pycma mirrors the worst of them in the next generation.
@both
@variants
@pytest.mark.parametrize(("n", "popsize"), [(4, 4), (40, 5)])
def test_copies_taken_at_every_generation_stay_equal_to_the_original(
    make: Callable[..., Solver], above: int, n: int, popsize: int
) -> None:
    def new() -> Solver:
        scales = np.linspace(0.5, 2.0, n)
        return make(np.full(n, 0.2), 0.4, popsize, scales, seed=4, separable_above=above)

    def copy(solver: Solver) -> Solver:
        made = new()
        made.load_state(load(save(solver.state())))
        return made

    original = new()
    relay = copy(original)
    copies: list[Solver] = []
    for _ in range(60):
        # The last few copies live on; the relay is saved and loaded before and after every ask.
        copies = [*copies[-2:], copy(original)]
        relay = copy(relay)
        candidates = original.ask()
        for solver in (relay, *copies):
            assert solver.ask().tobytes() == candidates.tobytes()
        relay = copy(relay)
        assert_equal_solvers(relay, original)
        for solver in (original, relay, *copies):
            solver.tell(rosenbrock(candidates))
        for solver in (relay, *copies):
            assert_equal_solvers(solver, original)


@both
@pytest.mark.parametrize(("n", "generations"), [(120, 6), (600, 6)])
def test_big_restored_solver_continues_bit_identically(
    make: Callable[..., Solver], n: int, generations: int
) -> None:
    original, restored = make(np.zeros(n), 0.4, 20), make(np.zeros(n), 0.4, 20)
    advance(original, ellipsoid, generations)
    restored.load_state(original.state())
    advance(original, ellipsoid, generations)
    advance(restored, ellipsoid, generations)
    assert_equal_states(original.state(), restored.state())


@both
def test_told_state_is_not_changed_by_going_on(make: Callable[..., Solver]) -> None:
    solver = make(np.zeros(6), 0.5, 8)
    advance(solver, sphere, 3)
    state = solver.state()
    kept = {name: array.copy() for name, array in state.items()}
    advance(solver, sphere, 3)
    assert_equal_states(state, kept)
    copy = make(np.zeros(6), 0.5, 8)
    copy.load_state(state)
    advance(copy, sphere, 3)
    assert_equal_states(state, kept)


@both
@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"popsize": 9}, {"initial_mean": np.zeros(7)}, {"separable_above": 2}]
)
def test_state_of_another_solver_is_refused(
    make: Callable[..., Solver], change: dict[str, Any]
) -> None:
    arguments: dict[str, Any] = {"initial_mean": np.zeros(6), "sigma": 0.5, "popsize": 8}
    state = make(**arguments).state()
    with pytest.raises(ValueError, match="the run that is continued"):
        make(**(arguments | change)).load_state(state)


@both
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_fitness_is_refused_and_changes_nothing(
    make: Callable[..., Solver], bad: float
) -> None:
    solver = make(np.zeros(6), 0.5, 8)
    advance(solver, sphere, 3)
    fitness = sphere(solver.ask())
    before = solver.state()
    poisoned = fitness.copy()
    poisoned[5] = bad
    with pytest.raises(NonFiniteFitness, match=r"candidates \[5\]"):
        solver.tell(poisoned)
    with pytest.raises(ValueError, match="shape"):
        solver.tell(fitness[:-1])
    assert_equal_states(before, solver.state())
    solver.tell(fitness)
    with pytest.raises(RuntimeError, match="ask first"):
        solver.tell(fitness)


@both
@pytest.mark.parametrize(
    "change",
    [
        {"sigma": 0.0},
        {"sigma": np.nan},
        {"popsize": 2},
        {"seed": -1},
        {"initial_mean": np.zeros((2, 2))},
        {"initial_mean": np.array([0.0, np.nan])},
        {"scales": np.ones(4)},
        {"scales": np.array([1.0, 0.0, 1.0])},
    ],
)
def test_bad_arguments_are_refused(make: Callable[..., Solver], change: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"initial_mean": np.zeros(3), "sigma": 0.5, "popsize": 8}
    with pytest.raises(ValueError, match="must"):
        make(**(arguments | change))


@both
@variants
def test_scales_shape_the_first_generation(make: Callable[..., Solver], above: int) -> None:
    scales = np.array([0.01, 1.0, 1.0, 100.0])
    solver = make(np.full(4, 5.0), 0.5, 2000, scales, separable_above=above)
    deviation = solver.ask().std(axis=0)
    np.testing.assert_allclose(deviation, 0.5 * scales, rtol=0.1)
    assert solver.statistics()["axis_ratio"] == pytest.approx(1.0, abs=1e-3)


@both
def test_statistics_describe_the_last_generation(make: Callable[..., Solver]) -> None:
    solver = make(np.zeros(4), 0.5, 8)
    assert np.isnan(solver.statistics()["fitness_mean"])
    assert solver.best()[1] == -np.inf
    told = []
    for fitness in (np.arange(8.0), np.arange(8.0) - 3, np.arange(8.0) - 1):
        solver.ask()
        solver.tell(fitness)
        told.append(solver.statistics())
    assert [s["fitness_mean"] for s in told] == [3.5, 0.5, 2.5]
    assert [s["fitness_best"] for s in told] == [7.0, 4.0, 6.0]
    assert [s["fitness_record"] for s in told] == [7.0, 7.0, 7.0]
    assert [s["stagnation"] for s in told] == [0.0, 1.0, 2.0]
    assert [s["generation"] for s in told] == [1.0, 2.0, 3.0]
    assert told[0]["fitness_std"] == pytest.approx(np.arange(8.0).std())
    assert all(s["sigma"] > 0 and s["axis_ratio"] >= 1 for s in told)


@both
def test_plateau_neither_widens_nor_narrows_the_search_much(make: Callable[..., Solver]) -> None:
    finals = []
    for seed in range(5):
        solver = make(np.zeros(10), 0.5, 12, seed=seed)
        advance(solver, lambda x: np.full(len(x), -21.0), 100)
        finals.append(solver.statistics()["sigma"])
    assert 0.05 < np.median(finals) < 5.0


def test_pycma_leaves_no_file_and_no_global_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cma_signals.in").write_text("{'maxiter': exit(3)}")
    monkeypatch.chdir(tmp_path)
    before = np.random.get_state()  # noqa: NPY002 - it is the global generator that is watched
    for above in (500, 3):
        advance(CMAES(np.zeros(6), 0.5, 8, seed=0, separable_above=above), rosenbrock, 30)
    after = np.random.get_state()  # noqa: NPY002
    assert str(before) == str(after)
    assert os.listdir(tmp_path) == ["cma_signals.in"]  # noqa: PTH208
    assert capfd.readouterr() == ("", "")


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 5000), popsize=st.integers(3, 600), separable=st.booleans())
def test_strategy_constants_keep_the_covariance_positive(
    n: int, popsize: int, separable: bool
) -> None:
    s = Strategy.default(n, popsize, separable)
    positive, negative = s.weights[s.weights > 0], s.weights[s.weights < 0]
    assert positive.sum() == pytest.approx(1.0)
    assert (np.diff(s.weights) <= 0).all()
    assert s.c_1 > 0 and s.c_mu > 0 and s.c_1 + s.c_mu <= 1 + 1e-12
    assert 0 < s.c_sigma < 1 and 0 < s.c_c <= 1 and s.d_sigma > 0
    # Even if all negative weight met one direction, what is left of its variance is not negative.
    assert 1 - s.c_1 - s.c_mu + n * s.c_mu * negative.sum() >= -1e-9


@settings(max_examples=25, deadline=None)
@given(
    make=st.sampled_from(SOLVERS),
    n=st.integers(1, 6),
    popsize=st.integers(3, 9),
    above=st.sampled_from([0, 500]),
    data=st.data(),
)
def test_any_finite_fitness_keeps_candidates_finite(
    make: Callable[..., Solver], n: int, popsize: int, above: int, data: st.DataObject
) -> None:
    solver = make(np.zeros(n), 0.5, popsize, separable_above=above)
    values = st.lists(st.floats(-1e300, 1e300), min_size=popsize, max_size=popsize)
    for _ in range(8):
        solver.ask()
        solver.tell(np.array(data.draw(values)))
    assert np.isfinite(solver.ask()).all()
    assert np.isfinite(solver.mean()).all()


def test_solvers_meet_the_contract() -> None:
    for make in SOLVERS:
        solver = make(np.zeros(3), 0.5, 6)
        assert isinstance(solver, Solver)
        assert (solver.dimension, solver.popsize, solver.generation) == (3, 6, 0)
        with contextlib.suppress(NonFiniteFitness):
            solver.tell(np.full(6, np.nan))
        assert solver.ask().shape == (6, 3) and solver.ask().dtype == np.float64
