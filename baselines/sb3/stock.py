"""Environments as Stable-Baselines3 and rl-baselines3-zoo set them up: their wrappers, their batch.

A batch of theirs cannot be told to begin anew in the middle of a game (the wrapper that ends an
episode at a lost life plays on instead), so `StockVecEnv` builds it again there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ale_py
import gymnasium
import numpy as np
from gymnasium.wrappers import GrayscaleObservation, ResizeObservation
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecFrameStack

from baselines.sb3.recipes import Recipe
from baselines.sb3.vec_env import SeedOf
from curriculum.collecting.lessons import Ended
from curriculum.config.schema import TaskConfig
from curriculum.envs.aliases import atari_game
from curriculum.envs.batch import Batch
from curriculum.envs.gym.singles import GymSingle, Singles, hold
from curriculum.envs.gym.view import View
from curriculum.envs.interface import ActionSpec, EnvSpec, VectorEnv
from curriculum.errors import ConfigError

gymnasium.register_envs(ale_py)  # so that what sorts imports does not take it for unused

Wrap = Callable[[gymnasium.Env], gymnasium.Env]
_SEEDS = 2**31 - 1024
"""Below what the emulator takes, with room for the environments of a batch."""


@dataclass(frozen=True)
class StockKind:
    """How the zoo sets up one kind of environment.

    Attributes:
        wrap: puts its wrappers around one environment of which whole games are played.
        frame_skip: frames of a step.
        rules: what is played by, in the words of a task's `env` section.
        atari: whether it is set up by `make_atari_env`.
    """

    wrap: Wrap
    frame_skip: int = 1
    rules: Mapping[str, Any] = field(default_factory=dict)
    atari: bool = False


class FrameSkip(gymnasium.Wrapper):
    """Holds an action for several frames and adds their rewards up, as the zoo's wrapper does.

    Args:
        env: what is skipped in.
        skip: frames of a step.
    """

    def __init__(self, env: gymnasium.Env, skip: int) -> None:
        super().__init__(env)
        self._skip = skip

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, total, terminated, truncated = hold(self.env, action, self._skip)
        return observation, total, terminated, truncated, {}


class WholeGames(gymnasium.Wrapper):
    """Plays on where `EpisodicLifeEnv` ended a life, as `evaluate_policy` has it: FIRE is pressed.

    Args:
        env: an `AtariWrapper`.
    """

    def reset(self, **given: Any) -> tuple[Any, dict[str, Any]]:
        self.env.set_wrapper_attr("was_real_done", True)  # a game that was left is over
        return self.env.reset(**given)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        if terminated and not self.env.get_wrapper_attr("was_real_done"):
            observation, info = self.env.reset()
            terminated = False
        return observation, reward, terminated, truncated, info


def _atari(env: gymnasium.Env) -> gymnasium.Env:
    return WholeGames(AtariWrapper(env, clip_reward=False))


def _racing(env: gymnasium.Env) -> gymnasium.Env:
    small = ResizeObservation(FrameSkip(env, 2), (64, 64))
    return GrayscaleObservation(small, keep_dim=True)


STATE_KIND = StockKind(lambda env: env)
ATARI_KIND = StockKind(_atari, 4, {"frame_skip": 4}, atari=True)
RACING_KIND = StockKind(_racing, 2, {"frame_skip": 2})


def stock_kind(task: TaskConfig) -> StockKind:
    """Returns how the zoo sets up a task's environment.

    Raises:
        ConfigError: it is no Atari game as the zoo plays it (`NoFrameskip-v4`), no CarRacing, and
            shows no state.
    """
    if task.env.continuous or task.env.kwargs:
        raise ConfigError(
            f"the stock setting knows {task.env_id} as it is, not with env.continuous or "
            "env.kwargs: take --setting same"
        )
    if task.observation == "state":
        return STATE_KIND
    game = atari_game(task.env_id)
    if game is not None and game.frame_skip == 1 and not game.repeat_action_probability:
        return ATARI_KIND
    if task.env_id.startswith("CarRacing"):
        return RACING_KIND
    raise ConfigError(
        f"rl-zoo has no settings for the pixels of {task.env_id}: take --setting same, or a game "
        "that it plays, such as PongNoFrameskip-v4"
    )


def training_env(env_id: str, kind: StockKind, recipe: Recipe, seed: int | None = None) -> VecEnv:
    """Builds a batch to train in, as its own helpers do."""
    count = recipe.num_envs
    if kind.atari:
        env = make_atari_env(env_id, count, seed=seed)
    else:
        env = make_vec_env(env_id, count, seed=seed, wrapper_class=kind.wrap)
    return VecFrameStack(env, recipe.frame_stack) if recipe.frame_stack > 1 else env


def playing_env(env_id: str, kind: StockKind, num_envs: int) -> VectorEnv:
    """Builds environments of whole games with true rewards, each seeded by the caller."""
    games = [kind.wrap(gymnasium.make(env_id)) for _ in range(num_envs)]
    spec = _spec_of(env_id, games[0])
    view = View(spec, lambda env, native: np.array(native), _action_of(games[0]))
    return Batch(Singles(spec, [GymSingle(game, view) for game in games]))


def _spec_of(env_id: str, env: gymnasium.Env) -> EnvSpec:
    """Returns what is seen: a step of it is a step of the wrappers, whatever they skip."""
    seen, action = env.observation_space, env.action_space
    assert seen.shape is not None, "their wrappers show arrays"
    kind = "pixels" if seen.dtype == np.uint8 else "state"
    if isinstance(action, gymnasium.spaces.Discrete):
        spec = ActionSpec("discrete", int(action.n))
    else:
        assert isinstance(action, gymnasium.spaces.Box), "the zoo's tasks have no other actions"
        low, high = (tuple(map(float, bound)) for bound in (action.low, action.high))
        spec = ActionSpec("continuous", action.shape[0], low, high)
    return EnvSpec(env_id, kind, seen.shape, spec)


def _action_of(env: gymnasium.Env) -> Callable[[np.ndarray], Any]:
    return int if isinstance(env.action_space, gymnasium.spaces.Discrete) else np.asarray


class StockVecEnv(VecEnvWrapper):
    """Their batch, which begins anew, and is built anew for that, where seeds are named.

    Args:
        make: builds the batch.
        seed_of: seeds of the first episodes; of theirs only the first slot's is obeyed, the others
            have those that follow it.
        frame_skip: frames of a step.
        on_episode: is told each finished game with its true score.
    """

    def __init__(
        self,
        make: Callable[[], VecEnv],
        seed_of: SeedOf,
        frame_skip: int = 1,
        on_episode: Callable[[Ended], None] | None = None,
    ) -> None:
        super().__init__(make())
        self._make, self._skip, self._on_episode = make, frame_skip, on_episode
        self._fresh, self._first = True, seed_of(0)

    def begin_with(self, seed_of: SeedOf) -> None:
        """Names the seeds of the episodes that the next `reset` begins."""
        self._first = seed_of(0)
        if not self._fresh:
            self.venv.close()
            self.venv = self._make()
            self._fresh = True

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Leaves seeds to `begin_with`; SB3 calls this when it seeds generators."""
        return [self._first] * self.num_envs

    def reset(self) -> Any:
        if self._fresh:
            self.venv.seed(self._first % _SEEDS)
        self._fresh = False
        return self.venv.reset()

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observations, rewards, over, infos = self.venv.step_wait()
        for slot, info in enumerate(infos):
            told = info.get("episode")
            if told is not None and self._on_episode is not None:
                steps = -(-int(told["l"]) // self._skip)
                cut = bool(info.get("TimeLimit.truncated", False))
                self._on_episode(Ended(slot, float(told["r"]), steps, not cut))
        return observations, rewards, over, infos
