"""Stage controller: C learns, by gradients or by search, in the dream or in the real environment.

Whatever it learns in, what it deploys is chosen by checks on fresh real episodes
(`curriculum.learning.selection`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np

from curriculum.collecting.collector import (
    Surroundings,
    dreamed_surroundings,
    real_surroundings,
)
from curriculum.agent.work import Fitness, FitnessUnit
from curriculum.world.dream import DreamStarts
from curriculum.world.starts import dream_starts
from curriculum.datasets.sequences import Latents
from curriculum.learning.ppo_loop import Practice
from curriculum.learning.search import Search, SearchSpace
from curriculum.learning.selection import Deployment
from curriculum.records.resources import out_of_memory
from curriculum.stages.stage import StageContext, StageResult, require, require_finite
from curriculum.agent.work import Fitness, FitnessUnit, measure_fitness
from models.interfaces import Controller, Memory, Metrics, PolicyLearner

NAME = "controller"


def verify_inputs(ctx: StageContext) -> None:
    """Needs a finished V and M of this round."""
    ctx.completed("vision")
    ctx.completed("memory")


def run(ctx: StageContext) -> StageResult:
    """Learns until the target is confirmed or the budget is spent."""
    vision, memory = ctx.vision(), ctx.memory()
    settings, features = ctx.task.controller, ctx.num_features(vision, memory)
    starts = _dream_starts(ctx, memory) if settings.train_in_dream else None
    ctx.pool.refresh((ctx.work(vision=vision.state(), memory=memory.state(), starts=starts),))
    template = _initial_controller(ctx, features)
    deployment = Deployment(ctx, template.get_parameters())
    learner = policy_learner(ctx, features)
    if learner is None:
        space = SearchSpace(ctx, template, features, memory.hidden_size)
        limits = {"generations": settings.generations, "in_dream": settings.train_in_dream}
        return _searched(ctx, Search(ctx, space, deployment, **limits), deployment)
    practised = _practised_before(ctx, deployment)
    if practised is None:
        if starts is None:
            surroundings = real_surroundings(ctx, vision, memory)
        else:
            surroundings = dreamed_surroundings(ctx, memory, starts)
        practised = _practise(ctx, surroundings, memory, learner, template, deployment)
        if not settings.polish_generations or deployment.confirmed:
            return _result(ctx, deployment, practised)
    template.set_parameters(deployment.parameters)
    space = SearchSpace(ctx, template, features, memory.hidden_size, last_layer=True)
    limits = {"generations": settings.polish_generations, "in_dream": False}
    commit = ctx.store.latest()
    learned_c = commit.part("learner") if commit else {}
    kept = {f"learner/{name}": array for name, array in learned_c.items()}
    search = Search(ctx, space, deployment, **limits, practised=asdict(practised), kept=kept)
    return _searched(ctx, search, deployment, practised)


def verify_outputs(ctx: StageContext, result: StageResult) -> None:
    """The deployed parameters are finite and learning has numbers to show for itself."""
    require_finite(result.metrics, NAME)
    parameters = ctx.completed(NAME).arrays["parameters"]
    require(bool(np.isfinite(parameters).all()), "the controller's parameters are not finite")


@dataclass(frozen=True)
class Practised:
    """What practice by gradients used: updates, steps, training episodes, refused updates."""

    updates: int = 0
    env_steps: int = 0
    dream_steps: int = 0
    episodes: int = 0
    rollbacks: int = 0


def _dream_starts(ctx: StageContext, memory: Memory) -> DreamStarts:
    latents = Latents.open(ctx.at("encode").directory / "data")
    first = ctx.task.dream.starts == "first"
    return dream_starts(ctx.data(), latents, memory, ctx.rng("starts"), first=first)


def _practise(
    ctx: StageContext,
    surroundings: Surroundings,
    memory: Memory,
    learner: PolicyLearner,
    template: Controller,
    deployment: Deployment,
) -> Practised:
    practice = Practice(ctx, surroundings, memory, learner, template, deployment)
    try:
        practice.begin()
        practice.run()
        practice.save(complete=not ctx.task.controller.polish_generations or deployment.confirmed)
    except MemoryError as e:
        raise out_of_memory(f"stage {ctx.stage} ran out of memory", e) from e
    finally:
        practice.close()
    counters = practice.counters
    used = (counters.updates, counters.env_steps, counters.dream_steps, counters.episodes)
    return Practised(*used, counters.rollbacks)


def _practised_before(ctx: StageContext, deployment: Deployment) -> Practised | None:
    """Returns what was practised before the search that the newest commit is of, if it is.

    The deployment is loaded then, because what is searched is the last layer of what it holds.
    """
    commit = ctx.store.latest()
    if commit is None or not commit.meta.get("practised"):
        return None
    deployment.load(commit.meta["deployment"], commit.arrays["parameters"])
    return Practised(**commit.meta["practised"])


def _searched(
    ctx: StageContext, search: Search, deployment: Deployment, before: Practised | None = None
) -> StageResult:
    search.resume()
    search.run()
    search.save(complete=True)
    counters, used = search.counters, before or Practised()
    where = "dream" if search.in_dream else ctx.backend.environment
    words = f"{search.generation} generations in the {where} environment"
    practised = replace(
        used,
        env_steps=used.env_steps + counters.env_steps,
        dream_steps=used.dream_steps + counters.dream_steps,
    )
    return _result(ctx, deployment, practised, words, search.statistics())


def _result(
    ctx: StageContext,
    deployment: Deployment,
    used: Practised,
    searched: str = "",
    statistics: Metrics | None = None,
) -> StageResult:
    practised = f"{used.updates} updates by gradients" if used.updates else ""
    words = ", ".join(part for part in (practised, searched) if part)
    best = deployment.best_check
    dreamed = (
        {"dream_score": _dreamed(ctx, deployment)} if ctx.task.controller.train_in_dream else {}
    )
    inside = f", {dreamed['dream_score']:.1f} in dreams" if dreamed else ""
    return StageResult(
        summary=f"{words}, check {best:.1f} against {deployment.target:g}{inside}",
        metrics={"best_check": best, **(statistics or {})},
        env_steps=used.env_steps + deployment.env_steps,
        dream_steps=used.dream_steps,
        facts={
            "checks": deployment.checks,
            "parameters": int(deployment.parameters.size),
            "updates": used.updates,
            "training_episodes": used.episodes,
            **dreamed,
        },
    )


def _dreamed(ctx: StageContext, deployment: Deployment) -> float:
    """Returns the mean score, in dreams of their own, of what is deployed, acting greedily.

    Beside the score outside it tells how far C has learned to please M instead of the world.
    """
    seeds = tuple(ctx.env_seeds("dreamed", count=ctx.task.controller.check_episodes))
    unit = FitnessUnit(deployment.parameters[None], seeds, max_steps=0, dream=True)
    played: list[Fitness] = ctx.pool.map(measure_fitness, [unit])
    return float(played[0].scores.mean())


def policy_learner(ctx: StageContext, features: int) -> PolicyLearner | None:
    """Builds what learns by gradients, going on from the last round; None where a solver searches.

    A mode without one was given a task that is searched (`curriculum.backends.backend.fitted`).
    """
    make = ctx.backend.make_policy_learner
    if ctx.task.controller.solver != "ppo" or make is None:
        return None
    learner = make(ctx.task, ctx.spec.action, features, ctx.model_seed("policy"))
    if ctx.round > 0:
        last = ctx.completed(NAME, ctx.round - 1)
        state = last.part("learner")
        if state:
            learner.load_state(state)
        else:
            learner.set_parameters(last.arrays["parameters"])
    return learner


def _initial_controller(ctx: StageContext, features: int) -> Controller:
    """Starts from the last round's parameters, else at zero (linear) or small random weights."""
    rng = ctx.rng("initial") if ctx.task.controller.hidden_sizes else None
    controller = ctx.backend.make_controller(ctx.task, ctx.spec.action, features, rng)
    if ctx.round > 0:
        previous = ctx.completed(NAME, ctx.round - 1).arrays["parameters"]
        controller.set_parameters(previous)
    return controller
