"""Where a learner of Stable-Baselines3 trains and plays: our environments, or its own wrappers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from baselines.random_agent import MakeEnv
from baselines.results import Setting
from baselines.sb3.recipes import Recipe
from baselines.sb3.stock import StockVecEnv, playing_env, stock_kind, training_env
from baselines.sb3.vec_env import SeedOf, TrainingVecEnv
from curriculum.collecting.lessons import Ended
from curriculum.config.schema import TaskConfig
from curriculum.config.writing import plain_of
from curriculum.envs.interface import VectorEnv

OnEpisode = Callable[[Ended], None]


class Arena(Protocol):
    """Builds the environments of one task in one setting."""

    @property
    def setting(self) -> Setting:
        """Which of the two settings it is."""
        ...

    @property
    def rules(self) -> dict[str, Any]:
        """What is played by, in the words of a task's `env` section."""
        ...

    def to_play(self, num_envs: int) -> VectorEnv:
        """Builds environments for whole games with true rewards, seeded by the caller."""
        ...

    def to_train(
        self, recipe: Recipe, seed_of: SeedOf, on_episode: OnEpisode | None = None
    ) -> TrainingVecEnv | StockVecEnv:
        """Builds what is trained in.

        Args:
            recipe: how many, and what the learner is shown of them.
            seed_of: seeds of the first episodes; the others follow from them.
            on_episode: is told each finished game with its true score.
        """
        ...


class SameEnvironments:
    """Our own adapters, so that only the learning differs (`Arena`).

    Args:
        task: what is played.
        make_env: builds its environments.
    """

    setting: Setting = "same"

    def __init__(self, task: TaskConfig, make_env: MakeEnv) -> None:
        self.rules = plain_of(task.env)
        self._make_env = make_env

    def to_play(self, num_envs: int) -> VectorEnv:
        return self._make_env(num_envs)

    def to_train(
        self, recipe: Recipe, seed_of: SeedOf, on_episode: OnEpisode | None = None
    ) -> TrainingVecEnv:
        return TrainingVecEnv(
            self._make_env(recipe.num_envs),
            seed_of,
            frame_stack=recipe.frame_stack,
            clip_rewards=recipe.clip_rewards,
            end_on_life_loss=recipe.end_on_life_loss,
            on_episode=on_episode,
        )


class StockEnvironments:
    """What a user of Stable-Baselines3 and its zoo would play in (`Arena`).

    Args:
        task: what is played; of its `env` section only the id is obeyed.

    Raises:
        ConfigError: the zoo has no settings for it.
    """

    setting: Setting = "stock"

    def __init__(self, task: TaskConfig) -> None:
        self._env_id, self._kind = task.env_id, stock_kind(task)
        self.rules = dict(self._kind.rules)

    def to_play(self, num_envs: int) -> VectorEnv:
        return playing_env(self._env_id, self._kind, num_envs)

    def to_train(
        self, recipe: Recipe, seed_of: SeedOf, on_episode: OnEpisode | None = None
    ) -> StockVecEnv:
        return StockVecEnv(
            lambda: training_env(self._env_id, self._kind, recipe),
            seed_of,
            self._kind.frame_skip,
            on_episode,
        )


def arena_of(setting: Setting, task: TaskConfig, make_env: MakeEnv) -> Arena:
    """Returns the environments of a task in a setting.

    Args:
        setting: which.
        task: what is played.
        make_env: builds ours; the stock setting has no use for it.

    Raises:
        ConfigError: the zoo has no settings for it.
    """
    return StockEnvironments(task) if setting == "stock" else SameEnvironments(task, make_env)
