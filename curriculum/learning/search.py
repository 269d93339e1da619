"""A solver searches C's parameters by ask and tell, in the dream or in the real environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from curriculum.agent.work import Fitness, FitnessUnit, measure_fitness
from curriculum.config.schema import ControllerConfig
from curriculum.envs.interface import ActionSpec
from curriculum.errors import require
from curriculum.learning.selection import Selection
from curriculum.place import Place
from curriculum.pool import Executor
from curriculum.records.agent_state import PARAMETERS
from curriculum.stops import Guard
from models.interfaces import Controller, Float, Metrics, NonFiniteFitness, Solver


@dataclass
class SearchCounters:
    """What the search has used; committed."""

    env_steps: int = 0
    dream_steps: int = 0
    checked: int = 0


@dataclass(frozen=True)
class SearchPlan:
    """What is searched in, and how long.

    Attributes:
        generations: at most.
        in_dream: search inside M.
        together: episodes that are played side by side.
        practised: what was done before, to be committed with what is found. Generations are told
            as the numbers that follow its `updates`, so no number of a stage is told twice.
        kept: arrays of that to be committed too, for the next round.
    """

    generations: int
    in_dream: bool
    together: int
    practised: Mapping[str, Any]
    kept: Mapping[str, np.ndarray]


class Search:
    """A solver, the space it searches and what it found; one `generation` after another.

    Args:
        place: of the controller stage.
        executor: plays candidates; it already knows V and M.
        settings: of the task's controller.
        plan: what is searched in, and how long.
        solver: asks and is told.
        space: the parameters that are searched.
        selection: what was found before, and where what is found goes.
    """

    def __init__(
        self,
        place: Place,
        executor: Executor,
        settings: ControllerConfig,
        plan: SearchPlan,
        solver: Solver,
        space: SearchSpace,
        selection: Selection,
    ) -> None:
        self._place, self._executor = place, executor
        self._settings, self.plan = settings, plan
        self._solver, self._space, self._selection = solver, space, selection
        self._first = int(plan.practised.get("updates", 0))
        self._guard = Guard(place.barrier, self.save)
        self.counters = SearchCounters(checked=self._first)

    @property
    def generation(self) -> int:
        """Generations so far."""
        return self._solver.generation

    @property
    def over(self) -> bool:
        """Whether the target is confirmed, or the generations are spent and checked."""
        spent = self._solver.generation >= self.plan.generations
        return self._selection.confirmed or (spent and not self.check_due)

    @property
    def check_due(self) -> bool:
        """Whether the mean of this generation has to play fresh real episodes before the next."""
        generation, every = self._solver.generation, self._settings.check_every
        due = generation >= self.plan.generations or (every > 0 and generation % every == 0)
        return due and self._number > self.counters.checked

    @property
    def _number(self) -> int:
        """What this generation is told as."""
        return self._first + self._solver.generation

    def resume(self) -> None:
        """Continues from this stage's newest commit, if a search made it."""
        commit = self._place.store.latest()
        if commit is None or "generation" not in commit.meta:
            return
        self._solver.load_state(commit.part("solver"))
        self.counters = SearchCounters(**commit.meta["counters"])
        self._selection.load(commit.meta["deployment"], commit.arrays)

    def run(self) -> None:
        """Searches until the target is confirmed or the generations are spent."""
        while not self.over:
            self._check() if self.check_due else self._generation()
            self._guard.reached()

    def statistics(self) -> Metrics:
        """Returns the solver's."""
        return self._solver.statistics()

    def save(self, complete: bool = False) -> None:
        """Commits solver, counters and what is deployed."""
        arrays = {f"solver/{k}": v for k, v in self._solver.state().items()}
        arrays |= {**self.plan.kept, **self._selection.learned}
        practised = dict(self.plan.practised)
        meta = {
            "counters": dict(vars(self.counters)),
            "deployment": self._selection.meta(),
            "generation": self._number,
            "rollbacks": practised.get("rollbacks", 0),
            "practised": practised,
        }
        self._place.store.save(arrays, meta, complete=complete)

    def _generation(self) -> None:
        """One ask, one evaluation of all candidates, one tell."""
        candidates = self._space.expand(self._solver.ask())
        scores, steps = self._measure(candidates)
        fitness = scores.mean(axis=1)
        try:
            self._solver.tell(fitness)
        except NonFiniteFitness as e:
            require(False, f"generation {self._solver.generation} scored NaN: {e}")
        if self.plan.in_dream:
            self.counters.dream_steps += steps
        else:
            self.counters.env_steps += steps
        self._report(fitness)

    def _measure(self, candidates: np.ndarray) -> tuple[np.ndarray, int]:
        """Returns scores `[popsize, K]` and the number of steps they took."""
        settings = self._settings
        count = settings.rollouts_per_candidate
        seeds = self._place.env_seeds("fitness", self._solver.generation, count=count)
        units = [
            FitnessUnit(part, tuple(seeds), settings.max_steps_per_rollout, self.plan.in_dream)
            for part in np.array_split(candidates, self._num_units(len(candidates)))
        ]
        results: list[Fitness] = self._executor.map(
            measure_fitness,
            units,
            on_wait=self._guard.may_stop,
            on_result=lambda number, result: self._guard.may_stop(),
        )
        scores = np.concatenate([r.scores for r in results])
        return scores, int(sum(r.steps.sum() for r in results))

    def _num_units(self, candidates: int) -> int:
        """Cuts a generation by configuration alone, so that results never depend on workers."""
        episodes = candidates * self._settings.rollouts_per_candidate
        return min(candidates, -(-episodes // self.plan.together))

    def _check(self) -> None:
        """Has the mean play fresh real episodes."""
        mean = self._space.expand(self._solver.mean()[None])[0]
        self._selection.check({PARAMETERS: mean}, self._number, self._guard)
        self.counters.checked = self._number

    def _report(self, fitness: np.ndarray) -> None:
        statistics = self._solver.statistics()
        before = float(self.plan.practised.get("env_steps", 0))
        facts = {"fitness": float(fitness.mean()), "sigma": statistics["sigma"]}
        if np.isfinite(self._selection.best_check):
            facts["check"] = self._selection.best_check
        generation = self._solver.generation
        self._place.say(generation, self.plan.generations, "generations", **facts)
        used = before + self.counters.env_steps + self._selection.env_steps
        self._place.record("metrics", step=self._number, values={**statistics, "env_steps": used})


class SearchSpace:
    """The parameters that a greedy controller's score depends on, and how far to look in each.

    The log-std head of a continuous controller is left out: no greedy action depends on it.

    Args:
        settings: of the task's controller.
        action: the action space.
        controller: C with the parameters to start from.
        hidden: R.
        last_layer: search the last layer alone.
    """

    def __init__(
        self,
        settings: ControllerConfig,
        action: ActionSpec,
        controller: Controller,
        hidden: int,
        *,
        last_layer: bool = False,
    ) -> None:
        full = controller.get_parameters().astype(np.float64)
        features = controller.num_features
        outputs = action.size * (2 if action.kind == "continuous" else 1)
        widths = [features, *settings.hidden_sizes, outputs]
        scales, searched = [], []
        for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
            linear = len(widths) == 2 and not last_layer
            weights = np.full((fan_in, fan_out), 1.0 if linear else 1.0 / np.sqrt(fan_in))
            if layer == 0 and "h" in settings.features:
                weights[features - hidden :] *= settings.hidden_sigma
            last = layer == len(widths) - 2
            used = np.full(fan_out, last or not last_layer)
            if last:
                used[action.size :] = False
            scales += [weights.ravel(), np.ones(fan_out)]
            searched += [np.broadcast_to(used, (fan_in, fan_out)).ravel(), used]
        self._full = full
        self._searched = np.concatenate(searched)
        self.start = full[self._searched]
        self.scales = np.concatenate(scales)[self._searched]

    def expand(self, points: np.ndarray) -> Float:
        """Turns searched points `[n, D]` into controller parameters `[n, P]` float32."""
        full = np.repeat(self._full[None], len(points), axis=0)
        full[:, self._searched] = points
        return full.astype(np.float32)
