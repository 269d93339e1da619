"""pycma's CMA-ES behind the project's solver contract, made deterministic and exactly resumable.

pycma draws from numpy's global generator, takes seed 0 for the clock, replaces NaN fitness by the
median, reads options from a file in the current directory and can only be saved by pickling. Here
it is given its own generator (restarted from `SeedSequence([seed, generation])` at every ask),
never asked to stop, log or print, and saved as arrays: all plain numbers of its parts.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from models.interfaces import Metrics, State
from models.search.evolution import (
    SEPARABLE_ABOVE,
    FitnessRecord,
    Vector,
    check_fitness,
    check_start,
)

with warnings.catch_warnings():
    # pycma warns on import when matplotlib, which only its plots need, is missing.
    warnings.simplefilter("ignore")
    import cma
    from cma.sigma_adaptation import CMAAdaptSigmaCSA

# Parts of pycma's object that change from generation to generation; "" is the object itself.
_PARTS = ("", "sm", "sigma_vec", "adapt_sigma", "fit", "best")


class CMAES:
    """pycma's CMA-ES, maximising (`models.interfaces.Solver`).

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
        self._start, self._scales = check_start(initial_mean, sigma, popsize, scales, seed)
        self.dimension = self._start.size
        self.popsize = popsize
        self.generation = 0
        self.separable = self.dimension > separable_above
        self._sigma = float(sigma)
        self._seed = seed
        self._normals = _Normals(seed)
        self._es = self._new()
        self._record = FitnessRecord(self._start.copy())
        self._candidates: Vector | None = None
        self._before_ask: State = {}

    def ask(self) -> Vector:
        """Returns candidates `[popsize, P]` float64; the same ones until they are told."""
        if self._candidates is None:
            # Asking changes pycma; a state saved now has to be the one that asks the same again.
            self._before_ask = _to_arrays(self._es)
            self._normals.restart(self.generation)
            self._candidates = np.array(self._es.ask(), dtype=np.float64)
        return self._candidates.copy()

    def tell(self, fitness: np.ndarray) -> None:
        """Moves the distribution towards the fitter candidates.

        Args:
            fitness: `[popsize]`, of the last asked candidates, higher is better.

        Raises:
            NonFiniteFitness: some value is NaN or infinite; nothing was changed.
            ValueError: the shape is wrong; nothing was changed.
            RuntimeError: nothing was asked since the last tell.
        """
        values = check_fitness(fitness, self.popsize, self._candidates is not None)
        assert self._candidates is not None
        self._record.add(self._candidates, values)
        self._es.tell(list(self._candidates), (-values).tolist())
        self._candidates = None
        self._before_ask = {}
        self.generation += 1

    def mean(self) -> Vector:
        """Returns the distribution's mean, `[P]` float64."""
        return np.array(self._es.mean, dtype=np.float64)

    def best(self) -> tuple[Vector, float]:
        """Returns the best candidate ever told and its fitness (start, -inf before any tell)."""
        return self._record.best_x.copy(), self._record.best_fitness

    def statistics(self) -> Metrics:
        """Returns `sigma`, `axis_ratio`, `generation`, and the figures of `FitnessRecord`."""
        axes = np.asarray(self._es.D, dtype=np.float64)
        if self.separable:
            axes = axes * self._es.sigma_vec.scaling / self._scales
        return {
            "generation": float(self.generation),
            "sigma": float(self._es.sigma),
            "axis_ratio": float(axes.max() / axes.min()),
            **self._record.statistics(),
        }

    def state(self) -> State:
        """Returns all the next `ask` and `tell` depend on, `[P, P]` arrays if not separable."""
        asked = self._candidates is not None
        identity = [self.dimension, self.popsize, self._seed, int(self.separable)]
        return {
            "identity": np.array(identity, dtype=np.int64),
            "counters": np.array([self.generation, int(asked)], dtype=np.int64),
            **(self._before_ask if asked else _to_arrays(self._es)),
            **self._record.state(),
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues exactly where `state` was taken.

        Raises:
            ValueError: the state is of another dimension, popsize, seed or variant.
        """
        given = [int(value) for value in state["identity"]]
        expected = [self.dimension, self.popsize, self._seed, int(self.separable)]
        if given != expected:
            raise ValueError(
                f"solver state is of P, popsize, seed, separable {given}, but this solver has "
                f"{expected}: build it with the arguments of the run that is continued"
            )
        self.generation, asked = (int(value) for value in state["counters"])
        self._record.load_state(state)
        self._es = self._new()
        if self.generation:
            # One generation of anything makes the objects that pycma makes on first use.
            self._es.tell(self._es.ask(), list(range(self.popsize)))
            _from_arrays(self._es, state)
        self._candidates = None
        if asked:
            self.ask()

    def _new(self) -> Any:
        options = {
            "popsize": self.popsize,
            "CMA_stds": self._scales.copy(),
            "CMA_diagonal": self.separable,
            # Two-point adaptation, pycma's choice from 300 parameters on, spends candidates.
            "AdaptSigma": CMAAdaptSigmaCSA,
            # Would change the coordinate system in ways that are not plain numbers.
            "conditioncov_alleviate": False,
            "randn": self._normals,
            "seed": np.nan,
            "verbose": -9,
            "verb_log": 0,
            "verb_disp": 0,
            # None would mean the default, a file in the current directory.
            "signals_filename": "",
        }
        # pycma adds a filter of its own to the process's warnings.
        with warnings.catch_warnings():
            return cma.CMAEvolutionStrategy(self._start.copy(), self._sigma, options)


class _Normals:
    """The standard normal numbers of one generation, whatever was drawn before."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.restart(0)

    def restart(self, generation: int) -> None:
        self._rng = np.random.default_rng(np.random.SeedSequence([self._seed, generation]))

    def __call__(self, *shape: int) -> Vector:
        return self._rng.standard_normal(shape)


def _to_arrays(es: Any) -> State:
    """Returns the plain numbers of pycma's parts: a JSON tree as bytes, and its arrays."""
    arrays: list[np.ndarray] = []
    seen: dict[int, int] = {}
    tree = {}
    for part in _PARTS:
        packed = {name: _pack(value, arrays, seen) for name, value in vars(_part(es, part)).items()}
        tree[part] = {name: node for name, node in packed.items() if node is not None}
    text = json.dumps(tree).encode()
    named = {f"pycma_{i:03d}": array for i, array in enumerate(arrays)}
    return {"pycma": np.frombuffer(text, dtype=np.uint8).copy(), **named}


def _from_arrays(es: Any, state: Mapping[str, np.ndarray]) -> None:
    """Gives a new pycma object the numbers that `_to_arrays` took from another."""
    tree = json.loads(bytes(np.asarray(state["pycma"], dtype=np.uint8)).decode())
    arrays = [np.array(state[name]) for name in sorted(state) if name.startswith("pycma_")]
    unpacked: dict[int, np.ndarray] = {}
    for part, nodes in tree.items():
        vars(_part(es, part)).update(
            {name: _unpack(node, arrays, unpacked) for name, node in nodes.items()}
        )
    es._updateBDfromSM(es.sm)


def _part(es: Any, name: str) -> Any:
    return getattr(es, name) if name else es


def _pack(value: Any, arrays: list[np.ndarray], seen: dict[int, int]) -> list[Any] | None:
    """Returns the tree node of a value, or None if it is not data; arrays are put aside."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        # One array under two names stays one; the memory order decides how BLAS rounds.
        turned = value.flags.f_contiguous and not value.flags.c_contiguous
        if id(value) not in seen:
            seen[id(value)] = len(arrays)
            arrays.append(np.array(value.T if turned else value, order="C"))
        return ["turned" if turned else "array", seen[id(value)]]
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        arrays.append(np.array(value))
        return ["scalar", len(arrays) - 1]
    if value is None or type(value) in (bool, int, float, str):
        return ["plain", value]
    if type(value) is range:
        return ["range", [value.start, value.stop, value.step]]
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        nodes = [_pack(item, arrays, seen) for item in value]
        return None if None in nodes else [type(value).__name__, nodes]
    return None


def _unpack(node: list[Any], arrays: list[np.ndarray], unpacked: dict[int, np.ndarray]) -> Any:
    kind, content = node
    if kind == "plain":
        return content
    if kind == "range":
        return range(*content)
    if kind in ("list", "tuple"):
        items = [_unpack(item, arrays, unpacked) for item in content]
        return items if kind == "list" else tuple(items)
    if kind == "scalar":
        return arrays[content][()]
    array = arrays[content]
    return unpacked.setdefault(content, array.T if kind == "turned" else array)


if __name__ == "__main__":
    from models.selftest.policies import check_solver

    raise SystemExit(check_solver("cma_es", lambda: CMAES(np.zeros(5), 0.5, 12), 150))
