"""What PPO can be told, and how large its networks are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from models.settings.key import key

_VALUE_OF_A_LINEAR_POLICY = (64,)


@dataclass(frozen=True)
class PPOSettings:
    """C by gradients: Schulman et al. 2017."""

    learning_rate: float = key(1e-3, "Adam's step at first", low=0, high=1, open_low=True)
    gamma: float = key(0.99, "discount", low=0, high=1)
    gae_lambda: float = key(0.95, "lambda of generalised advantages", low=0, high=1)
    epochs: int = key(4, "passes over the rollouts of an update", low=1, high=100)
    minibatch_size: int = key(1024, "steps per gradient", low=2)
    clip_range: float = key(0.1, "how far a probability may move", low=0, open_low=True)
    ent_coef: float = key(
        0.01, "weight of the entropy, of continuous actions before they are squashed", low=0
    )
    vf_coef: float = key(0.5, "weight of the value's loss", low=0)
    max_grad_norm: float = key(
        0.5, "global norm that gradients are clipped to", low=0, open_low=True
    )
    target_kl: float = key(
        0.0, "no further pass begins once the policy has moved so far; 0 is no limit", low=0
    )
    value_sizes: tuple[int, ...] = key(
        (),
        "hidden layers of the value; none are those of C, or one of 64 if that is linear",
        low=1,
        high=4096,
        max_items=8,
    )

    def value_widths(self, policy_widths: Sequence[int]) -> tuple[int, ...]:
        """Returns the value's layer widths, given those of the policy, from features to outputs."""
        hidden = self.value_sizes or tuple(policy_widths[1:-1]) or _VALUE_OF_A_LINEAR_POLICY
        return (policy_widths[0], *hidden, 1)

    def num_parameters(self, policy_widths: Sequence[int]) -> int:
        """Returns how many weights policy and value have, given the policy's layer widths."""
        networks = (policy_widths, self.value_widths(policy_widths))
        return sum((a + 1) * b for widths in networks for a, b in pairwise(widths))
