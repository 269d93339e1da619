"""How C practises, as configuration: what is played, how long, what is deployed and rewarded."""

from __future__ import annotations

from dataclasses import dataclass

from models.settings.key import key


@dataclass(frozen=True)
class TrainingConfig:
    """The loop around what learns C by gradients: what is played, how long, what is deployed."""

    num_envs: int = key(64, "environments stepped together", low=1, high=4096)
    num_steps: int = key(64, "steps of each between two updates", low=1, high=100_000)
    total_steps: int = key(1_000_000, "steps at most, dreamed ones in dreams", low=1)
    final_rate: float = key(
        0.1, "share of the learner's learning_rate left at total_steps", low=0, high=1
    )
    reuse: int = key(
        1,
        "rollouts that an update learns from: the newest, and those of the updates before",
        low=1,
        high=64,
    )
    noise_persistence: float = key(
        0.0,
        "probability that an environment draws its action with the noise of its step before; the "
        "more, the longer the moves it explores in; random actions last likewise",
        low=0,
        high=0.9999,
    )
    clip_rewards: bool = key(False, "learn from the sign of rewards")
    reward_scale: float = key(1.0, "factor on rewards while learning", low=0, open_low=True)
    end_on_life_loss: bool = key(False, "a lost life ends an episode for the learner")
    end_on_reward: bool = key(False, "a reward, as a point in Pong, ends one too")
    idle_steps: int = key(
        0,
        "cut training episodes after so many steps without a reward above 0; 0 never does",
        low=0,
    )
    idle_penalty: float = key(
        0.0,
        "what such a cut costs; 0 truncates, so that the value goes on, more is an end for the "
        "learner",
        low=0,
    )
    disturbance: float = key(
        0.0,
        "probability that an environment begins a burst of 4 to 14 steps of one random action, "
        "from which the way back is learned; for learners from a replay",
        low=0,
        high=0.5,
    )
    reseed_steps: int = key(
        4096, "steps of an environment after which its next episode gets a seed of its own", low=1
    )
    averaging: float = key(
        0.0,
        "what is checked and deployed is a running mean of C's parameters that keeps this share of "
        "itself at each update; 0 is C as it is",
        low=0,
        high=0.9999,
    )
    check_margin: float = key(
        0.0,
        "check once training episodes beat the target by this share of its size",
        low=-10,
        high=10,
    )
    patience: int = key(
        10, "updates between two checks, of an agent at its target or one that dreams", low=1
    )


@dataclass(frozen=True)
class ShapingConfig:
    """What learning in real environments is told beyond the score; nobody else sees it."""

    left_behind_cost: float = key(
        0.0,
        "cost of each tile left 5 or more behind the car, in units of a tile's reward (CarRacing)",
        low=0,
    )
    lap_bonus: float = key(0.0, "reward of a complete lap (CarRacing)", low=0)
    frame_cost: float = key(0.0, "cost of each frame that a step holds an action", low=0)
