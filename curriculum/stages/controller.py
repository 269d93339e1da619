"""Stage controller: C learns, by gradients or by search, in the dream or in the real environment.

Whatever it learns in, what it deploys is chosen by checks on fresh real episodes
(`curriculum.learning.selection`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from curriculum.agent.agent import Agent
from curriculum.agent.episodes import Episode
from curriculum.agent.playing import even_unit_size, play
from curriculum.agent.work import Fitness, FitnessUnit, measure_fitness
from curriculum.backends.backend import OffPolicyLearnerFactory
from curriculum.collecting.practising import dreamed_collector, real_collector
from curriculum.collecting.shaping import learned_from
from curriculum.config.schema import OFF_POLICY
from curriculum.errors import require
from curriculum.learning.joint import FrameReplay, JointVision
from curriculum.learning.learner import AgentLearner
from curriculum.learning.loop import Loop
from curriculum.learning.off_policy import OffPolicy
from curriculum.learning.on_policy import OnPolicy
from curriculum.learning.replay import Replay
from curriculum.learning.reporting import LoopReporter
from curriculum.learning.schedule import Schedule
from curriculum.learning.search import Search, SearchPlan, SearchSpace
from curriculum.learning.selection import Selection
from curriculum.records.agent_state import PARAMETERS
from curriculum.records.finished import StageResult
from curriculum.resources import out_of_memory
from curriculum.stages.stage import StageContext, require_finite
from curriculum.stops import Guard
from curriculum.world.dream import DreamStarts
from curriculum.world.starts import dream_starts
from models.interfaces import Metrics, OffPolicyLearner, PolicyLearner, State, Vision

NAME = "controller"


def verify_inputs(ctx: StageContext) -> None:
    """Needs a finished V and M of this round."""
    ctx.place.completed("vision")
    ctx.place.completed("memory")


def run(ctx: StageContext) -> StageResult:
    """Learns until the target is confirmed or the budget is spent."""
    settings = ctx.task.controller
    agent = _initial_agent(ctx)
    starts = _dream_starts(ctx, agent) if settings.train_in_dream else None
    ctx.executor.refresh((ctx.work(agent.state(), starts),))
    selection = _selection(ctx, agent)
    learner = new_learner(ctx, agent, ctx.vision)
    if learner is None:
        return _searched(ctx, new_search(ctx, agent, selection), selection)
    practised = _practised_before(ctx, selection)
    if practised is None:
        practised = _practise(ctx, agent, learner, selection, starts)
        if not settings.polish_generations or selection.confirmed:
            return _result(ctx, selection, practised)
    agent.load(selection.learned)
    ctx.executor.refresh((ctx.work(agent.state(), starts),))
    return _searched(ctx, new_search(ctx, agent, selection, practised), selection, practised)


def verify_outputs(ctx: StageContext, result: StageResult) -> None:
    """What is deployed is finite, and learning has numbers to show for itself."""
    require_finite(result.metrics, NAME)
    for name, array in ctx.learned(NAME).items():
        require(bool(np.isfinite(array).all()), f"the agent's {name} are not finite")


@dataclass(frozen=True)
class Practised:
    """What learning by gradients used: updates, steps, training episodes, refused updates."""

    updates: int = 0
    env_steps: int = 0
    dream_steps: int = 0
    episodes: int = 0
    rollbacks: int = 0


def new_learner(
    ctx: StageContext, agent: Agent, vision: Callable[[], Vision]
) -> AgentLearner | None:
    """Builds what learns by gradients, going on from the last round; None where a solver searches.

    A mode without one was given a task that is searched (`curriculum.backends.backend.fitted`).

    Args:
        ctx: of this stage.
        agent: with V and M.
        vision: builds the V that goes on learning, where one does.
    """
    learner = _learner_of_c(ctx, agent)
    task = ctx.task
    joint = task.vae.joint_updates and task.observation == "pixels"
    if learner is None or not joint or task.controller.train_in_dream:
        return learner
    vae, num_envs = task.vae, min(task.vae.joint_envs, task.training.num_envs)
    directory = ctx.place.directory / "frames"
    spec = ctx.spec
    frames = FrameReplay(directory, num_envs, spec.shape, vae.joint_steps, spec.frames)
    updates, batch_size = vae.joint_updates, vae.batch_size
    return JointVision(learner, vision(), frames, updates=updates, batch_size=batch_size)


def _learner_of_c(ctx: StageContext, agent: Agent) -> AgentLearner | None:
    solver, backend = ctx.task.controller.solver, ctx.backend
    if solver in OFF_POLICY and backend.make_off_policy_learner is not None:
        return _off_policy(ctx, agent, backend.make_off_policy_learner)
    if solver != "ppo" or backend.make_policy_learner is None:
        return None
    seed, settings = ctx.place.model_seed("policy"), ctx.task.training
    model = backend.make_policy_learner(ctx.task, ctx.spec.action, agent.num_features, seed)
    _go_on_from_last_round(ctx, agent, model)
    return OnPolicy(model, settings.num_steps, settings.reuse, fresh=ctx.place.fresh)


def new_loop(
    ctx: StageContext,
    agent: Agent,
    learner: AgentLearner,
    selection: Selection,
    starts: DreamStarts | None = None,
) -> Loop:
    """Builds the loop in which an agent learns by gradients.

    Args:
        ctx: of this stage.
        agent: with V and M; its C is what plays.
        learner: what learns.
        selection: checks what is learned.
        starts: where dreams begin; None learns in real environments.
    """
    settings, place = ctx.task.training, ctx.place
    if starts is None:
        collector = real_collector(place, ctx.config, ctx.task, ctx.backend, agent)
    else:
        collector = dreamed_collector(place, ctx.task, agent, starts)
    steps = learner.steps_per_update * settings.num_envs
    dreamed = starts is not None
    rate = ctx.task.learner.learning_rate
    schedule = Schedule(settings, rate, ctx.target, steps, dreamed=dreamed)
    return Loop(
        place,
        agent,
        collector,
        learner,
        schedule,
        selection,
        averaging=settings.averaging,
        subscribers=(LoopReporter(place),),
        # Dreams have no threads of their own, and are large enough for all of torch's.
        **({} if dreamed else {"practising": ctx.backend.practising}),
    )


def new_search(
    ctx: StageContext, agent: Agent, selection: Selection, practised: Practised | None = None
) -> Search:
    """Builds the search over C's parameters, or over its last layer after it was practised."""
    settings, task, place = ctx.task.controller, ctx.task, ctx.place
    polished = practised is not None
    in_dream = settings.train_in_dream and not polished
    commit = place.store.latest() if polished else None
    learner = commit.part("learner") if commit else {}
    space = SearchSpace(
        settings,
        ctx.spec.action,
        agent.controller,
        agent.world.hidden_size,
        last_layer=polished,
    )
    plan = SearchPlan(
        generations=settings.polish_generations if polished else settings.generations,
        in_dream=in_dream,
        together=task.dream.num_envs if in_dream else task.env.num_envs,
        practised=asdict(practised) if practised else {},
        kept={f"learner/{name}": array for name, array in learner.items()},
    )
    seed = place.model_seed(f"solver-{place.round}")
    solver = ctx.backend.make_solver(task, space.start, space.scales, seed)
    return Search(place, ctx.executor, settings, plan, solver, space, selection)


