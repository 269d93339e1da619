"""A policy and a value function side by side, the policy in the layout of every controller."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.controller_cpu import LOG_STD_RANGE, PolicyShape
from models.interfaces import Float
from models.networks.initialise import build
from models.networks.mlp import (
    Scale,
    array,
    folded,
    forward,
    linear_layers,
    mlp,
    rescale,
    unfolded,
    usable_scale,
)

_HIDDEN_GAIN, _POLICY_GAIN, _VALUE_GAIN = math.sqrt(2.0), 0.01, 1.0
_LARGEST_ACTION = 1.0 - 1e-6
_LOG_TWO_PI = math.log(2.0 * math.pi)


class ActorCritic(nn.Module):
    """Two MLPs that read standardised features: one acts, one tells what states are worth.

    Features may come from an encoder that is learned with them. The scale of the features is no
    weight: it is set once, and folded into the first layer where the policy leaves as parameters of
    a controller, which reads features as they are.

    Args:
        shape: the policy's sizes, bounds and flat layout.
        value_widths: of the value function's layers, from features to the value.
    """

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, shape: PolicyShape, value_widths: Sequence[int]) -> None:
        super().__init__()
        self.shape = shape
        self.policy = mlp(shape.widths)
        self.value = mlp(value_widths)
        self.encoder: nn.Module | None = None
        self.register_buffer("feature_mean", torch.zeros(shape.num_features))
        self.register_buffer("feature_std", torch.ones(shape.num_features))

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.feature_mean.device

    def prepare(self, features: np.ndarray) -> Tensor:
        """Returns what `read` takes, `[B, ...]`, of features `[B, F]` or the encoder's inputs.

        Without an encoder the features are standardised here, once for all that follows.

        Raises:
            ValueError: features have another shape.
        """
        if self.encoder is not None:
            # `torch.tensor` copies: the caller's array may be read-only or change later.
            return torch.tensor(features, device=self.device)
        return self._standardised(
            torch.tensor(features, dtype=torch.float32, device=self.device)
        ).contiguous()

    def read(self, prepared: Tensor) -> Tensor:
        """Returns standardised features `[B, F]`, through the encoder if there is one."""
        return prepared if self.encoder is None else self._standardised(self.encoded(prepared))

    def encoded(self, inputs: Tensor) -> Tensor:
        """Returns features `[B, F]` float32 in their own units."""
        return inputs.float() if self.encoder is None else self.encoder(inputs).float()

    def outputs(self, x: Tensor) -> Tensor:
        """Returns the policy's outputs of standardised features `[B, F]`, as in `PolicyShape`."""
        return forward(self.policy, x, self.shape.units)

    def values(self, x: Tensor) -> Tensor:
        """Returns the values `[B]` of standardised features `[B, F]`."""
        return forward(self.value, x, self.shape.units).squeeze(-1)

    def weigh(self, outputs: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Returns log-probabilities of actions and the entropy, `[B]` each, in nats.

        Args:
            outputs: `[B, outputs]`.
            actions: `[B]` int64; or `[B, A]` before the tanh, whose densities and entropy these
                then are.
        """
        if self.shape.discrete:
            log_probs = torch.log_softmax(outputs, dim=-1)
            taken = log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
            return taken, -(log_probs.exp() * log_probs).sum(-1)
        mean, log_std = outputs.chunk(2, dim=-1)
        log_std = clipped_log_std(log_std)
        distance = (actions - mean) * torch.exp(-log_std)
        entropy = (log_std + 0.5 * (1.0 + _LOG_TWO_PI)).sum(-1)
        return -(0.5 * distance.square() + log_std + 0.5 * _LOG_TWO_PI).sum(-1), entropy

    def scored_actions(self, actions: np.ndarray) -> Tensor:
        """Returns what `weigh` takes: `[B]` int64, or what the tanh was taken of, `[B, A]`.

        With u = artanh((a - low) / (high - low) * 2 - 1) the density of an action is
        p(a) = N(u; mean, std) / prod((high - low) / 2 * (1 - tanh(u)^2)). The divisor depends on
        the action alone, so it cancels in new p(a) / old p(a) = new N(u) / old N(u).

        Raises:
            ValueError: no such actions.
        """
        if self.shape.discrete:
            scored = np.asarray(actions, np.int64)
            if scored.ndim != 1 or ((scored < 0) | (scored >= self.shape.action_size)).any():
                raise ValueError(
                    f"a rollout's actions have shape {actions.shape} and values from "
                    f"{actions.min(initial=0)} to {actions.max(initial=0)}, expected one number "
                    f"below {self.shape.action_size} for each step"
                )
            return torch.from_numpy(scored).to(self.device)
        if actions.shape[1:] != (self.shape.action_size,):
            raise ValueError(
                f"a rollout's actions have shape {actions.shape}, expected "
                f"{self.shape.action_size} numbers for each step"
            )
        low, high = (bound.astype(np.float64) for bound in (self.shape.low, self.shape.high))
        scaled = (actions - low) / (high - low) * 2.0 - 1.0
        # A saturated action has no finite u: any that is far out does, as it counts in both.
        scaled = scaled.clip(-_LARGEST_ACTION, _LARGEST_ACTION)
        return torch.from_numpy(np.arctanh(scaled).astype(np.float32)).to(self.device)

    def get_parameters(self) -> Float:
        """Returns the policy as a controller's flat parameters `[P]`, which read raw features."""
        layers = [
            (array(layer.weight).T, array(layer.bias)) for layer in linear_layers(self.policy)
        ]
        return folded(layers, self._scale())

    def set_parameters(self, parameters: np.ndarray) -> None:
        """Takes a controller's parameters `[P]`; raises ValueError if they do not fit."""
        given = unfolded(parameters, self.shape, self._scale())
        with torch.no_grad():
            for layer, (weights, bias) in zip(linear_layers(self.policy), given, strict=True):
                layer.weight.copy_(weights)
                layer.bias.copy_(bias)

    def set_feature_scale(self, mean: Float, std: Float, *, keep: Sequence[str]) -> None:
        """Standardises features by this mean and spread, `[F]` each, from now on.

        Args:
            mean, std: in the features' units.
            keep: which of `policy` and `value` shall be the same function of raw features as
                before; of the others the weights stay.

        Raises:
            ValueError: wrong shapes, a value is not finite or a spread negative.
        """
        old, new = self._scale(), usable_scale(mean, std, self.shape.num_features)
        for name in keep:
            rescale(linear_layers(getattr(self, name))[0], old, new)
        with torch.no_grad():
            self.feature_mean.copy_(torch.from_numpy(new[0]))
            self.feature_std.copy_(torch.from_numpy(new[1]))

    def _scale(self) -> Scale:
        return array(self.feature_mean), array(self.feature_std)

    def _standardised(self, features: Tensor) -> Tensor:
        if features.ndim != 2 or features.shape[1] != self.shape.num_features:
            raise ValueError(
                f"features have shape {tuple(features.shape)}, expected "
                f"[B, {self.shape.num_features}]"
            )
        return (features - self.feature_mean) / self.feature_std


def actor_critic(
    shape: PolicyShape, value_widths: Sequence[int], encoder: nn.Module | None, seed: int
) -> ActorCritic:
    """Builds both networks with orthogonal weights (Saxe et al. 2014) and zero biases.

    Gains are sqrt(2) in hidden layers, 1 for the value and 0.01 for the policy's outputs, so that
    it starts nearly uniform, or nearly a unit Gaussian around the middle, whatever it sees.

    Args:
        shape: the policy's.
        value_widths: of the value function's layers, from features to the value.
        encoder: taken over as it is.
        seed: of the weights.
    """
    network = build(lambda: ActorCritic(shape, value_widths), seed)
    generator = torch.Generator().manual_seed(seed)
    for layers, gain in ((network.policy, _POLICY_GAIN), (network.value, _VALUE_GAIN)):
        *hidden, head = linear_layers(layers)
        for layer in hidden:
            nn.init.orthogonal_(layer.weight, _HIDDEN_GAIN, generator=generator)
        nn.init.orthogonal_(head.weight, gain, generator=generator)
    with torch.no_grad():
        network.feature_mean.zero_()
        network.feature_std.fill_(1.0)
    network.encoder = encoder
    return network


class _ClipInwards(torch.autograd.Function):
    """Clips, and passes on gradients that lead back: what left the range is not stuck outside."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(*LOG_STD_RANGE)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        (gradient,) = grad_outputs
        low, high = LOG_STD_RANGE
        # Descent goes against the gradient: a negative one raises x.
        outwards = ((x > high) & (gradient < 0)) | ((x < low) & (gradient > 0))
        return gradient.masked_fill(outwards, 0.0)


def clipped_log_std(log_std: Tensor) -> Tensor:
    """Returns log standard deviations within `LOG_STD_RANGE`; gradients lead back into it."""
    clipped = _ClipInwards.apply(log_std)
    assert isinstance(clipped, Tensor)
    return clipped
