"""How fast C learns: on what V and M see here, beside Stable-Baselines3's PPO, DQN or SAC.

Both learn for real, in turns, each with its own usual settings: the V, M and hyper-parameters of a
learned agent here, rl-baselines3-zoo's hyper-parameters, wrappers and number of games there. PPO
runs beside PPO; what learns from a replay beside DQN, or beside SAC where actions are continuous.
What is counted are environment steps; the time is that of playing and learning together.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from baselines.sb3.rivals import rival_of
from curriculum.agent.agent import Agent
from curriculum.agent.episodes import Episode
from curriculum.backends.backend import Backend
from curriculum.config.schema import Config, TaskConfig
from curriculum.errors import ConfigError
from curriculum.learning.learner import AgentLearner
from curriculum.learning.loop import Loop
from curriculum.learning.selection import Selection
from curriculum.place import Place
from curriculum.pool import Pool
from curriculum.records.agent_state import part_of, with_moments_of
from curriculum.records.rundir import RunDir
from curriculum.stages.controller import new_learner, new_loop
from curriculum.stages.stage import StageContext
from curriculum.stops import Guard
from diagnostics.bench.measuring import Case, Figure, measure
from models.interfaces import State, Vision

WANTED = 5.0
_UPDATES, _CALLS = 4, 2


@dataclass(frozen=True)
class Throughput:
    """What was measured.

    Attributes:
        figures: environment steps per second while learning, ours first.
        shares: what our own practice spent its time on, name to share; they add up to one.
    """

    figures: tuple[Figure, ...]
    shares: dict[str, float]


def throughput(
    config: Config, task: TaskConfig, backend: Backend, agent: Agent, repeats: int
) -> Throughput:
    """Measures both in turns.

    Args:
        config, task: of a learned agent; its C learns from the start again, on its V and M.
        backend: builds what learns.
        agent: its C is given other parameters.
        repeats: runs of each; the figures are their medians.

    Raises:
        ConfigError: C of this task is searched.
    """
    title = f"learning {task.name}, rollouts and updates"
    beside = partial(Case, "throughput", title, unit="steps", calls=_CALLS)
    with ExitStack() as held:
        place = _place(config, task, backend, held)
        ctx = StageContext(place, config, task, backend, {}, agent.spec, Pool(0))
        learner = _learner(ctx, agent)
        rival = rival_of(task.controller.solver, agent.spec, agent.make_env, held)
        loop = _loop(ctx, agent, learner)
        held.callback(loop.close)
        loop.begin()
        while learner.gathering:
            loop.practise(1)
        place.barrier.stopwatch.seconds.clear()
        ours = beside(
            "ours",
            items=_UPDATES * task.training.num_envs * learner.steps_per_update,
            work=partial(loop.practise, _UPDATES),
            wanted={rival.name: WANTED},
        )
        figures = measure([ours, beside(rival.name, items=rival.steps, work=rival.learn)], repeats)
    seconds = place.barrier.stopwatch.seconds
    whole = sum(seconds.values())
    return Throughput(tuple(figures), {part: spent / whole for part, spent in seconds.items()})


def _place(config: Config, task: TaskConfig, backend: Backend, held: ExitStack) -> Place:
    """Returns a place in a run that nothing remains of."""
    directory = Path(held.enter_context(TemporaryDirectory(prefix="throughput-")))
    return Place.to_look_at(
        RunDir.create(directory / "run", ""),
        task.name,
        backend.mode.value,
        0,
        seed=config.seed,
        simulated=backend.environment == "simulation",
    )


def _learner(ctx: StageContext, agent: Agent) -> AgentLearner:
    """Builds what learns this task's C from the start, and its V further where that learns along.

    Raises:
        ConfigError: C is searched.
    """

    def vision() -> Vision:
        fresh = ctx.new_vision()
        fresh.load_state(with_moments_of(fresh.state(), part_of(agent.state(), "vision")))
        return fresh

    learner = new_learner(ctx, agent, vision)
    if learner is None:
        raise ConfigError(
            f"C of {ctx.task.name} is searched, not learned by gradients: there is no pace to "
            "compare; give an agent whose controller.solver is ppo, qrdqn or sac"
        )
    return learner


def _loop(ctx: StageContext, agent: Agent, learner: AgentLearner) -> Loop:
    # Nothing is checked: neither the target nor what is selected matters.
    selection = Selection(ctx.place, _no_check, {}, target=0.0, margin=0.0, episodes=1)
    return new_loop(ctx, agent, learner, selection)


def _no_check(learned: State, seeds: Sequence[int], guard: Guard) -> list[Episode]:
    raise AssertionError("throughput is measured without checks")
