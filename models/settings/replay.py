"""How learners from a replay draw from it, and how often."""

from __future__ import annotations

from dataclasses import dataclass

from models.settings.key import key


@dataclass(frozen=True)
class ReplaySettings:
    """The replay of `qrdqn` and `sac`; steps are those of all environments together."""

    capacity: int = key(1_000_000, "newest steps that are drawn from", low=1)
    learning_starts: int = key(5_000, "steps collected before the first gradient", low=1)
    batch_size: int = key(256, "transitions per gradient", low=1, high=65536)
    num_steps: int = key(3, "n of n-step returns", low=1, high=100)
    gamma: float = key(0.99, "discount of a step", low=0, high=1)
    updates_per_step: float = key(
        0.25, "gradients per step of an environment", low=0, high=100, open_low=True
    )
    epsilon: float = key(
        0.01, "share of random actions in the end; of discrete actions only", low=0, high=1
    )
    epsilon_steps: int = key(
        50_000, "steps over which the share of random actions falls from 1", low=0
    )
