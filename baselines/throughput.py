"""How fast C learns: our PPO on what V and M see, beside Stable-Baselines3's on pixels.

Both learn for real, in turns, each with its own usual settings: the V, M and hyper-parameters of a
pretrained agent here, rl-baselines3-zoo's hyper-parameters, wrappers and number of games there.
What is counted are environment steps; the time is that of rollouts and updates together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

from baselines.ppo import Training, build
from baselines.recipes import Recipe, recipe_for
from curriculum.agent.agent import Agent
from curriculum.agent.episodes import Episode
from curriculum.backends.backend import Backend
from curriculum.collecting.practising import real_collector
from curriculum.config.schema import Config, TaskConfig
from curriculum.envs.interface import EnvSpec
from curriculum.errors import ConfigError
from curriculum.learning.loop import Loop
from curriculum.learning.on_policy import OnPolicy
from curriculum.learning.schedule import Schedule
from curriculum.learning.selection import Selection
from curriculum.place import Place
from curriculum.records.rundir import RunDir
from curriculum.stops import Guard
from diagnostics.bench.measuring import Case, Figure, measure
from models.interfaces import State

WANTED = 5.0
_UPDATES, _CALLS = 4, 2
_RIVAL_TOTAL = 10_000_000
"""Steps over which the rival's rates fall, as in rl-baselines3-zoo."""


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
        ConfigError: C of this task is not learned by PPO, or the rival has no such environment.
    """
    settings = task.training
    title = f"learning {task.name}, rollouts and updates"
    beside = partial(Case, "throughput", title, unit="steps", calls=_CALLS)
    with ExitStack() as held:
        learn_rival, rival_steps, name = _rival(agent.spec, held)
        place = _place(config, task, backend, held)
        loop = _loop(place, config, task, backend, agent)
        held.callback(loop.close)
        loop.begin()
        place.barrier.stopwatch.seconds.clear()
        ours = beside(
            "ours",
            items=_UPDATES * settings.num_envs * settings.num_steps,
            work=partial(loop.practise, _UPDATES),
            wanted={name: WANTED},
        )
        figures = measure([ours, beside(name, items=rival_steps, work=learn_rival)], repeats)
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


def _loop(place: Place, config: Config, task: TaskConfig, backend: Backend, agent: Agent) -> Loop:
    make, settings = backend.make_policy_learner, task.training
    if task.controller.solver != "ppo" or make is None:
        raise ConfigError(
            f"C of {task.name} is searched, not learned by PPO: there is no pace to compare; "
            "give an agent whose controller.solver is ppo"
        )
    model = make(task, agent.spec.action, agent.num_features, place.model_seed("policy"))
    learner = OnPolicy(model, settings.num_steps, settings.reuse)
    steps = settings.num_steps * settings.num_envs
    # Nothing is checked: neither the target nor what is selected matters.
    return Loop(
        place,
        agent,
        real_collector(place, config, task, backend, agent),
        learner,
        Schedule(settings, task.ppo.learning_rate, 0.0, steps, dreamed=False),
        Selection(place, _no_check, {}, target=0.0, margin=0.0, episodes=1),
        averaging=settings.averaging,
        practising=backend.practising,
    )


def _no_check(learned: State, seeds: Sequence[int], guard: Guard) -> list[Episode]:
    raise AssertionError("throughput is measured without checks")


def _rival(spec: EnvSpec, held: ExitStack) -> tuple[Callable[[], object], int, str]:
    """Returns what plays one rollout and learns from it, its steps, and its name."""
    recipe = recipe_for(spec)
    env = _stock_env(spec, recipe)
    held.callback(env.close)
    model = build(recipe, env, Training(steps=_RIVAL_TOTAL))
    _, callback = model._setup_learn(_RIVAL_TOTAL)

    def learn() -> None:
        """One turn of the loop in `OnPolicyAlgorithm.learn`, which cannot be left and entered."""
        assert model.env is not None
        length = model.n_steps
        model.collect_rollouts(model.env, callback, model.rollout_buffer, n_rollout_steps=length)
        model._update_current_progress_remaining(model.num_timesteps, _RIVAL_TOTAL)
        model.train()

    steps = recipe.num_envs * model.n_steps
    return learn, steps, f"SB3 PPO, {recipe.policy}, {recipe.num_envs} environments"


def _stock_env(spec: EnvSpec, recipe: Recipe) -> VecEnv:
    """Builds the environments as SB3's own helpers do, without anything of ours."""
    if spec.observation == "state":
        return make_vec_env(spec.env_id, recipe.num_envs, seed=0)
    if spec.action.kind != "discrete":
        raise ConfigError(
            f"{spec.env_id} has no stock wrappers in Stable-Baselines3 to be compared with; "
            "give an agent of an Atari game or of a state environment"
        )
    env = make_atari_env(spec.env_id, recipe.num_envs, seed=0)
    return VecFrameStack(env, recipe.frame_stack)
