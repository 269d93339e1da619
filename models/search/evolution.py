"""CMA-ES in numpy: full covariance for few parameters, separable for many.

Equation numbers are those of Hansen, "The CMA Evolution Strategy: A Tutorial"
(arXiv:1604.00772, appendix A); the separable variant follows Ros & Hansen, "A Simple Modification
in CMA-ES Achieving Linear Time and Space Complexity" (PPSN 2008).

Generation `g` draws from `SeedSequence([seed, g])`, so candidates are a pure function of the
distribution and the generation: asking twice, or saving between ask and tell, costs no extra state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.interfaces import Metrics, NonFiniteFitness, State

Vector = NDArray[np.float64]


SEPARABLE_ABOVE = 500
"""Parameters above which only variances are learnt: a covariance needs O(P^2) memory and more."""


def search_bytes(dimension: int) -> int:
    """Returns how many bytes a solver's distribution has at most, over so many parameters.

    pycma keeps up to four matrices, or vectors of variances, in double precision.
    """
    return 8 * 4 * (dimension if dimension > SEPARABLE_ABOVE else dimension**2)


@dataclass
class FitnessRecord:
    """What a solver remembers of the fitness it was told; shared by all solvers.

    Attributes:
        best_x: `[P]` float64, the best candidate ever told (the start before the first tell).
        best_fitness: its fitness, minus infinity before the first tell.
        last: `[popsize]` float64, the last generation's fitness (empty before the first tell).
        median_record: highest median fitness of any generation.
        stagnation: generations since `median_record` was set. The median is used because one
            lucky rollout sets a best, but does not lift half a population.
    """

    best_x: Vector
    best_fitness: float = -np.inf
    last: Vector = field(default_factory=lambda: np.zeros(0))
    median_record: float = -np.inf
    stagnation: int = 0

    def add(self, candidates: Vector, fitness: Vector) -> None:
        """Takes one generation: `[popsize, P]` and `[popsize]`, float64."""
        top = int(np.argmax(fitness))
        if fitness[top] > self.best_fitness:
            self.best_fitness = float(fitness[top])
            self.best_x = candidates[top].copy()
        self.last = fitness.copy()
        median = float(np.median(fitness))
        self.stagnation = 0 if median > self.median_record else self.stagnation + 1
        self.median_record = max(median, self.median_record)

    def statistics(self) -> Metrics:
        """Returns figures of the last generation and the record; NaN before the first tell."""
        told = self.last.size > 0
        return {
            "fitness_mean": float(self.last.mean()) if told else np.nan,
            "fitness_best": float(self.last.max()) if told else np.nan,
            "fitness_std": float(self.last.std()) if told else np.nan,
            "fitness_record": self.best_fitness if told else np.nan,
            "stagnation": float(self.stagnation),
        }

    def state(self) -> State:
        """Returns the record as float64 arrays."""
        numbers = [self.best_fitness, self.median_record, float(self.stagnation)]
        return {
            "record_x": self.best_x.copy(),
            "record_last": self.last.copy(),
            "record_numbers": np.array(numbers, dtype=np.float64),
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Takes over what `state` returned."""
        self.best_x = np.array(state["record_x"], dtype=np.float64)
        self.last = np.array(state["record_last"], dtype=np.float64)
        best, median, stagnation = (float(value) for value in state["record_numbers"])
        self.best_fitness, self.median_record, self.stagnation = best, median, int(stagnation)


