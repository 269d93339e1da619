"""What SAC can be told, and how large its networks are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from models.settings.key import key


@dataclass(frozen=True)
class SACSettings:
    """Continuous C from a replay: Haarnoja et al. 2018, "Soft Actor-Critic Algorithms"."""

    learning_rate: float = key(
        3e-4, "Adam's step of actor and critics", low=0, high=1, open_low=True
    )
    temperature_learning_rate: float = key(
        3e-4, "Adam's step for the logarithm of the temperature; 0 keeps it", low=0, high=1
    )
    adam_eps: float = key(
        1e-8, "what Adam adds to the root of its second moment", low=0, open_low=True
    )
    max_grad_norm: float = key(
        10.0,
        "norm that the gradients of the actor, and of all critics, are clipped to",
        low=0,
        open_low=True,
    )
    critic_sizes: tuple[int, ...] = key(
        (256, 256), "hidden layers of each critic", low=1, high=4096, min_items=1, max_items=8
    )
    num_critics: int = key(2, "critics", low=2, high=10)
    min_critics: int = key(
        2, "critics, drawn anew for each update, whose least value is the target", low=1, high=10
    )
    tau: float = key(
        0.005, "share of the critics in their targets at each update", low=0, high=1, open_low=True
    )
    actor_period: int = key(1, "updates of the critics for one of the actor", low=1, high=100)
    initial_temperature: float = key(1.0, "weight of the entropy at first", low=0, open_low=True)
    target_entropy: float = key(
        -1.0, "nats per action dimension, of actions in [-1, 1], that the temperature aims at"
    )

    def critic_widths(self, policy_widths: Sequence[int]) -> tuple[int, ...]:
        """Returns a critic's layer widths, from features and actions to a value."""
        return (policy_widths[0] + policy_widths[-1] // 2, *self.critic_sizes, 1)

    def num_parameters(self, policy_widths: Sequence[int]) -> int:
        """Returns how many weights actor, critics and targets have, given the actor's widths."""
        actor = sum((a + 1) * b for a, b in pairwise(policy_widths))
        critic = sum((a + 1) * b for a, b in pairwise(self.critic_widths(policy_widths)))
        # Layer normalisation has a gain and an offset for each hidden unit.
        return actor + 2 * self.num_critics * (critic + 2 * sum(self.critic_sizes))

    def update_numbers(self, policy_widths: Sequence[int], batch_size: int) -> int:
        """Returns about how many numbers an update holds beyond the weights."""
        critics = self.num_critics * sum(self.critic_widths(policy_widths))
        return batch_size * (6 * sum(policy_widths) + 12 * critics)
