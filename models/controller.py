"""C in torch: the same function as `models/controller_cpu.py`, on any device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from models.controller_cpu import LOG_STD_RANGE, CPUController, PolicyShape, SamplingController
from models.interfaces import Float
from models.networks.mlp import activated
from models.settings.units import USUAL, Units


class TorchController(SamplingController):
    """A linear map or an MLP from features to actions (Ha & Schmidhuber 2018, section 2.3).

    Parameters live in one flat tensor of the layout that every controller shares
    (`PolicyShape`); the layers are views of it. Equal arguments give equal parameters to those of
    `CPUController`, and equal generators equal samples.

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
        units: what the hidden layers do with their linear parts.

    Raises:
        ValueError: sizes or bounds do not fit.
    """

    def __init__(
        self,
        num_features: int,
        action_kind: str,
        action_size: int,
        hidden_sizes: Sequence[int] = (),
        action_low: Sequence[float] | np.ndarray | None = None,
        action_high: Sequence[float] | np.ndarray | None = None,
        rng: np.random.Generator | None = None,
        device: str = "cpu",
        units: Units = USUAL,
    ) -> None:
        shape = (num_features, action_kind, action_size, hidden_sizes, action_low, action_high)
        self._shape = PolicyShape(*shape, units)
        self.num_features = num_features
        self.num_parameters = self._shape.num_parameters
        self._device = torch.device(device)
        self._low, self._high = self._to_device(self._shape.low), self._to_device(self._shape.high)
        self._flat = self._to_device(CPUController(*shape, rng=rng).get_parameters())
        self._layers = [
            (self._flat[weights].view(-1, bias.stop - bias.start), self._flat[bias])
            for weights, bias in self._shape.layer_slices()
        ]

    def get_parameters(self) -> Float:
        """Returns a flat copy, `[P]` float32."""
        return self._flat.cpu().numpy().copy()

    def set_parameters(self, parameters: np.ndarray) -> None:
        """Takes `[P]` values; raises ValueError on a wrong size or a non-finite value."""
        self._flat.copy_(torch.from_numpy(self._shape.checked(parameters, 1)))

    def act(self, features: Float) -> np.ndarray:
        """Returns greedy actions of `[N, F]`: `[N]` int64, or `[N, A]` float32 in the bounds.

        Raises:
            ValueError: features have another shape.
        """
        with torch.inference_mode():
            return self._actions(self._outputs(features, self._shape.action_size))

    def perturbed(self, features: Float, noise: Float) -> np.ndarray:
        """Returns the actions the policy takes with this noise; fresh noise makes them samples.

        Args:
            features: `[N, F]` float32.
            noise: `[N, actions]` or `[N, A]`, as `draw_noise` gives it; it is only read.

        Returns:
            `[N]` int64, or `[N, A]` float32 inside the bounds.

        Raises:
            ValueError: features or noise have another shape.
        """
        size = self._shape.action_size
        with torch.inference_mode():
            outputs = self._outputs(features, size if self._shape.discrete else 2 * size)
            drawn = self._to_device(self._shape.checked_noise(noise, len(outputs)))
            if self._shape.discrete:
                return self._actions(outputs + drawn)
            mean, log_std = outputs.chunk(2, dim=-1)
            return self._actions(mean + log_std.clamp(*LOG_STD_RANGE).exp() * drawn)

    def _outputs(self, features: Float, columns: int) -> Tensor:
        """Returns the first columns of the last layer, `[N, columns]`: means come before stds."""
        x = self._to_device(self._shape.features(features, 2))
        for weights, bias in self._layers[:-1]:
            x = activated(torch.addmm(bias, x, weights), self._shape.units)
        weights, bias = self._layers[-1]
        return torch.addmm(bias[:columns], x, weights[:, :columns])

    def _actions(self, outputs: Tensor) -> np.ndarray:
        if self._shape.discrete:
            return outputs.argmax(dim=-1).cpu().numpy()
        squashed = self._low + (torch.tanh(outputs) + 1.0) * 0.5 * (self._high - self._low)
        # Rounding may end one step outside the bounds.
        return squashed.clamp(self._low, self._high).cpu().numpy()

    def _to_device(self, array: np.ndarray) -> Tensor:
        return torch.tensor(array, dtype=torch.float32, device=self._device)


if __name__ == "__main__":
    from models.selftest.policies import check_controller

    raise SystemExit(check_controller("controller", lambda: TorchController(3, "discrete", 2)))