@dataclass(frozen=True)
class Strategy:
    """The constants of one run, from P and popsize alone (table 1 of the tutorial).

    Attributes:
        weights: `[popsize]` float64, positive ones summing to 1, then negative ones, eq. (53).
        mu_eff: variance-effective selection mass, eq. (8).
        c_sigma, d_sigma: cumulation and damping of the step size, eq. (55).
        c_c: cumulation of the rank-one path, eq. (56).
        c_1, c_mu: learning rates of the covariance, eq. (57) and (58).
        expected_norm: E||N(0, I)||, approximated below eq. (44).
    """

    weights: Vector
    mu_eff: float
    c_sigma: float
    d_sigma: float
    c_c: float
    c_1: float
    c_mu: float
    expected_norm: float

    @classmethod
    def default(cls, n: int, popsize: int, separable: bool) -> Strategy:
        """Returns the tutorial's defaults for `n` parameters and `popsize` candidates.

        Only n variances are learnt when separable, so Ros & Hansen (section 3) raise both learning
        rates of the covariance by (n + 2) / 3.
        """
        raw = np.log((popsize + 1) / 2) - np.log(np.arange(1, popsize + 1))  # (49)
        positive, negative = raw[: popsize // 2], raw[popsize // 2 :]
        mu_eff = float(positive.sum() ** 2 / (positive**2).sum())  # (8)
        mu_eff_minus = float(negative.sum() ** 2 / (negative**2).sum())
        faster = (n + 2) / 3 if separable else 1.0
        c_1 = min(0.5, faster * 2 / ((n + 1.3) ** 2 + mu_eff))  # (57)
        c_mu = faster * 2 * (0.25 + mu_eff + 1 / mu_eff - 2) / ((n + 2) ** 2 + mu_eff)
        c_mu = min(1 - c_1, c_mu)  # (58)
        mass = min(
            1 + c_1 / c_mu,  # (50)
            1 + 2 * mu_eff_minus / (mu_eff + 2),  # (51)
            (1 - c_1 - c_mu) / (n * c_mu),  # (52)
        )
        weights = np.concatenate(
            [positive / positive.sum(), mass * negative / np.abs(negative).sum()]
        )  # (53)
        c_sigma = (mu_eff + 2) / (n + mu_eff + 5)  # (55)
        d_sigma = 1 + 2 * max(0.0, float(np.sqrt((mu_eff - 1) / (n + 1))) - 1) + c_sigma  # (55)
        c_c = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n)  # (56)
        norm = float(np.sqrt(n)) * (1 - 1 / (4 * n) + 1 / (21 * n**2))
        return cls(weights, mu_eff, c_sigma, d_sigma, c_c, c_1, c_mu, norm)


