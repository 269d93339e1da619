"""Stage controller: a solver searches C's parameters, in the dream or in the real environment.

Whatever it searches in, what it deploys is chosen by checks: the mean of the search distribution
(and, where the search has one, the best candidate) plays fresh real episodes, and the parameters
with the best confirmed check win. Check seeds are never evaluation seeds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from curriculum.records.sequences import Latents
from curriculum.rollout import Episode
from curriculum.stages.dreams import dream_starts
from curriculum.stages.evaluate import mean_score, play
from curriculum.stages.stage import StageContext, StageResult, require, require_finite
from curriculum.stages.work import Fitness, FitnessUnit
from models.interfaces import Controller, NonFiniteFitness, Solver

NAME = "controller"


def verify_inputs(ctx: StageContext) -> None:
    """Needs a finished V and M of this round."""
    ctx.completed("vision")
    ctx.completed("memory")


def run(ctx: StageContext) -> StageResult:
    """Searches until the target is confirmed or the generations are spent."""
    vision, memory = ctx.vision(), ctx.memory()
    learned: dict[str, Any] = {"vision": vision.state(), "memory": memory.state()}
    if ctx.task.controller.train_in_dream:
        learned["starts"] = dream_starts(
            ctx.data(),
            Latents.open(ctx.at("encode").directory / "data"),
            memory,
            ctx.rng("starts"),
        )
    ctx.pool.refresh((ctx.work(**learned),))
    search = Search(ctx, ctx.num_features(vision, memory), memory.hidden_size)
    search.resume()
    while not search.over:
        if search.check_due:
            search.check()
        else:
            search.generation()
    return search.finish()


def verify_outputs(ctx: StageContext, result: StageResult) -> None:
    """The deployed parameters are finite and the search has numbers to show for itself."""
    require_finite(result.metrics, NAME)
    parameters = ctx.completed(NAME).arrays["parameters"]
    require(bool(np.isfinite(parameters).all()), "the controller's parameters are not finite")


@dataclass
class Counters:
    """What the search has used, and what it has to show; all of it is committed."""

    env_steps: int = 0
    dream_steps: int = 0
    checked: int = 0
    best_check: float = -np.inf
    confirmed: bool = False
    checks: list[list[float]] = field(default_factory=list)
    """One `[generation, mean score]` per check."""


class Search:
    """A solver, the space it searches and what it found; one `generation` after another."""

    def __init__(self, ctx: StageContext, features: int, hidden: int) -> None:
        self._ctx = ctx
        self._settings = ctx.task.controller
        self._template = _initial_controller(ctx, features)
        self._space = SearchSpace(ctx, self._template, features, hidden)
        self._solver: Solver = ctx.backend.make_solver(
            ctx.task, self._space.start, self._space.scales, ctx.model_seed(f"solver-{ctx.round}")
        )
        self._counters = Counters()
        self._parameters = self._template.get_parameters()
        self._target = ctx.target

    @property
    def over(self) -> bool:
        """Whether the target is confirmed, or the generations are spent and checked."""
        spent = self._solver.generation >= self._settings.generations
        return self._counters.confirmed or (spent and not self.check_due)

    @property
    def check_due(self) -> bool:
        """Whether the mean of this generation has to play fresh real episodes before the next."""
        number, every = self._solver.generation, self._settings.check_every
        last = number >= self._settings.generations
        return number > self._counters.checked and (last or (every > 0 and number % every == 0))

    def resume(self) -> None:
        """Continues from this stage's newest commit, if there is one."""
        commit = self._ctx.store.latest()
        if commit is None:
            return
        arrays = dict(commit.arrays)
        self._parameters = arrays.pop("parameters")
        prefix = "solver/"
        self._solver.load_state({k.removeprefix(prefix): v for k, v in arrays.items()})
        saved = dict(commit.meta["counters"])
        if saved["best_check"] is None:
            saved["best_check"] = -np.inf
        self._counters = Counters(**saved)

    def generation(self) -> None:
        """One ask, one evaluation of all candidates, one tell."""
        candidates = self._space.expand(self._solver.ask())
        scores, steps = self._measure(candidates)
        fitness = scores.mean(axis=1)
        try:
            self._solver.tell(fitness)
        except NonFiniteFitness as e:
            require(False, f"generation {self._solver.generation} scored NaN: {e}")
        if self._settings.train_in_dream:
            self._counters.dream_steps += steps
        else:
            self._counters.env_steps += steps
        self._report(fitness)
        self._ctx.barrier.reached(self.save)

    def finish(self) -> StageResult:
        """Commits the deployed parameters and sums the search up."""
        counters = self._counters
        self.save(complete=True)
        best = counters.best_check
        where = "dream" if self._settings.train_in_dream else self._ctx.backend.environment
        return StageResult(
            summary=(
                f"{self._solver.generation} generations in the {where} environment, "
                f"check {best:.1f} against {self._target:g}"
            ),
            metrics={"best_check": best, **self._solver.statistics()},
            env_steps=counters.env_steps,
            dream_steps=counters.dream_steps,
            facts={"checks": counters.checks, "parameters": int(self._parameters.size)},
        )

    def save(self, complete: bool = False) -> None:
        """Commits solver, counters and the parameters to deploy."""
        arrays = {f"solver/{k}": v for k, v in self._solver.state().items()}
        arrays["parameters"] = self._parameters
        counters = dict(vars(self._counters))
        if not np.isfinite(counters["best_check"]):
            counters["best_check"] = None
        meta = {"counters": counters, "generation": self._solver.generation}
        self._ctx.store.save(arrays, meta, complete=complete)

    def _measure(self, candidates: np.ndarray) -> tuple[np.ndarray, int]:
        """Returns scores `[popsize, K]` and the number of steps they took."""
        settings, ctx = self._settings, self._ctx
        generation = self._solver.generation
        seeds = ctx.env_seeds("fitness", generation, count=settings.rollouts_per_candidate)
        units = [
            FitnessUnit(part, tuple(seeds), settings.max_steps_per_rollout, settings.train_in_dream)
            for part in np.array_split(candidates, self._num_units(len(candidates)))
        ]
        results: list[Fitness] = ctx.pool.map(
            "curriculum.stages.work:measure_fitness",
            units,
            on_wait=lambda: ctx.barrier.may_stop(self.save),
            on_result=lambda number, result: ctx.barrier.may_stop(self.save),
        )
        scores = np.concatenate([r.scores for r in results])
        return scores, int(sum(r.steps.sum() for r in results))

    def _num_units(self, candidates: int) -> int:
        """Cuts a generation by configuration alone, so that results never depend on workers."""
        task = self._ctx.task
        together = task.dream.num_envs if self._settings.train_in_dream else task.env.num_envs
        episodes = candidates * self._settings.rollouts_per_candidate
        return min(candidates, -(-episodes // together))

    def check(self) -> None:
        """Plays fresh real episodes with the mean; a new best is confirmed first."""
        number = self._solver.generation
        mean = self._space.expand(self._solver.mean()[None])[0]
        played = self._play(mean, "check", number)
        score = mean_score(played)
        if score > self._counters.best_check:
            played += self._play(mean, "confirm", number)
            score = mean_score(played)
            if score > self._counters.best_check:
                self._counters.best_check = score
                self._parameters = mean.astype(np.float32)
        margin = self._settings.stop_margin * abs(self._target)
        self._counters.confirmed = self._counters.best_check >= self._target + margin
        self._counters.checks.append([float(number), score])
        self._counters.env_steps += sum(e.steps for e in played)
        self._counters.checked = number
        self._ctx.record("check", generation=number, score=score, target=self._target)
        self._ctx.barrier.reached(self.save)

    def _play(self, parameters: np.ndarray, *path: int | str) -> list[Episode]:
        seeds = self._ctx.env_seeds(*path, count=self._settings.check_episodes)
        return play(
            self._ctx,
            parameters,
            seeds,
            sampled=False,
            # Nothing of a check is counted before it is over, so it can be played again.
            on_more=lambda played: self._ctx.barrier.may_stop(self.save),
        )

    def _report(self, fitness: np.ndarray) -> None:
        number = self._solver.generation
        statistics = self._solver.statistics()
        best = self._counters.best_check
        facts = {"fitness": float(fitness.mean()), "sigma": statistics["sigma"]}
        if np.isfinite(best):
            facts["check"] = best
        self._ctx.say(number, self._settings.generations, "generations", **facts)
        values = {**statistics, "env_steps": float(self._counters.env_steps)}
        self._ctx.record("metrics", step=number, values=values)


class SearchSpace:
    """The parameters that a greedy controller's score depends on, and how far to look in each.

    The log-std head of a continuous controller is left out: no greedy action depends on it.
    """

    def __init__(
        self, ctx: StageContext, controller: Controller, features: int, hidden: int
    ) -> None:
        full = controller.get_parameters().astype(np.float64)
        settings = ctx.task.controller
        action = ctx.spec.action
        outputs = action.size * (2 if action.kind == "continuous" else 1)
        widths = [features, *settings.hidden_sizes, outputs]
        scales, searched = [], []
        for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
            linear = len(widths) == 2
            weights = np.full((fan_in, fan_out), 1.0 if linear else 1.0 / np.sqrt(fan_in))
            if layer == 0 and "h" in settings.features:
                weights[features - hidden :] *= settings.hidden_sigma
            used = np.ones(fan_out, bool)
            if layer == len(widths) - 2:
                used[action.size :] = False
            scales += [weights.ravel(), np.ones(fan_out)]
            searched += [np.broadcast_to(used, (fan_in, fan_out)).ravel(), used]
        self._full = full
        self._searched = np.concatenate(searched)
        self.start = full[self._searched]
        self.scales = np.concatenate(scales)[self._searched]

    def expand(self, points: np.ndarray) -> np.ndarray:
        """Turns searched points `[n, D]` into controller parameters `[n, P]` float32."""
        full = np.repeat(self._full[None], len(points), axis=0)
        full[:, self._searched] = points
        return full.astype(np.float32)


def _initial_controller(ctx: StageContext, features: int) -> Controller:
    """Starts from the last round's parameters, else at zero (linear) or small random weights."""
    rng = ctx.rng("initial") if ctx.task.controller.hidden_sizes else None
    controller = ctx.backend.make_controller(ctx.task, ctx.spec.action, features, rng)
    if ctx.round > 0:
        previous = ctx.completed(NAME, ctx.round - 1).arrays["parameters"]
        controller.set_parameters(previous)
    return controller
