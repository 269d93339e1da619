"""The network of M: an LSTM, and one linear layer that says what follows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.mixture import Mixture

_LOWEST_LOG_STD = -6.0


class Heads(NamedTuple):
    """What M says of a step: a mixture over z_{t+1}, rewards and the end's logits `[...]`."""

    mixture: Mixture
    rewards: Tensor
    end_logits: Tensor


class MixtureLSTM(nn.Module):
    """LSTM and one linear layer for all heads."""

    def __init__(
        self, latent_size: int, action_size: int, hidden_size: int, num_mixtures: int
    ) -> None:
        super().__init__()
        self.latent_size, self.num_mixtures = latent_size, num_mixtures
        self.lstm = nn.LSTM(latent_size + action_size, hidden_size, batch_first=True)
        self.heads = nn.Linear(hidden_size, 3 * num_mixtures * latent_size + 2)

    def read(self, hidden: Tensor, latents: Tensor, scales: Tensor) -> Heads:
        """Turns h `[..., R]`, z_t `[..., Z]` and the usual sizes `[Z + 1]` into predictions."""
        mixture_size = self.latent_size * self.num_mixtures
        sizes = (mixture_size, mixture_size, mixture_size, 1, 1)
        weights, changes, log_stds, reward, end = self.heads(hidden).float().split(sizes, dim=-1)
        shape = (self.latent_size, self.num_mixtures)
        # A soft floor still passes gradients, so a deviation that fell too low can rise again.
        floored = _LOWEST_LOG_STD + functional.softplus(log_stds - _LOWEST_LOG_STD)
        scale = scales[:-1].unsqueeze(-1)
        mixture = Mixture(
            torch.log_softmax(weights.unflatten(-1, shape), dim=-1),
            latents.unsqueeze(-1) + scale * changes.unflatten(-1, shape),
            torch.log(scale) + floored.unflatten(-1, shape),
        )
        return Heads(mixture, scales[-1] * reward.squeeze(-1), end.squeeze(-1))
