"""A solver searches C's parameters by ask and tell, in the dream or in the real environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from curriculum.agent.work import Fitness, FitnessUnit
from curriculum.learning.selection import Deployment
from curriculum.stages.stage import StageContext, require
from curriculum.agent.work import Fitness, FitnessUnit, measure_fitness
from models.interfaces import Controller, Float, Metrics, NonFiniteFitness, Solver


@dataclass
class Counters:
    """What the search has used; committed."""

    env_steps: int = 0
    dream_steps: int = 0
    checked: int = 0


class Search:
    """A solver, the space it searches and what it found; one `generation` after another.

    Args:
        ctx: of the controller stage; its pool already knows V and M.
        space: the parameters that are searched.
        deployment: what was found before, and where what is found goes.
        generations: at most.
        in_dream: search inside M.
        practised: what was done before, to be committed with what is found. Generations are told
            as the numbers that follow its `updates`, so no number of a stage is told twice.
        kept: arrays of that to be committed too, for the next round.
    """

    def __init__(
        self,
        ctx: StageContext,
        space: SearchSpace,
        deployment: Deployment,
        *,
        generations: int,
        in_dream: bool,
        practised: Mapping[str, Any] | None = None,
        kept: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self._ctx = ctx
        self._practised = dict(practised or {})
        self._kept = dict(kept or {})
        self._first = int(self._practised.get("updates", 0))
        self._settings = ctx.task.controller
        self._space = space
        self._generations = generations
        self.in_dream = in_dream
        self._solver: Solver = ctx.backend.make_solver(
            ctx.task, space.start, space.scales, ctx.model_seed(f"solver-{ctx.round}")
        )
        self.counters = Counters(checked=self._first)
        self._deployment = deployment

    @property
    def generation(self) -> int:
        """Generations so far."""
        return self._solver.generation

    @property
    def over(self) -> bool:
        """Whether the target is confirmed, or the generations are spent and checked."""
        spent = self._solver.generation >= self._generations
        return self._deployment.confirmed or (spent and not self.check_due)

    @property
    def check_due(self) -> bool:
        """Whether the mean of this generation has to play fresh real episodes before the next."""
        generation, every = self._solver.generation, self._settings.check_every
        due = generation >= self._generations or (every > 0 and generation % every == 0)
        return due and self._number > self.counters.checked

    @property
    def _number(self) -> int:
        """What this generation is told as."""
        return self._first + self._solver.generation

    def resume(self) -> None:
        """Continues from this stage's newest commit, if a search made it."""
        commit = self._ctx.store.latest()
        if commit is None or "generation" not in commit.meta:
            return
        self._solver.load_state(commit.part("solver"))
        self.counters = Counters(**commit.meta["counters"])
        self._deployment.load(commit.meta["deployment"], commit.arrays["parameters"])

    def run(self) -> None:
        """Searches until the target is confirmed or the generations are spent."""
        while not self.over:
            if self.check_due:
                self._check()
            else:
                self._generation()

    def statistics(self) -> Metrics:
        """Returns the solver's."""
        return self._solver.statistics()

    def save(self, complete: bool = False) -> None:
        """Commits solver, counters and the parameters to deploy."""
        arrays = {f"solver/{k}": v for k, v in self._solver.state().items()} | self._kept
        arrays["parameters"] = self._deployment.parameters
        meta = {
            "counters": dict(vars(self.counters)),
            "deployment": self._deployment.meta(),
            "generation": self._number,
            "rollbacks": self._practised.get("rollbacks", 0),
            "practised": self._practised,
        }
        self._ctx.store.save(arrays, meta, complete=complete)

    def _generation(self) -> None:
        """One ask, one evaluation of all candidates, one tell."""
        candidates = self._space.expand(self._solver.ask())
        scores, steps = self._measure(candidates)
        fitness = scores.mean(axis=1)
        try:
            self._solver.tell(fitness)
        except NonFiniteFitness as e:
            require(False, f"generation {self._solver.generation} scored NaN: {e}")
        if self.in_dream:
            self.counters.dream_steps += steps
        else:
            self.counters.env_steps += steps
        self._report(fitness)
        self._ctx.barrier.reached(self.save)

    def _measure(self, candidates: np.ndarray) -> tuple[np.ndarray, int]:
        """Returns scores `[popsize, K]` and the number of steps they took."""
        settings, ctx = self._settings, self._ctx
        generation = self._solver.generation
        seeds = ctx.env_seeds("fitness", generation, count=settings.rollouts_per_candidate)
        units = [
            FitnessUnit(part, tuple(seeds), settings.max_steps_per_rollout, self.in_dream)
            for part in np.array_split(candidates, self._num_units(len(candidates)))
        ]
        results: list[Fitness] = ctx.pool.map(
            measure_fitness,
            units,
            on_wait=lambda: ctx.barrier.may_stop(self.save),
            on_result=lambda number, result: ctx.barrier.may_stop(self.save),
        )
        scores = np.concatenate([r.scores for r in results])
        return scores, int(sum(r.steps.sum() for r in results))

    def _num_units(self, candidates: int) -> int:
        """Cuts a generation by configuration alone, so that results never depend on workers."""
        task = self._ctx.task
        together = task.dream.num_envs if self.in_dream else task.env.num_envs
        episodes = candidates * self._settings.rollouts_per_candidate
        return min(candidates, -(-episodes // together))

    def _check(self) -> None:
        """Has the mean play fresh real episodes."""
        number = self._number
        mean = self._space.expand(self._solver.mean()[None])[0]
        self._deployment.check(mean, number, self.save)
        self.counters.checked = number
        self._ctx.barrier.reached(self.save)

    def _report(self, fitness: np.ndarray) -> None:
        number = self._solver.generation
        statistics = self._solver.statistics()
        before = float(self._practised.get("env_steps", 0))
        facts = {"fitness": float(fitness.mean()), "sigma": statistics["sigma"]}
        if np.isfinite(self._deployment.best_check):
            facts["check"] = self._deployment.best_check
        self._ctx.say(number, self._generations, "generations", **facts)
        used = before + self.counters.env_steps + self._deployment.env_steps
        self._ctx.record("metrics", step=self._number, values={**statistics, "env_steps": used})


class SearchSpace:
    """The parameters that a greedy controller's score depends on, and how far to look in each.

    The log-std head of a continuous controller is left out: no greedy action depends on it.

    Args:
        ctx: of the controller stage.
        controller: C with the parameters to start from.
        features: F.
        hidden: R.
        last_layer: search the last layer alone.
    """

    def __init__(
        self,
        ctx: StageContext,
        controller: Controller,
        features: int,
        hidden: int,
        *,
        last_layer: bool = False,
    ) -> None:
        full = controller.get_parameters().astype(np.float64)
        settings = ctx.task.controller
        action = ctx.spec.action
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
