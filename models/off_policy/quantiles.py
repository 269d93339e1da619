"""The quantiles of each action's return (Dabney et al. 2018), and a policy that can be read off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.networks.tanh_mlp import array, linear_layers, tanh_mlp
from models.off_policy.tanh import fast_tanh

_HIDDEN_GAIN, _HEAD_GAIN = math.sqrt(2.0), 0.01


class Quantiles(nn.Module):
    """A tanh MLP from standardised features to N quantiles of each action's return.

    The last layer is linear, and so are the mean over quantiles and the sum of a value and an
    advantage: the mean returns of all actions are one linear layer of the hidden units, which a
    controller's outputs can be.

    Args:
        widths: of the controller's layers, from features to actions.
        num_quantiles: N.
        dueling: Q_a = V + A_a - mean A (Wang et al. 2016, equation 9), for each quantile.
    """

    def __init__(self, widths: Sequence[int], num_quantiles: int, *, dueling: bool) -> None:
        super().__init__()
        *body, actions = widths
        self._shape = (actions, num_quantiles)
        self.body = tanh_mlp(body)
        self.advantage = nn.Linear(body[-1], actions * num_quantiles)
        self.value = nn.Linear(body[-1], num_quantiles) if dueling else None

    def first_layers(self) -> list[nn.Linear]:
        """Returns those that read features."""
        heads = [self.advantage] if self.value is None else [self.advantage, self.value]
        return linear_layers(self.body)[:1] or heads

    def hidden(self, x: Tensor) -> Tensor:
        """Returns the last hidden units `[B, H]` of standardised features `[B, F]`."""
        for layer in self.body:
            x = fast_tanh(layer(x))
        return x

    def heads(self) -> tuple[Tensor, Tensor]:
        """Returns what maps hidden units to quantiles: weights `[A, N, H]`, biases `[A, N]`."""
        weights = self.advantage.weight.view(*self._shape, -1)
        biases = self.advantage.bias.view(self._shape)
        if self.value is None:
            return weights, biases
        return (
            weights + (self.value.weight - weights.mean(0)),
            biases + (self.value.bias - biases.mean(0)),
        )

    def mean_heads(self) -> tuple[Tensor, Tensor]:
        """Returns what maps hidden units to mean returns: weights `[A, H]`, biases `[A]`."""
        weights, biases = self.heads()
        return weights.mean(1), biases.mean(1)

    def means(self, hidden: Tensor) -> Tensor:
        """Returns each action's mean return `[B, A]`."""
        weights, biases = self.mean_heads()
        return torch.addmm(biases, hidden, weights.t())

    def all(self, hidden: Tensor) -> Tensor:
        """Returns each action's quantiles `[B, A, N]`."""
        weights, biases = self.heads()
        flat = torch.addmm(biases.flatten(), hidden, weights.flatten(0, 1).t())
        return flat.view(-1, *self._shape)

    def of_actions(self, hidden: Tensor, actions: Tensor) -> Tensor:
        """Returns the quantiles `[B, N]` of one action `[B]` for each row.

        Rows are taken action by action, so that no quantile is computed that is not asked for.
        """
        weights, biases = self.heads()
        order = torch.argsort(actions, stable=True)
        counts = torch.bincount(actions, minlength=self._shape[0]).tolist()
        groups = zip(biases.unbind(), hidden[order].split(counts), weights.unbind(), strict=True)
        sorted_rows = torch.cat([torch.addmm(b, rows, w.t()) for b, rows, w in groups])
        return sorted_rows[torch.argsort(order)]

    def layers(self, temperature: float) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns weights `[in, out]` and biases of the mean returns over a temperature."""
        body = [(array(layer.weight).T, array(layer.bias)) for layer in linear_layers(self.body)]
        with torch.no_grad():
            weights, biases = self.mean_heads()
        return [*body, (array(weights).T / temperature, array(biases) / temperature)]

    def take_layers(self, layers: Sequence[tuple[Tensor, Tensor]], temperature: float) -> None:
        """Takes what `layers` returns, weights `[out, in]`; all quantiles become their mean."""
        *body, (weights, biases) = layers
        with torch.no_grad():
            for layer, (given, bias) in zip(linear_layers(self.body), body, strict=True):
                layer.weight.copy_(given)
                layer.bias.copy_(bias)
            count = self._shape[1]
            self.advantage.weight.copy_((weights * temperature).repeat_interleave(count, 0))
            self.advantage.bias.copy_((biases * temperature).repeat_interleave(count))
            if self.value is not None:
                self.value.weight.copy_((weights * temperature).mean(0).expand(count, -1))
                self.value.bias.fill_(float(biases.mean()) * temperature)

    def reset(self, generator: torch.Generator) -> None:
        """Draws orthogonal weights (Saxe et al. 2014), small ones of the heads: Q starts near 0."""
        heads = [self.advantage] if self.value is None else [self.advantage, self.value]
        for layer in linear_layers(self.body):
            nn.init.orthogonal_(layer.weight, _HIDDEN_GAIN, generator=generator)
        for layer in heads:
            nn.init.orthogonal_(layer.weight, _HEAD_GAIN, generator=generator)


class _QuantileHuber(torch.autograd.Function):
    """The loss of each row, with its gradient worked out by hand in the forward pass."""

    @staticmethod
    def forward(ctx: Any, quantiles: Tensor, targets: Tensor, kappa: float) -> Tensor:
        count = quantiles.shape[1]
        midpoints = (torch.arange(count, device=quantiles.device) + 0.5) / count
        errors = targets.unsqueeze(1) - quantiles.unsqueeze(2)
        above, below = errors.clamp(0.0, kappa), errors.clamp(-kappa, 0.0)
        weighted = above.sum(2) * midpoints + below.sum(2) * (1.0 - midpoints)
        scale = 1.0 / (kappa * targets.shape[1])
        ctx.save_for_backward(weighted * -scale)
        up = (errors - above * 0.5).mul_(above).sum(2) * midpoints
        down = (errors - below * 0.5).mul_(below).sum(2) * (1.0 - midpoints)
        return (up + down).sum(1) * scale

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0].unsqueeze(1), None, None


def quantile_huber(quantiles: Tensor, targets: Tensor, kappa: float) -> Tensor:
    """Returns the quantile regression loss of each row (Dabney et al. 2018, equation 10).

    It is the sum over quantiles of the mean over targets of |tau - 1{u < 0}| L(u) / kappa, where
    u = target - quantile and L is Huber's loss.

    Args:
        quantiles: `[B, N]`, at the midpoints tau of N equal shares.
        targets: `[B, M]`, no gradient leads to them.
        kappa: the error up to which it is quadratic.

    Returns:
        `[B]`.
    """
    loss = _QuantileHuber.apply(quantiles, targets, kappa)
    assert isinstance(loss, Tensor)
    return loss
