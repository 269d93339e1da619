"""How fast C learns: our PPO on what V and M see, beside Stable-Baselines3's on pixels.

Both learn for real, in turns, each with its own usual settings: the V, M and hyper-parameters of a
pretrained agent here, rl-baselines3-zoo's hyper-parameters, wrappers and number of games there.
What is counted are environment steps; the time is that of rollouts and updates together.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

from baselines.ppo import Plan, build
from baselines.recipes import Recipe, recipe_for
from curriculum.collecting.collector import real_surroundings
from curriculum.errors import ConfigError
from curriculum.learning.ppo_loop import Practice
from curriculum.learning.selection import Deployment
from curriculum.stages import controller as stage
from curriculum.stages.stage import StageContext
from diagnostics.bench.measuring import Case, Figure, measure

WANTED = 5.0
_UPDATES, _CALLS = 4, 2
_STAGE = "throughput"
"""No stage of a run: what is committed of C is not gone on with, it is learned from the start."""
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


def throughput(ctx: StageContext, repeats: int) -> Throughput:
    """Measures both in turns.

    Args:
        ctx: of a task whose V and M are learned and whose C learns by PPO; nothing of it is
            changed, and nothing is written.
        repeats: runs of each; the figures are their medians.

    Raises:
        ConfigError: C of this task is not learned by PPO, or the rival has no such environment.
    """
    training = ctx.task.training
    title = f"learning {ctx.task.name}, rollouts and updates"
    beside = partial(Case, "throughput", title, unit="steps", calls=_CALLS)
    with ExitStack() as held:
        learn_rival, rival_steps, name = _rival(ctx, held)
        practice = _practice(ctx, held)
        ctx.barrier.stopwatch.seconds.clear()
        ours = beside(
            "ours",
            items=_UPDATES * training.num_envs * training.num_steps,
            work=partial(practice.practise, _UPDATES),
            wanted={name: WANTED},
        )
        figures = measure([ours, beside(name, items=rival_steps, work=learn_rival)], repeats)
    seconds = ctx.barrier.stopwatch.seconds
    whole = sum(seconds.values())
    return Throughput(tuple(figures), {part: spent / whole for part, spent in seconds.items()})


def _practice(ctx: StageContext, held: ExitStack) -> Practice:
    ctx = ctx.at(_STAGE)
    vision, memory = ctx.vision(), ctx.memory()
    features = ctx.num_features(vision, memory)
    learner = stage.policy_learner(ctx, features)
    if learner is None:
        raise ConfigError(
            f"C of {ctx.task.name} is searched, not learned by PPO: there is no pace to compare; "
            "give an agent whose controller.solver is ppo"
        )
    controller = ctx.backend.make_controller(ctx.task, ctx.spec.action, features)
    deployment = Deployment(ctx, controller.get_parameters())
    surroundings = real_surroundings(ctx, vision, memory)
    practice = Practice(ctx, surroundings, memory, learner, controller, deployment)
    held.callback(practice.close)
    practice.begin()
    return practice


def _rival(ctx: StageContext, held: ExitStack) -> tuple[Callable[[], object], int, str]:
    """Returns what plays one rollout and learns from it, its steps, and its name."""
    recipe = recipe_for(ctx.spec)
    env = _stock_env(ctx, recipe)
    held.callback(env.close)
    model = build(recipe, env, Plan(steps=_RIVAL_TOTAL))
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


def _stock_env(ctx: StageContext, recipe: Recipe) -> VecEnv:
    """Builds the environments as SB3's own helpers do, without anything of ours."""
    if ctx.spec.observation == "state":
        return make_vec_env(ctx.spec.env_id, recipe.num_envs, seed=0)
    if ctx.spec.action.kind != "discrete":
        raise ConfigError(
            f"{ctx.spec.env_id} has no stock wrappers in Stable-Baselines3 to be compared with; "
            "give an agent of an Atari game or of a state environment"
        )
    env = make_atari_env(ctx.spec.env_id, recipe.num_envs, seed=0)
    return VecFrameStack(env, recipe.frame_stack)
