"""Hyper-parameters of Stable-Baselines3 per kind of task, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from baselines.results import Setting
from curriculum.envs.interface import EnvSpec


@dataclass(frozen=True)
class Linear:
    """A value that falls in a straight line to zero over the training."""

    start: float

    def __call__(self, remaining: float) -> float:
        return self.start * remaining

    def __str__(self) -> str:
        return f"linear from {self.start:g} to 0"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one of its learners learns one kind of task.

    Attributes:
        source: where the numbers come from.
        policy: SB3's name of the network.
        num_envs: environments stepped together.
        frame_stack: observations joined into one.
        clip_rewards: learn from the sign of rewards; scores are never clipped.
        end_on_life_loss: learn as if a lost life ended the game; scores are of whole games.
        normalise_rewards: learn from rewards divided by the deviation of returns.
        gamma: discount.
        settings: arguments of the learner.
        network: arguments of the network.
        differs: what is different from there in our environments; nothing is in stock ones.
    """

    source: str
    policy: str
    num_envs: int
    frame_stack: int = 1
    clip_rewards: bool = False
    end_on_life_loss: bool = False
    normalise_rewards: bool = False
    gamma: float
    settings: Mapping[str, float | int | bool | str | Callable[[float], float]]
    network: Mapping[str, Any]
    differs: str = ""

    @property
    def steps_per_rollout(self) -> int:
        """Steps of each environment between two looks at whether all steps are taken."""
        return int(self.settings.get("n_steps") or self.settings.get("train_freq") or 1)  # type: ignore[arg-type]

    def facts(self, setting: Setting) -> dict[str, Any]:
        """Returns everything as JSON-compatible data, for the record."""
        settings = {
            k: v if isinstance(v, int | float) else str(v) for k, v in self.settings.items()
        }
        told = {**vars(self), "settings": settings, "network": dict(self.network)}
        differs = told.pop("differs")
        if differs and setting == "same":
            told["source"] += f"; different here: {differs}"
        return told


STATE = Recipe(
    source="rl-baselines3-zoo hyperparams/ppo.yml, LunarLander-v2",
    policy="MlpPolicy",
    num_envs=16,
    gamma=0.999,
    settings={
        "n_steps": 1024,
        "batch_size": 64,
        "n_epochs": 4,
        "gae_lambda": 0.98,
        "ent_coef": 0.01,
    },
    network={},
)

PIXELS_DISCRETE = Recipe(
    source="rl-baselines3-zoo hyperparams/ppo.yml, atari",
    differs="64x64 frames instead of 84x84",
    policy="CnnPolicy",
    num_envs=8,
    frame_stack=4,
    clip_rewards=True,
    end_on_life_loss=True,
    gamma=0.99,
    settings={
        "n_steps": 128,
        "batch_size": 256,
        "n_epochs": 4,
        "learning_rate": Linear(2.5e-4),
        "clip_range": Linear(0.1),
        "vf_coef": 0.5,
        "ent_coef": 0.01,
    },
    network={},
)

PIXELS_CONTINUOUS = Recipe(
    source="rl-baselines3-zoo hyperparams/ppo.yml, CarRacing-v0",
    differs="the task's own frame skip and colours instead of skip 2 and grey",
    policy="CnnPolicy",
    num_envs=8,
    frame_stack=2,
    normalise_rewards=True,
    gamma=0.99,
    settings={
        "n_steps": 512,
        "batch_size": 128,
        "n_epochs": 10,
        "gae_lambda": 0.95,
        "learning_rate": Linear(1e-4),
        "clip_range": 0.2,
        "vf_coef": 0.5,
        "ent_coef": 0.0,
        "max_grad_norm": 0.5,
        "use_sde": True,
        "sde_sample_freq": 4,
    },
    network={
        "log_std_init": -2.0,
        "ortho_init": False,
        "activation": "GELU",
        "net_arch": {"pi": [256], "vf": [256]},
    },
)

DQN_STATE = Recipe(
    source="rl-baselines3-zoo hyperparams/dqn.yml, LunarLander-v2",
    policy="MlpPolicy",
    num_envs=1,
    gamma=0.99,
    settings={
        "learning_rate": 8.8e-4,
        "buffer_size": 50_000,
        "learning_starts": 0,
        "batch_size": 32,
        "target_update_interval": 10_000,
        "train_freq": 16,
        "gradient_steps": -1,
        "exploration_fraction": 0.2,
        "exploration_final_eps": 0.1,
    },
    network={"net_arch": [256, 256]},
)

DQN_PIXELS = Recipe(
    source="rl-baselines3-zoo hyperparams/dqn.yml, atari",
    policy="CnnPolicy",
    num_envs=1,
    frame_stack=4,
    clip_rewards=True,
    end_on_life_loss=True,
    gamma=0.99,
    settings={
        "learning_rate": 1e-4,
        "buffer_size": 100_000,
        "learning_starts": 100_000,
        "batch_size": 32,
        "target_update_interval": 10_000,
        "train_freq": 4,
        "gradient_steps": 1,
        "exploration_fraction": 0.1,
        "exploration_final_eps": 0.1,
    },
    network={},
)

SAC_STATE = Recipe(
    source="rl-baselines3-zoo hyperparams/sac.yml, LunarLanderContinuous-v2, constant rate",
    policy="MlpPolicy",
    num_envs=1,
    gamma=0.99,
    settings={
        "learning_rate": 7.3e-4,
        "buffer_size": 1_000_000,
        "learning_starts": 10_000,
        "batch_size": 256,
        "ent_coef": "auto",
        "tau": 0.01,
        "train_freq": 1,
        "gradient_steps": 1,
    },
    network={"net_arch": [400, 300]},
)

SAC_PIXELS = Recipe(
    source=(
        "rl-baselines3-zoo hyperparams/sac.yml, CarRacing-v0; different here: pixels through "
        "CnnPolicy instead of an autoencoder's latents, rewards as they are"
    ),
    policy="CnnPolicy",
    num_envs=2,
    frame_stack=2,
    gamma=0.99,
    settings={
        "learning_rate": 7.3e-4,
        "buffer_size": 300_000,
        "learning_starts": 1_000,
        "batch_size": 256,
        "ent_coef": "auto",
        "tau": 0.02,
        "train_freq": 8,
        "gradient_steps": 10,
        "use_sde": True,
        "use_sde_at_warmup": True,
    },
    network={},
)


def recipe_for(spec: EnvSpec) -> Recipe:
    """Returns PPO's recipe for what an agent sees and does."""
    if spec.observation == "state":
        return STATE
    return PIXELS_DISCRETE if spec.action.kind == "discrete" else PIXELS_CONTINUOUS


def off_policy_recipe(spec: EnvSpec) -> Recipe:
    """Returns DQN's recipe where actions are discrete, else SAC's."""
    if spec.action.kind == "discrete":
        return DQN_STATE if spec.observation == "state" else DQN_PIXELS
    return SAC_STATE if spec.observation == "state" else SAC_PIXELS