class EvolutionStrategy:
    """CMA-ES that maximises, with exact state (`models.interfaces.Solver`).

    Args:
        initial_mean: `[P]`, where the search starts.
        sigma: initial step size, > 0.
        popsize: candidates per generation, >= 3.
        scales: `[P]`, relative initial standard deviation of each parameter; ones when None.
        seed: non-negative; equal seeds give equal runs, 0 included.
        separable_above: number of parameters above which only variances are learnt, because the
            full covariance needs O(P^2) memory and O(P^3) time.

    Raises:
        ValueError: an argument is out of range or not finite.
    """

    def __init__(
        self,
        initial_mean: np.ndarray,
        sigma: float,
        popsize: int,
        scales: np.ndarray | None = None,
        seed: int = 0,
        separable_above: int = SEPARABLE_ABOVE,
    ) -> None:
        self._mean, self._scales = check_start(initial_mean, sigma, popsize, scales, seed)
        self.dimension = self._mean.size
        self.popsize = popsize
        self.generation = 0
        self.separable = self.dimension > separable_above
        self._seed = seed
        self._sigma = float(sigma)
        self._asked = False
        self._s = Strategy.default(self.dimension, popsize, self.separable)
        n = self.dimension
        self._path_sigma = np.zeros(n)
        self._path_c = np.zeros(n)
        self._covariance = np.ones(n) if self.separable else np.eye(n)
        self._basis = np.zeros((0, 0)) if self.separable else np.eye(n)
        self._deviations = np.ones(n)
        self._decomposed_at = 0
        # Appendix B.2: waiting this long costs little precision and keeps eigh off the bill.
        self._decompose_every = max(1, int(1 / (10 * n * (self._s.c_1 + self._s.c_mu))))
        self._record = FitnessRecord(self._mean.copy())

    def ask(self) -> Vector:
        """Returns candidates `[popsize, P]` float64; the same ones until they are told."""
        self._asked = True
        return self._candidates(self._steps(self._normals()))

    def tell(self, fitness: np.ndarray) -> None:
        """Moves the distribution towards the fitter candidates; ties keep the order of `ask`.

        Equal fitness is ranked as it comes: on a plateau selection is then random and the step size
        neutral, whereas widening it (appendix B.3) would throw away a solution that every
        candidate already solves.

        Args:
            fitness: `[popsize]`, of the last asked candidates, higher is better.

        Raises:
            NonFiniteFitness: some value is NaN or infinite; nothing was changed.
            ValueError: the shape is wrong; nothing was changed.
            RuntimeError: nothing was asked since the last tell.
        """
        values = check_fitness(fitness, self.popsize, self._asked)
        normals = self._normals()
        steps = self._steps(normals)
        self._record.add(self._candidates(steps), values)
        order = np.argsort(-values, kind="stable")
        self._update(normals[order], steps[order])
        self.generation += 1
        self._asked = False
        self._decompose()

    def mean(self) -> Vector:
        """Returns the distribution's mean, `[P]` float64."""
        return self._mean.copy()

    def best(self) -> tuple[Vector, float]:
        """Returns the best candidate ever told and its fitness (start, -inf before any tell)."""
        return self._record.best_x.copy(), self._record.best_fitness

    def statistics(self) -> Metrics:
        """Returns `sigma`, `axis_ratio`, `generation`, and the figures of `FitnessRecord`."""
        return {
            "generation": float(self.generation),
            "sigma": self._sigma,
            "axis_ratio": float(self._deviations.max() / self._deviations.min()),
            **self._record.statistics(),
        }

    def state(self) -> State:
        """Returns all the next `ask` and `tell` depend on, `[P, P]` arrays if not separable."""
        counters = [self.generation, self._decomposed_at, int(self._asked), self._seed]
        return {
            "mean": self._mean.copy(),
            "sigma": np.array(self._sigma),
            "path_sigma": self._path_sigma.copy(),
            "path_c": self._path_c.copy(),
            "covariance": self._covariance.copy(),
            "basis": self._basis.copy(),
            "deviations": self._deviations.copy(),
            "counters": np.array(counters, dtype=np.int64),
            "popsize": np.array(self.popsize),
            **self._record.state(),
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues exactly where `state` was taken.

        Raises:
            ValueError: the state is of another dimension, popsize, variant or seed.
        """
        generation, decomposed_at, asked, seed = (int(value) for value in state["counters"])
        given = (state["covariance"].shape, int(state["popsize"]), seed)
        expected = (self._covariance.shape, self.popsize, self._seed)
        if given != expected:
            raise ValueError(
                f"solver state is of covariance shape, popsize, seed {given}, but this solver has "
                f"{expected}: build it with the arguments of the run that is continued"
            )
        self.generation, self._decomposed_at, self._asked = generation, decomposed_at, bool(asked)
        self._sigma = float(state["sigma"])
        self._mean = np.array(state["mean"], dtype=np.float64)
        self._path_sigma = np.array(state["path_sigma"], dtype=np.float64)
        self._path_c = np.array(state["path_c"], dtype=np.float64)
        self._covariance = np.array(state["covariance"], dtype=np.float64)
        self._basis = np.array(state["basis"], dtype=np.float64)
        self._deviations = np.array(state["deviations"], dtype=np.float64)
        self._record.load_state(state)

    def _normals(self) -> Vector:
        """Returns z_k ~ N(0, I) of this generation, `[popsize, P]`, eq. (38)."""
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, self.generation]))
        return rng.standard_normal((self.popsize, self.dimension))

    def _steps(self, normals: Vector) -> Vector:
        """Returns y_k = B D z_k, `[popsize, P]`, eq. (39)."""
        steps = normals * self._deviations
        return steps if self.separable else steps @ self._basis.T

    def _candidates(self, steps: Vector) -> Vector:
        """Returns x_k = m + sigma y_k, `[popsize, P]`, eq. (40), with y in units of `scales`."""
        return self._mean + self._sigma * self._scales * steps

    def _update(self, normals: Vector, steps: Vector) -> None:
        """Applies eq. (41) to (47) to `[popsize, P]` samples, best first."""
        s, n = self._s, self.dimension
        selected = s.weights * (s.weights > 0)
        step = selected @ steps  # (41)
        whitened = selected @ normals
        if not self.separable:
            whitened = self._basis @ whitened  # C^(-1/2) <y>_w = B <z>_w
        self._mean = self._mean + self._sigma * self._scales * step  # (42), c_m = 1
        self._path_sigma = (1 - s.c_sigma) * self._path_sigma + np.sqrt(
            s.c_sigma * (2 - s.c_sigma) * s.mu_eff
        ) * whitened  # (43)
        length = float(np.linalg.norm(self._path_sigma))
        # Capped at a factor e, so that one freak generation cannot run away.
        self._sigma *= float(
            np.exp(min(1.0, s.c_sigma / s.d_sigma * (length / s.expected_norm - 1)))
        )  # (44)
        warmed = float(np.sqrt(1 - (1 - s.c_sigma) ** (2 * (self.generation + 1))))
        h_sigma = float(length / warmed < (1.4 + 2 / (n + 1)) * s.expected_norm)
        self._path_c = (1 - s.c_c) * self._path_c + h_sigma * np.sqrt(
            s.c_c * (2 - s.c_c) * s.mu_eff
        ) * step  # (45)
        scaled = np.where(
            s.weights >= 0, s.weights, s.weights * n / (normals**2).sum(axis=1)
        )  # (46)
        kept = 1 + s.c_1 * (1 - h_sigma) * s.c_c * (2 - s.c_c) - s.c_1 - s.c_mu * s.weights.sum()
        self._covariance = kept * self._covariance + self._outer(scaled, steps)  # (47)

    def _outer(self, weights: Vector, steps: Vector) -> Vector:
        """Returns the rank-one and rank-mu terms of eq. (47), their diagonal if separable."""
        s = self._s
        if self.separable:
            return s.c_1 * self._path_c**2 + s.c_mu * (weights @ steps**2)
        rank_mu = (steps.T * weights) @ steps
        return s.c_1 * np.outer(self._path_c, self._path_c) + s.c_mu * rank_mu

    def _decompose(self) -> None:
        """Renews B and D, C = B D^2 B^T, keeping the axis ratio below 1e7."""
        if self.separable:
            variances = self._covariance
            floor = 1e-14 * variances.max()
            self._covariance = np.maximum(variances, floor)
            self._deviations = np.sqrt(self._covariance)
            return
        if self.generation - self._decomposed_at < self._decompose_every:
            return
        self._covariance = (self._covariance + self._covariance.T) / 2
        variances, basis = np.linalg.eigh(self._covariance)
        # The memory order decides how BLAS rounds, and a saved state keeps none.
        self._basis = np.ascontiguousarray(basis)
        self._deviations = np.sqrt(np.maximum(variances, 1e-14 * variances.max()))
        self._decomposed_at = self.generation


def check_start(
    initial_mean: np.ndarray, sigma: float, popsize: int, scales: np.ndarray | None, seed: int
) -> tuple[Vector, Vector]:
    """Returns the start and the scales, `[P]` float64 copies each, or raises ValueError."""
    mean = np.array(initial_mean, dtype=np.float64)
    if mean.ndim != 1 or mean.size == 0 or not np.isfinite(mean).all():
        raise ValueError(f"initial_mean must be finite and of shape [P], got shape {mean.shape}")
    if not (np.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma must be finite and above 0, got {sigma}")
    if popsize < 3:
        raise ValueError(f"popsize must be at least 3 for a ranking to select, got {popsize}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    spread = np.ones(mean.size) if scales is None else np.array(scales, dtype=np.float64)
    if spread.shape != mean.shape or not (np.isfinite(spread) & (spread > 0)).all():
        raise ValueError(
            f"scales must be finite, above 0 and of shape {mean.shape}, got shape {spread.shape}"
        )
    return mean, spread


def check_fitness(fitness: np.ndarray, popsize: int, asked: bool) -> Vector:
    """Returns the fitness as `[popsize]` float64, or raises as `Solver.tell` documents."""
    values = np.asarray(fitness, dtype=np.float64)
    if values.shape != (popsize,):
        raise ValueError(f"fitness must have shape ({popsize},), got {values.shape}")
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise NonFiniteFitness(
            f"fitness of candidates {bad.tolist()[:8]} is {values[bad].tolist()[:8]}; it must be "
            "finite: evaluate these candidates again or give them a finite penalty"
        )
    if not asked:
        raise RuntimeError("tell came without an ask since the last tell: call ask first")
    return values


if __name__ == "__main__":
    from models.selftest.policies import check_solver

    start = np.zeros(5)
    raise SystemExit(check_solver("evolution", lambda: EvolutionStrategy(start, 0.5, 12), 150))
