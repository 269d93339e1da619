"""Mixtures of K Gaussians for each latent by itself (Ha & Schmidhuber 2018, appendix A.2)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class Mixture(NamedTuple):
    """One mixture per latent.

    Attributes:
        log_weights: `[..., Z, K]`, normalised over K.
        means: `[..., Z, K]`.
        log_stds: `[..., Z, K]`.
    """

    log_weights: Tensor
    means: Tensor
    log_stds: Tensor

    def negative_log_likelihood(self, targets: Tensor) -> Tensor:
        """Returns -log p of targets `[..., Z]` in nats, `[..., Z]` (Bishop 1994, equation 23)."""
        standardised = (targets.unsqueeze(-1) - self.means) * torch.exp(-self.log_stds)
        log_normal = -0.5 * standardised.square() - self.log_stds - _HALF_LOG_TWO_PI
        return -torch.logsumexp(self.log_weights + log_normal, dim=-1)

    def expectation(self) -> Tensor:
        """Returns the mixture's mean, `[..., Z]`."""
        return (self.log_weights.exp() * self.means).sum(-1)

    def entropy(self) -> Tensor:
        """Returns the entropy of the choice among the K, `[..., Z]` in nats: 0 to log K."""
        return -(self.log_weights.exp() * self.log_weights).sum(-1)

    def sample(self, temperature: float, uniforms: Tensor, normals: Tensor) -> Tensor:
        """Draws from the mixture at a temperature.

        Log weights are divided by it and standard deviations multiplied by its square root
        (Ha & Schmidhuber 2018, appendix A.2, after Ha & Eck 2017, equation 8).

        Args:
            temperature: tau > 0.
            uniforms: `[..., Z]` in [0, 1); choose the Gaussian by the cumulated weights' inverse.
            normals: `[..., Z]`, standard normal noise.

        Returns:
            `[..., Z]`.
        """
        cumulated = torch.softmax(self.log_weights / temperature, dim=-1).cumsum(-1)
        # Only K - 1 borders count: rounding may leave the last one under the uniform.
        choice = (uniforms.unsqueeze(-1) >= cumulated[..., :-1]).sum(-1, keepdim=True)
        means = self.means.gather(-1, choice).squeeze(-1)
        stds = self.log_stds.gather(-1, choice).squeeze(-1).exp()
        return means + math.sqrt(temperature) * stds * normals
