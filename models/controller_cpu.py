"""C in numpy alone: what acts on a machine without torch, and the fast way on a CPU with it.

A controller is a linear map or a small tanh MLP from features `[z, h]` (Ha & Schmidhuber 2018,
equation 2). Discrete actions are the softmax of its outputs; continuous ones a Gaussian squashed
by tanh and scaled to the bounds, so it has two heads, means and log standard deviations.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from models.interfaces import Float

LOG_STD_RANGE = (-5.0, 2.0)
ROWS_AT_ONCE = 512


class CPUController:
    """One controller; see `models.interfaces.Controller`."""

    def __init__(
        self,
        num_features: int,
        action_kind: str,
        action_size: int,
        hidden_sizes: Sequence[int] = (),
        action_low: Sequence[float] | None = None,
        action_high: Sequence[float] | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.num_features = num_features
        self._kind = action_kind
        self._size = action_size
        outputs = action_size * (2 if action_kind == "continuous" else 1)
        self._widths = [num_features, *hidden_sizes, outputs]
        self.num_parameters = sum((i + 1) * o for i, o in pairwise(self._widths))
        low = np.asarray(action_low if action_low is not None else -np.ones(action_size), np.float32)
        high = np.asarray(action_high if action_high is not None else np.ones(action_size), np.float32)
        self._low, self._span = low, (high - low) * np.float32(0.5)
        flat = np.zeros(self.num_parameters, np.float32)
        if rng is not None:
            for (w, _), (i, o) in zip(self.layer_slices(), pairwise(self._widths), strict=True):
                flat[w] = rng.standard_normal(i * o) / np.sqrt(i)
        self.set_parameters(flat)

    def layer_slices(self) -> list[tuple[slice, slice]]:
        found, start = [], 0
        for i, o in pairwise(self._widths):
            found.append((slice(start, start + i * o), slice(start + i * o, start + (i + 1) * o)))
            start += (i + 1) * o
        return found

    def get_parameters(self) -> Float:
        return self._flat.copy()

    def set_parameters(self, parameters: np.ndarray) -> None:
        flat = np.array(parameters, np.float32)
        if flat.shape != (self.num_parameters,) or not np.isfinite(flat).all():
            raise ValueError(f"expected {self.num_parameters} finite parameters, got {flat.shape}")
        self._flat = flat
        self._layers = [
            (flat[w].reshape(i, o), flat[b])
            for (w, b), (i, o) in zip(self.layer_slices(), pairwise(self._widths), strict=True)
        ]

    def act(self, features: Float) -> np.ndarray:
        x = features
        for w, b in self._layers[:-1]:
            x = np.tanh(x @ w + b)
        w, b = self._layers[-1]
        y = x @ w[:, : self._size] + b[: self._size]
        if self._kind == "discrete":
            return y.argmax(-1)
        return self._low + (np.tanh(y) + 1) * self._span

    def sample(self, features: Float, rng: np.random.Generator) -> np.ndarray:
        x = features
        for w, b in self._layers[:-1]:
            x = np.tanh(x @ w + b)
        w, b = self._layers[-1]
        y = x @ w + b
        if self._kind == "discrete":
            return (y + rng.gumbel(size=y.shape)).argmax(-1)
        mean, log_std = np.split(y, 2, axis=-1)
        draw = mean + np.exp(np.clip(log_std, *LOG_STD_RANGE)) * rng.standard_normal(mean.shape)
        return (self._low + (np.tanh(draw) + 1) * self._span).astype(np.float32)


class PopulationController:
    def __init__(self, num_features, action_kind, action_size, hidden_sizes=(), action_low=None, action_high=None, *, parameters):
        one = CPUController(num_features, action_kind, action_size, hidden_sizes, action_low, action_high)
        self._one = one
        p = np.asarray(parameters, np.float32)
        self._layers = [
            (p[:, w].reshape(len(p), i, o), p[:, None, b])
            for (w, b), (i, o) in zip(one.layer_slices(), pairwise(one._widths), strict=True)
        ]

    def act(self, features):
        x = features
        for w, b in self._layers[:-1]:
            x = np.tanh(x @ w + b)
        w, b = self._layers[-1]
        n = self._one._size
        y = x @ w[..., :n] + b[..., :n]
        if self._one._kind == "discrete":
            return y.argmax(-1)
        return self._one._low + (np.tanh(y) + 1) * self._one._span
