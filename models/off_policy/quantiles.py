"""The quantiles of each action's return (Dabney et al. 2018), and a policy that can be read off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.networks.mlp import activated, array, linear_layers, mlp
from models.off_policy.tanh import fast_tanh
from models.settings.units import Units

_HIDDEN_GAIN, _HEAD_GAIN = math.sqrt(2.0), 0.01


class Quantiles(nn.Module):
    """An MLP from standardised features to N quantiles of each action's return.

    The last layer is linear, and so are the mean over quantiles and the sum of a value and an
    advantage: the mean returns of all actions are one linear layer of the hidden units, which a
    controller's outputs can be.

    Args:
        widths: of the controller's layers, from features to actions.
        units: what the hidden layers do with their linear parts.
        num_quantiles: N.
        dueling: Q_a = V + A_a - mean A (Wang et al. 2016, equation 9), for each quantile.
    """

    def __init__(
        self, widths: Sequence[int], units: Units, num_quantiles: int, *, dueling: bool
    ) -> None:
        super().__init__()
        *body, actions = widths
        self._shape, self._units = (actions, num_quantiles), units
        self.body = mlp(body)
        self.advantage = nn.Linear(body[-1], actions * num_quantiles)
        self.value = nn.Linear(body[-1], num_quantiles) if dueling else None

    def first_layers(self) -> list[nn.Linear]:
        """Returns those that read features."""
        heads = [self.advantage] if self.value is None else [self.advantage, self.value]
        return linear_layers(self.body)[:1] or heads

    def hidden(self, x: Tensor) -> Tensor:
        """Returns the last hidden units `[B, H]` of standardised features `[B, F]`."""
        for layer in self.body:
            x = activated(layer(x), self._units, fast_tanh)
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
        weights = self.advantage.weight.view(*self._shape, -1).mean(1)
        biases = self.advantage.bias.view(self._shape).mean(1)
        if self.value is None:
            return weights, biases
        return (
            weights + (self.value.weight.mean(0) - weights.mean(0)),
            biases + (self.value.bias.mean() - biases.mean()),
        )

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

        Rows are taken action by action, so that no quantile is computed that is not asked for; an
        action with fewer rows than another is filled up with the first row.
        """
        weights, biases = self.heads()
        rows, places = _by_action(actions, self._shape[0])
        groups = hidden.index_select(0, rows.flatten()).view(*rows.shape, -1)
        found = torch.baddbmm(biases.unsqueeze(1), groups, weights.transpose(1, 2))
        return found.flatten(0, 1).index_select(0, places)

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


def _by_action(actions: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Returns the rows of each action `[A, M]`, filled up with 0, and where each row is there."""
    taken = actions.cpu().numpy()
    counts = np.bincount(taken, minlength=count)
    order = np.argsort(taken, kind="stable")
    numbers = np.arange(len(taken)) - (np.cumsum(counts) - counts)[taken[order]]
    places = np.empty_like(taken)
    places[order] = taken[order] * counts.max() + numbers
    rows = np.zeros(count * counts.max(), np.int64)
    rows[places] = np.arange(len(taken))
    both = (rows.reshape(count, -1), places)
    first, second = (torch.from_numpy(each).to(actions.device) for each in both)
    return first, second


class _QuantileHuber(torch.autograd.Function):
    """The loss of each row, with its gradient worked out by hand in the forward pass."""

    @staticmethod
    def forward(ctx: Any, quantiles: Tensor, targets: Tensor, kappa: float) -> Tensor:
        rows, count = quantiles.shape
        midpoints = (torch.arange(count, out=quantiles.new_empty(count)) + 0.5) / count
        errors = targets.unsqueeze(1) - quantiles.unsqueeze(2)
        clipped = errors.clamp(-kappa, kappa)
        # tau max(u, 0) + (1 - tau) min(u, 0), over tau; products sum rows faster than sums do.
        slopes = torch.prelu(clipped, (1.0 - midpoints) / midpoints)
        scale = midpoints / (kappa * targets.shape[1])
        ones = slopes.new_ones(targets.shape[1])
        ctx.save_for_backward(torch.mv(slopes.flatten(0, 1), ones).view(rows, count) * -scale)
        losses = errors.sub_(clipped, alpha=0.5).mul_(slopes).flatten(0, 1)
        return torch.mv(losses, ones).view(rows, count) @ scale

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
