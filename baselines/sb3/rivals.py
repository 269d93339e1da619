"""What of Stable-Baselines3 learns beside ours, in turns: PPO, DQN or SAC, as its zoo has it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from baselines.random_agent import MakeEnv
from baselines.sb3.recipes import Recipe, off_policy_recipe, recipe_for
from baselines.sb3.stock import ATARI_KIND, STATE_KIND, training_env
from baselines.sb3.training import Training, build
from baselines.sb3.vec_env import TrainingVecEnv
from curriculum.envs.aliases import atari_game
from curriculum.envs.interface import EnvSpec

OFF_POLICY: dict[str, type[DQN] | type[SAC]] = {"qrdqn": DQN, "sac": SAC}
"""Of Stable-Baselines3 what is nearest to each of our solvers that learn from a replay."""

_TOTAL = 10_000_000
"""Steps over which rates and random actions fall, as in rl-baselines3-zoo."""
_TURN, _BUFFER, _STARTS = 512, 10_000, 1_000


@dataclass(frozen=True)
class Rival:
    """What learns for real, a turn at a time.

    Attributes:
        name: as a table shows it.
        steps: of environments in a turn.
        learn: plays a turn and learns from it.
        model: what learns.
    """

    name: str
    steps: int
    learn: Callable[[], object]
    model: BaseAlgorithm


def rival_of(solver: str, spec: EnvSpec, make_env: MakeEnv, held: ExitStack) -> Rival:
    """Builds the rival of a solver, warmed up.

    Args:
        solver: ours: `ppo`, `qrdqn` or `sac`.
        spec: of our environments.
        make_env: builds them, for what has no stock wrappers in Stable-Baselines3.
        held: closes what is opened.
    """
    off_policy = solver in OFF_POLICY
    recipe = off_policy_recipe(spec) if off_policy else recipe_for(spec)
    env = _environments(spec, recipe, make_env)
    held.callback(env.close)
    where = f"{recipe.policy}, {recipe.num_envs} environments"
    if recipe.num_envs == 1:
        where = f"{recipe.policy}, 1 environment"
    if off_policy:
        kind = OFF_POLICY[solver]
        return _from_replay(f"SB3 {kind.__name__}, {where}", kind, recipe, env)
    return _from_rollouts(f"SB3 PPO, {where}", recipe, env)


def _from_rollouts(name: str, recipe: Recipe, env: VecEnv) -> Rival:
    model = build("ppo", recipe, env, Training(steps=_TOTAL))
    assert isinstance(model, PPO)
    _, callback = model._setup_learn(_TOTAL)

    def learn() -> None:
        """One turn of the loop in `OnPolicyAlgorithm.learn`, which cannot be left and entered."""
        assert model.env is not None
        length = model.n_steps
        model.collect_rollouts(model.env, callback, model.rollout_buffer, n_rollout_steps=length)
        model._update_current_progress_remaining(model.num_timesteps, _TOTAL)
        model.train()

    return Rival(name, recipe.num_envs * model.n_steps, learn, model)


def _from_replay(name: str, kind: type[DQN] | type[SAC], recipe: Recipe, env: VecEnv) -> Rival:
    # What is measured is learning: it begins as soon as there is something to draw from, and the
    # buffer is no larger than the measurement needs.
    settings: dict[str, Any] = {
        **recipe.settings,
        "gamma": recipe.gamma,
        "policy_kwargs": dict(recipe.network),
        "learning_starts": _STARTS,
        "buffer_size": _BUFFER,
    }
    model: OffPolicyAlgorithm = kind(recipe.policy, env, seed=0, device="cpu", **settings)
    model.set_logger(Logger(folder=None, output_formats=[]))
    _, callback = model._setup_learn(_TOTAL)

    def learn() -> None:
        """Turns of the loop in `OffPolicyAlgorithm.learn`, which cannot be left and entered."""
        assert model.env is not None and model.replay_buffer is not None
        end = model.num_timesteps + _TURN
        while model.num_timesteps < end:
            rollout = model.collect_rollouts(
                model.env,
                train_freq=model.train_freq,  # pyright: ignore[reportArgumentType]
                action_noise=None,
                callback=callback,
                learning_starts=_STARTS,
                replay_buffer=model.replay_buffer,
            )
            if model.num_timesteps > _STARTS:
                count = model.gradient_steps
                steps = rollout.episode_timesteps if count < 0 else count
                model.train(batch_size=model.batch_size, gradient_steps=steps)

    while model.num_timesteps <= _STARTS:
        learn()
    return Rival(name, _TURN, learn, model)


def _environments(spec: EnvSpec, recipe: Recipe, make_env: MakeEnv) -> VecEnv:
    """Builds environments as SB3's own helpers do where there are any for them, else ours."""
    if spec.observation == "state":
        return training_env(spec.env_id, STATE_KIND, recipe, seed=0)
    if atari_game(spec.env_id) is not None:
        return training_env(spec.env_id, ATARI_KIND, recipe, seed=0)
    return TrainingVecEnv(
        make_env(recipe.num_envs),
        lambda slot: slot,
        frame_stack=recipe.frame_stack,
        clip_rewards=recipe.clip_rewards,
        end_on_life_loss=recipe.end_on_life_loss,
    )
