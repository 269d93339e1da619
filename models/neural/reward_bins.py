"""Rewards as a distribution over fixed bins, whose mean is unbiased at any scale of reward.

Hafner et al. 2023, "Mastering Diverse Domains through World Models", section "Robust predictions".
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class RewardBins:
    """Bins from -limit to limit, denser near zero: symexp of even steps.

    Args:
        count: how many, odd so that zero is one of them.
        limit: the largest reward that can be told apart; larger ones count as this.
        device: where the bins live.

    Raises:
        ValueError: `count` is even or under 3, or `limit` is not positive.
    """

    def __init__(self, count: int, limit: float, device: torch.device) -> None:
        if count < 3 or count % 2 == 0 or not limit > 0:
            raise ValueError(
                f"RewardBins was given {count} bins up to {limit}, expected an odd number "
                "of at least 3 and a limit above zero"
            )
        half = count // 2
        even = torch.arange(-half, half + 1, dtype=torch.float64) * (math.log1p(limit) / half)
        self.values = (torch.sign(even) * torch.expm1(even.abs())).float().to(device)

    def prior_logits(self) -> Tensor:
        """Returns logits `[bins]` to start from: symmetric, and with little mass far from zero.

        Bins that no reward ever visits would otherwise keep mass for long and bias the mean.
        """
        return -2.0 * torch.log1p(self.values.abs())

    def expectation(self, logits: Tensor) -> Tensor:
        """Returns the mean reward `[...]` of logits `[..., bins]`."""
        return torch.softmax(logits, dim=-1) @ self.values

    def cross_entropy(self, logits: Tensor, rewards: Tensor) -> Tensor:
        """Returns the loss `[...]` in nats of logits `[..., bins]` against rewards `[...]`."""
        return -(self.two_hot(rewards) * torch.log_softmax(logits, dim=-1)).sum(-1)

    def two_hot(self, rewards: Tensor) -> Tensor:
        """Splits each reward `[...]` between its neighbouring bins, `[..., bins]`.

        The split is such that the mean of the two bins is the reward.
        """
        bins = self.values
        rewards = rewards.clamp(bins[0], bins[-1]).contiguous()
        upper = torch.searchsorted(bins, rewards, right=True).clamp(1, len(bins) - 1)
        low, high = bins[upper - 1], bins[upper]
        share = ((rewards - low) / (high - low)).unsqueeze(-1)
        target = torch.zeros(*rewards.shape, len(bins), device=rewards.device)
        target.scatter_(-1, (upper - 1).unsqueeze(-1), 1.0 - share)
        return target.scatter_(-1, upper.unsqueeze(-1), share)