def _off_policy(ctx: StageContext, agent: Agent, make: OffPolicyLearnerFactory) -> OffPolicy:
    """Builds what learns from a replay, whose files are in the stage's directory.

    Each round has a replay of its own: V and M have gone on learning, so what C read was other.
    """
    task, action, num_envs = ctx.task, ctx.spec.action, ctx.task.training.num_envs
    model = make(task, action, agent.num_features, ctx.place.model_seed("policy"))
    _go_on_from_last_round(ctx, agent, model)
    capacity = max(1, task.replay.capacity // num_envs)
    directory = ctx.place.directory / "replay"
    replay = Replay(directory, num_envs, agent.num_features, action, capacity)
    steps, fresh = task.training.num_steps, ctx.place.fresh
    return OffPolicy(model, replay, task.replay, steps, num_envs, fresh=fresh)


def _go_on_from_last_round(
    ctx: StageContext, agent: Agent, model: PolicyLearner | OffPolicyLearner
) -> None:
    """Has a new model begin as the last round's ended; as it was made in the first round."""
    if ctx.place.fresh:
        return
    last = ctx.place.completed(NAME, ctx.place.round - 1)
    state = last.part("learner")
    if state:
        model.load_state(state)
    else:
        model.set_parameters(agent.controller.get_parameters())


def _initial_agent(ctx: StageContext) -> Agent:
    """Starts C from the last round's parameters, else at zero (linear) or small random weights."""
    rng = ctx.place.rng("initial") if ctx.task.controller.hidden_sizes else None
    learned = ctx.learned("vision", "memory")
    if not ctx.place.fresh:
        before = ctx.learned(NAME, round=ctx.place.round - 1)
        # V and M have gone on learning since then.
        learned[PARAMETERS] = before[PARAMETERS]
    return ctx.agent(learned, rng)


def _dream_starts(ctx: StageContext, agent: Agent) -> DreamStarts:
    first = ctx.task.dream.starts == "first"
    rng = ctx.place.rng("starts")
    return dream_starts(ctx.data(), ctx.latents(), agent.world, rng, first=first)


def _selection(ctx: StageContext, agent: Agent) -> Selection:
    settings, task = ctx.task.controller, ctx.task

    def played(learned: State, seeds: Sequence[int], guard: Guard) -> list[Episode]:
        return play(
            ctx.place,
            ctx.executor,
            learned,
            seeds,
            unit_size=even_unit_size(len(seeds), task.env.num_envs),
            sampled=task.evaluate.sampled,
            idle_steps=settings.check_idle_steps,
            on_more=lambda played: guard.may_stop(),
        )

    return Selection(
        ctx.place,
        played,
        {PARAMETERS: agent.controller.get_parameters()},
        target=ctx.target,
        margin=settings.stop_margin,
        episodes=settings.check_episodes,
    )


def _practise(
    ctx: StageContext,
    agent: Agent,
    learner: AgentLearner,
    selection: Selection,
    starts: DreamStarts | None,
) -> Practised:
    loop = new_loop(ctx, agent, learner, selection, starts)
    try:
        loop.begin()
        loop.run()
        loop.save(complete=not ctx.task.controller.polish_generations or selection.confirmed)
    except MemoryError as e:
        raise out_of_memory(f"stage {ctx.place.stage} ran out of memory", e) from e
    finally:
        loop.close()
    used = loop.counters
    return Practised(used.updates, used.env_steps, used.dream_steps, used.episodes, loop.rollbacks)


def _practised_before(ctx: StageContext, selection: Selection) -> Practised | None:
    """Returns what was practised before the search that the newest commit is of, if it is.

    The selection is loaded then, because what is searched is the last layer of what it holds.
    """
    commit = ctx.place.store.latest()
    if commit is None or not commit.meta.get("practised"):
        return None
    selection.load(commit.meta["deployment"], commit.arrays)
    return Practised(**commit.meta["practised"])


def _searched(
    ctx: StageContext, search: Search, selection: Selection, before: Practised | None = None
) -> StageResult:
    search.resume()
    search.run()
    search.save(complete=True)
    counters, used = search.counters, before or Practised()
    where = "dream" if search.plan.in_dream else ctx.backend.environment
    words = f"{search.generation} generations in the {where} environment"
    practised = replace(
        used,
        env_steps=used.env_steps + counters.env_steps,
        dream_steps=used.dream_steps + counters.dream_steps,
    )
    return _result(ctx, selection, practised, words, search.statistics())


def _result(
    ctx: StageContext,
    selection: Selection,
    used: Practised,
    searched: str = "",
    statistics: Metrics | None = None,
) -> StageResult:
    practised = f"{used.updates} updates by gradients" if used.updates else ""
    words = ", ".join(part for part in (practised, searched) if part)
    best = selection.best_check
    dreamed = (
        {"dream_score": _dreamed(ctx, selection)} if ctx.task.controller.train_in_dream else {}
    )
    shaped = used.updates > 0 and not ctx.task.controller.train_in_dream
    told = learned_from(ctx.task.training, ctx.task.shaping) if shaped else ""
    inside = f", {dreamed['dream_score']:.1f} in dreams" if dreamed else ""
    return StageResult(
        summary=f"{words}, check {best:.1f} against {selection.target:g}{inside}",
        metrics={"best_check": best, **(statistics or {})},
        env_steps=used.env_steps + selection.env_steps,
        dream_steps=used.dream_steps,
        facts={
            "checks": selection.checks,
            "parameters": int(selection.learned[PARAMETERS].size),
            "updates": used.updates,
            "training_episodes": used.episodes,
            **dreamed,
            **({"learned_from": told} if told else {}),
        },
    )


def _dreamed(ctx: StageContext, selection: Selection) -> float:
    """Returns the mean score, in dreams of their own, of what is deployed, acting greedily.

    Beside the score outside it tells how far C has learned to please M instead of the world.
    """
    seeds = tuple(ctx.place.env_seeds("dreamed", count=ctx.task.controller.check_episodes))
    unit = FitnessUnit(selection.learned[PARAMETERS][None], seeds, max_steps=0, dream=True)
    played: list[Fitness] = ctx.executor.map(measure_fitness, [unit])
    return float(played[0].scores.mean())
