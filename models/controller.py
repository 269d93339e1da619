"""C in torch: the same function as `models/controller_cpu.py`, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from models.controller_cpu import CPUController
from models.interfaces import Float

_LOG_STD_RANGE = (-5.0, 2.0)


class TorchController:
    """A linear map or a tanh MLP from features to actions (Ha & Schmidhuber 2018, section 2.3).

    Parameters live in one flat tensor of the layout that every controller shares; the layers are
    views of it. `CPUController` defines that layout, checks parameters and draws initial ones, so
    equal arguments give equal parameters in both.

    Args:
        num_features: F.
        action_kind: `discrete` (softmax over the outputs) or `continuous` (a Gaussian squashed by
            tanh; the outputs are means, then log standard deviations clipped to [-5, 2]).
        action_size: number of actions, or of action dimensions A.
        hidden_sizes: widths of the hidden layers; none makes it linear.
        action_low: lower bounds `[A]`, -1 if None; continuous only.
        action_high: upper bounds `[A]`, 1 if None; continuous only.
        rng: draws the initial weights; they are zero without.
        device: where it computes.
    """

    def __init__(
        self,
        num_features: int,
        action_kind: Literal["discrete", "continuous"],
        action_size: int,
        hidden_sizes: Sequence[int] = (),
        action_low: Sequence[float] | np.ndarray | None = None,
        action_high: Sequence[float] | np.ndarray | None = None,
        rng: np.random.Generator | None = None,
        device: str = "cpu",
    ) -> None:
        self._layout = CPUController(
            num_features, action_kind, action_size, hidden_sizes, action_low, action_high, rng
        )
        self.num_features = num_features
        self.num_parameters = self._layout.num_parameters
        self._discrete, self._action_size = action_kind == "discrete", action_size
        self._device = torch.device(device)
        low = np.full(action_size, -1.0) if action_low is None else np.asarray(action_low)
        high = np.full(action_size, 1.0) if action_high is None else np.asarray(action_high)
        self._low, self._high = self._to_device(low), self._to_device(high)
        self._flat = self._to_device(self._layout.get_parameters())
        self._layers = [
            (self._flat[weights].view(-1, bias.stop - bias.start), self._flat[bias])
            for weights, bias in self._layout.layer_slices()
        ]

    def get_parameters(self) -> Float:
        """Returns a flat copy, `[P]` float32."""
        return self._layout.get_parameters()

    def set_parameters(self, parameters: np.ndarray) -> None:
        """Takes `[P]` values; raises ValueError on a wrong size or a non-finite value."""
        self._layout.set_parameters(parameters)
        self._flat.copy_(torch.from_numpy(self._layout.get_parameters()))

    def act(self, features: Float) -> np.ndarray:
        """Returns greedy actions of `[N, F]`: `[N]` int64, or `[N, A]` float32 inside the bounds."""
        with torch.inference_mode():
            outputs = self._outputs(features, self._action_size)
            if self._discrete:
                return outputs.argmax(dim=-1).cpu().numpy()
            return self._squash(outputs).cpu().numpy()

    def sample(self, features: Float, rng: np.random.Generator) -> np.ndarray:
        """Returns actions drawn from the policy.

        Args:
            features: `[N, F]` float32.
            rng: draws `[N, actions]` Gumbel noise (discrete: the largest sum of logit and noise has
                the softmax's distribution) or `[N, A]` normal noise (continuous).

        Returns:
            `[N]` int64, or `[N, A]` float32 inside the bounds.
        """
        shape = (len(features), self._action_size)
        with torch.inference_mode():
            if self._discrete:
                noise = self._to_device(rng.gumbel(size=shape))
                return (self._outputs(features, shape[1]) + noise).argmax(dim=-1).cpu().numpy()
            noise = self._to_device(rng.standard_normal(shape))
            mean, log_std = self._outputs(features, 2 * shape[1]).chunk(2, dim=-1)
            return self._squash(mean + log_std.clamp(*_LOG_STD_RANGE).exp() * noise).cpu().numpy()

    def _outputs(self, features: Float, columns: int) -> Tensor:
        """Returns the first columns of the last layer, `[N, columns]`: means come before stds."""
        x = self._to_device(features)
        for weights, bias in self._layers[:-1]:
            x = torch.tanh(torch.addmm(bias, x, weights))
        weights, bias = self._layers[-1]
        return torch.addmm(bias[:columns], x, weights[:, :columns])

    def _squash(self, x: Tensor) -> Tensor:
        return self._low + (torch.tanh(x) + 1.0) * 0.5 * (self._high - self._low)

    def _to_device(self, array: np.ndarray) -> Tensor:
        return torch.tensor(array, dtype=torch.float32, device=self._device)
