"""The policy of SAC: a controller's network, whose samples gradients lead through."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.actor_critic import clipped_log_std
from models.networks.mlp import forward, linear_layers, mlp
from models.off_policy.tanh import fast_tanh
from models.settings.units import Units

_HIDDEN_GAIN, _HEAD_GAIN = math.sqrt(2.0), 0.01
_LOG_TWO, _LOG_TWO_PI = math.log(2.0), math.log(2.0 * math.pi)


class Actor(nn.Module):
    """An MLP from standardised features to means and log standard deviations.

    Args:
        widths: of the controller's layers.
        units: what the hidden ones do with their linear parts.
    """

    def __init__(self, widths: Sequence[int], units: Units) -> None:
        super().__init__()
        self._units = units
        self.layers = mlp(widths)

    def outputs(self, x: Tensor) -> Tensor:
        """Returns means, then log standard deviations unclipped, `[B, 2A]`."""
        return forward(self.layers, x, self._units, fast_tanh)

    def draw(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draws actions, and their log-densities (Haarnoja et al. 2018, appendix C).

        With u = mean + std noise, log p(tanh u) = log N(u) - sum log(1 - tanh(u)^2).

        Args:
            x: standardised features `[B, F]`.
            noise: standard normal, `[B, A]`.

        Returns:
            Actions `[B, A]` in [-1, 1], and log-densities there `[B]`, nats.
        """
        mean, log_std = self.outputs(x).chunk(2, dim=1)
        log_std = clipped_log_std(log_std)
        u = mean + log_std.exp() * noise
        log_normal = -0.5 * noise.square() - log_std - 0.5 * _LOG_TWO_PI
        # log(1 - tanh(u)^2) without the difference that would round to zero.
        log_slope = 2.0 * (_LOG_TWO - u - functional.softplus(-2.0 * u))
        return torch.tanh(u), (log_normal - log_slope).sum(1)

    def reset(self, generator: torch.Generator) -> None:
        """Draws orthogonal weights; the policy starts nearly a unit Gaussian, squashed."""
        *hidden, head = linear_layers(self.layers)
        for layer in hidden:
            nn.init.orthogonal_(layer.weight, _HIDDEN_GAIN, generator=generator)
        nn.init.orthogonal_(head.weight, _HEAD_GAIN, generator=generator)
