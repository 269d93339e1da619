"""V, M and C as modules whose inputs and outputs are tensors alone.

They hold copies of what was learned, compute in float32 on the CPU and draw nothing at random:
whoever dreams with them samples from M's mixture.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from models.controller_cpu import PolicyShape
from models.networks.convolutions import AutoEncoder
from models.networks.mlp import activated
from models.networks.pixels import to_pixels
from models.networks.recurrent import MixtureLSTM

_Network = TypeVar("_Network", bound=nn.Module)


def _alone(network: _Network) -> _Network:
    """Returns a copy on the CPU that is not learned any more."""
    return copy.deepcopy(network).to("cpu", torch.float32).eval().requires_grad_(False)


class _OfV(nn.Module):
    """What both halves of V hold."""

    def __init__(self, network: AutoEncoder, mean_frame: Tensor) -> None:
        super().__init__()
        self.network: AutoEncoder = _alone(network)
        self.mean_frame: Tensor
        self.register_buffer("mean_frame", mean_frame.detach().cpu().clone())


class Encoder(_OfV):
    """Frames `[N, H, W, C]` uint8 to posterior means z `[N, Z]` float32."""

    def forward(self, frames: Tensor) -> Tensor:
        images = frames.permute(0, 3, 1, 2).to(torch.float32) * (1.0 / 255.0)
        return self.network.encode(images - self.mean_frame)[0]


class Decoder(_OfV):
    """Latents z `[N, Z]` to frames `[N, H, W, C]` float32 in [0, 1]."""

    def forward(self, latents: Tensor) -> Tensor:
        return to_pixels(self.network.decode(latents), self.mean_frame).permute(0, 2, 3, 1)


class Normaliser(nn.Module):
    """States `[N, D]` float32 to latents z `[N, D]`."""

    def __init__(self, mean: np.ndarray, std: np.ndarray, limit: float) -> None:
        super().__init__()
        self.limit = limit
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.from_numpy(mean.copy()))
        self.register_buffer("std", torch.from_numpy(std.copy()))

    def forward(self, states: Tensor) -> Tensor:
        return ((states - self.mean) / self.std).clamp(-self.limit, self.limit)


class MemoryStep(nn.Module):
    """One step of M.

    z_t `[N, Z]`, the encoded a_t `[N, A]` and the LSTM's h and c `[N, R]` to the mixture over
    z_{t+1}, log weights, means and log standard deviations `[N, Z, K]`, the reward `[N]`, the
    probability of an end `[N]`, and the next h and c.
    """

    def __init__(self, network: MixtureLSTM, scales: Tensor) -> None:
        super().__init__()
        self.network: MixtureLSTM = _alone(network)
        self.scales: Tensor
        self.register_buffer("scales", scales.detach().cpu().clone())

    def forward(
        self, latents: Tensor, actions: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        w_x, w_h, b_x, b_h = self.network.lstm.all_weights[0]
        inputs = torch.cat([latents, actions], dim=1)
        gates = inputs @ w_x.T + b_x + h @ w_h.T + b_h
        i, f, g, o = gates.chunk(4, dim=1)
        next_c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        next_h = torch.sigmoid(o) * torch.tanh(next_c)
        heads = self.network.read(next_h, latents, self.scales)
        ended = torch.sigmoid(heads.end_logits)
        log_weights, means, log_stds = heads.mixture
        return log_weights, means, log_stds, heads.rewards, ended, next_h, next_c


class Policy(nn.Module):
    """What C makes of features `[N, F]`.

    Discrete: logits `[N, A]` and the likeliest action `[N]` int64. Continuous: mean and log
    standard deviation before the bounds, `[N, 2 A]`, and the action in its bounds `[N, A]`.
    """

    def __init__(self, shape: PolicyShape, parameters: np.ndarray) -> None:
        super().__init__()
        self.units, self.discrete = shape.units, shape.discrete
        self.layers = len(shape.widths) - 1
        flat = torch.from_numpy(np.asarray(parameters, np.float32))
        for number, (weights, bias) in enumerate(shape.layer_slices()):
            outputs = bias.stop - bias.start
            self.register_buffer(f"weights_{number}", flat[weights].view(-1, outputs).clone())
            self.register_buffer(f"bias_{number}", flat[bias].clone())
        self.low: Tensor
        self.high: Tensor
        self.register_buffer("low", torch.from_numpy(shape.low.copy()))
        self.register_buffer("high", torch.from_numpy(shape.high.copy()))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        x = features
        for number in range(self.layers):
            x = x @ getattr(self, f"weights_{number}") + getattr(self, f"bias_{number}")
            if number + 1 < self.layers:
                x = activated(x, self.units)
        if self.discrete:
            return x, x.argmax(dim=1)
        mean = x.chunk(2, dim=1)[0]
        span = (self.high - self.low) * 0.5
        return x, torch.minimum((torch.tanh(mean) + 1.0) * span + self.low, self.high)
