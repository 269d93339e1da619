"""C in numpy alone: what acts on a machine without torch, and the fast way on a CPU with it.

A controller is a linear map or a small MLP from features `[z, h]` (Ha & Schmidhuber 2018,
section 2.3 and equation 1). Discrete actions are the softmax of its outputs; continuous ones a
Gaussian squashed by tanh and scaled to the bounds, so there are two heads, means and log standard
deviations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from models.interfaces import Float
from models.numeric.threads import for_each, single_threaded, thread_budget
from models.numeric.units import activate
from models.settings.units import USUAL, Units
from models.shapes import Float32, Shaped

LOG_STD_RANGE = (-5.0, 2.0)

ROWS_PER_BLOCK = 1024
"""A hidden layer of such a block stays in the L2 cache; fixed, so results are for any threads."""

MIN_ROWS_TO_THREAD = 4096
"""Fewer rows are done before a second thread has started."""

Layers = list[tuple[Float, Float]]


class PolicyShape:
    """Sizes, bounds and the flat layout of parameters that every controller shares.

    The flat vector holds per layer the weights `[in, out]` row-major, then the bias `[out]`. The
    last layer's outputs are logits (discrete), or means followed by log standard deviations.

    Args:
        num_features: F.
        action_kind: `discrete` or `continuous`.
        action_size: number of actions, or of action dimensions A.
        hidden_sizes: widths of the hidden layers; none makes it linear.
        action_low: lower bounds `[A]`, -1 if None; continuous only.
        action_high: upper bounds `[A]`, 1 if None; continuous only.
        units: what the hidden layers do with their linear parts.

    Raises:
        ValueError: a size is below 1, the kind is unknown, or bounds do not fit.
    """

    def __init__(
        self,
        num_features: int,
        action_kind: str,
        action_size: int,
        hidden_sizes: Sequence[int],
        action_low: Sequence[float] | np.ndarray | None,
        action_high: Sequence[float] | np.ndarray | None,
        units: Units = USUAL,
    ) -> None:
        if action_kind not in ("discrete", "continuous"):
            raise ValueError(
                f"action_kind was {action_kind!r}, expected 'discrete' or 'continuous'"
            )
        self.discrete = action_kind == "discrete"
        self.action_size, self.units = action_size, units
        outputs = action_size if self.discrete else 2 * action_size
        self.widths = (num_features, *(int(width) for width in hidden_sizes), outputs)
        if min(*self.widths, action_size) < 1:
            raise ValueError(
                f"a controller was given the layer widths {self.widths}; expected at least one "
                "feature, one action and one unit in each hidden layer"
            )
        self.num_features = num_features
        self.num_parameters = sum((i + 1) * o for i, o in pairwise(self.widths))
        low, high = (None, None) if self.discrete else (action_low, action_high)
        self.low = self._bound(low, -1.0)
        self.high = self._bound(high, 1.0)
        if not (self.low < self.high).all():
            raise ValueError(
                f"action bounds were {self.low.tolist()} and {self.high.tolist()}, expected low < "
                "high in every dimension"
            )
        self._half_span = (self.high - self.low) * np.float32(0.5)
        one_row = np.stack([self.low, self._half_span, self.high])[:, None]
        self._tiled = np.repeat(one_row, ROWS_PER_BLOCK, axis=1)

    def _bound(self, given: Sequence[float] | np.ndarray | None, default: float) -> Float:
        bound = np.full(self.action_size, default) if given is None else np.asarray(given)
        if bound.shape != (self.action_size,) or not np.isfinite(bound).all():
            raise ValueError(
                f"an action bound was {given}, expected {self.action_size} finite numbers"
            )
        return bound.astype(np.float32)

    def layer_slices(self) -> list[tuple[slice, slice]]:
        """Returns where each layer's weights and bias lie in the flat vector."""
        slices, start = [], 0
        for inputs, outputs in pairwise(self.widths):
            middle, end = start + inputs * outputs, start + (inputs + 1) * outputs
            slices.append((slice(start, middle), slice(middle, end)))
            start = end
        return slices

    def checked(self, parameters: np.ndarray, dimensions: int) -> Float:
        """Returns a float32 copy of `[P]` or `[Pop, P]`; raises ValueError if it does not fit."""
        given = np.asarray(parameters)
        with np.errstate(over="ignore"):  # what overflows float32 is refused as infinite
            flat = np.array(given, np.float32, order="C")
        if flat.ndim != dimensions or flat.shape[-1] != self.num_parameters:
            raise ValueError(
                f"parameters have shape {flat.shape}, expected {self.num_parameters} in the last "
                f"of {dimensions} dimensions: the controller's layer widths are {self.widths}"
            )
        if not np.isfinite(flat).all():
            bad = int(np.count_nonzero(~np.isfinite(flat)))
            raise ValueError(
                f"{bad} of {flat.size} parameters are not finite in float32; expected numbers: "
                "lower sigma or the learning rate"
            )
        return flat

    def layers(self, flat: Float, *, greedy: bool) -> Layers:
        """Returns weights `[..., in, out]` and biases `[..., 1, out]` of `[..., P]`.

        Args:
            flat: parameters.
            greedy: leave out the log standard deviations, which greedy actions do not need.
        """
        layers = []
        lead = flat.shape[:-1]
        for (weights, bias), shape in zip(self.layer_slices(), pairwise(self.widths), strict=True):
            layers.append((flat[..., weights].reshape(*lead, *shape), flat[..., None, bias]))
        if greedy:
            weights, bias = layers[-1]
            layers[-1] = (weights[..., : self.action_size], bias[..., : self.action_size])
        return [(np.ascontiguousarray(w), np.ascontiguousarray(b)) for w, b in layers]

    def features(self, features: np.ndarray, dimensions: int) -> Float:
        """Returns `[..., F]` as C-contiguous float32; raises ValueError if the shape is wrong."""
        rows = np.ascontiguousarray(features, np.float32)
        if rows.ndim != dimensions or rows.shape[-1] != self.num_features:
            raise ValueError(
                f"features have shape {rows.shape}, expected {self.num_features} in the last of "
                f"{dimensions} dimensions: [N, F] for one controller, [Pop, n, F] for a population"
            )
        return rows

    def draw_noise(self, count: int, rng: np.random.Generator) -> Float32[np.ndarray, "N A"]:
        """Returns `[count, action_size]` float32: Gumbel noise for logits, normal noise for means.

        The largest sum of logit and Gumbel noise has the softmax's distribution (Gumbel 1954).
        """
        size = (count, self.action_size)
        noise = rng.gumbel(size=size) if self.discrete else rng.standard_normal(size)
        return noise.astype(np.float32)

    def checked_noise(self, noise: np.ndarray, count: int) -> Float:
        """Returns noise as float32; raises ValueError unless it is for `count` rows."""
        if noise.shape != (count, self.action_size):
            raise ValueError(
                f"noise has shape {noise.shape}, expected {(count, self.action_size)}: a row for "
                "each row of features, a column for each action or action dimension"
            )
        return np.asarray(noise, np.float32)

    def actions(self, outputs: Float) -> np.ndarray:
        """Turns logits into the likeliest actions, or means into actions inside the bounds."""
        if self.discrete:
            return outputs.argmax(axis=-1)
        squashed = np.tanh(outputs)
        squashed += np.float32(1.0)
        rows = squashed.reshape(-1, self.action_size)
        low, half_span, high = self._bounds_of(len(rows))
        rows *= half_span
        rows += low
        np.minimum(rows, high, out=rows)  # rounding may end one step above the bound
        return squashed

    def _bounds_of(self, rows: int) -> tuple[Float, Float, Float]:
        """Returns low, half the span and high of so many rows.

        They are spelled out row by row for up to a block, because numpy broadcasts arrays as
        narrow as an action at a fifth of the speed.
        """
        if rows > ROWS_PER_BLOCK:
            return self.low, self._half_span, self.high
        low, half_span, high = self._tiled
        return low[:rows], half_span[:rows], high[:rows]


def _forward(layers: Layers, x: Float, units: Units) -> Float:
    """Returns the last layer's outputs, `[..., n, F]` to `[..., n, out]`."""
    for weights, bias in layers[:-1]:
        x = np.matmul(x, weights)
        x += bias
        activate(x, units)
    weights, bias = layers[-1]
    x = np.matmul(x, weights)
    x += bias
    return x


class SamplingController(ABC):
    """What controllers have in common: samples are the policy with fresh noise."""

    _shape: PolicyShape

    @property
    def shape(self) -> PolicyShape:
        """Sizes, bounds and the layout of parameters."""
        return self._shape

    @abstractmethod
    def perturbed(self, features: Float, noise: Float) -> np.ndarray:
        """Returns the actions the policy takes with this noise."""

    def sample(self, features: Float, rng: np.random.Generator) -> Shaped[np.ndarray, "N ..."]:
        """Returns actions drawn from the policy.

        Args:
            features: `[N, F]`.
            rng: draws the noise.

        Returns:
            `[N]` int64, or `[N, A]` float32 inside the bounds.

        Raises:
            ValueError: features have another shape.
        """
        return self.perturbed(features, self.draw_noise(len(features), rng))

    def draw_noise(self, count: int, rng: np.random.Generator) -> Float32[np.ndarray, "N A"]:
        """Returns fresh noise for so many rows, see `perturbed`."""
        return self._shape.draw_noise(count, rng)


class CPUController(SamplingController):
    """One controller (`models.interfaces.Controller`).

    Equal features in equal batches give equal bits, whatever the number of threads.

    Args:
        num_features, action_kind, action_size, hidden_sizes, action_low, action_high, units: see
            `PolicyShape`.
        rng: draws initial weights from N(0, 1/fan_in); parameters are zero without it.

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
        units: Units = USUAL,
    ) -> None:
        self._shape = PolicyShape(
            num_features, action_kind, action_size, hidden_sizes, action_low, action_high, units
        )
        self.num_features = num_features
        self.num_parameters = self._shape.num_parameters
        flat = np.zeros(self.num_parameters, np.float32)
        if rng is not None:
            for (weights, _), inputs in zip(self.layer_slices(), self._shape.widths, strict=False):
                count = weights.stop - weights.start
                flat[weights] = rng.standard_normal(count) / np.sqrt(inputs)
        self.set_parameters(flat)

    def layer_slices(self) -> list[tuple[slice, slice]]:
        """Returns where each layer's weights and bias lie in the flat vector `[P]`."""
        return self._shape.layer_slices()

    def get_parameters(self) -> Float32[np.ndarray, " P"]:
        """Returns a flat copy, `[P]` float32."""
        return self._flat.copy()

    def set_parameters(self, parameters: np.ndarray) -> None:
        """Takes `[P]` values; raises ValueError on a wrong size or a non-finite value."""
        self._flat = self._shape.checked(parameters, 1)
        self._greedy = self._shape.layers(self._flat, greedy=True)
        self._full = self._shape.layers(self._flat, greedy=False)

    def act(self, features: Float) -> Shaped[np.ndarray, "N ..."]:
        """Returns greedy actions of `[N, F]`: `[N]` int64, or `[N, A]` float32 in the bounds.

        Raises:
            ValueError: features have another shape.
        """
        return self._rows(self._greedy, features, self._shape.actions)

    def outputs(self, features: Float) -> Float32[np.ndarray, "N K"]:
        """Returns logits `[N, actions]`, or means and log deviations before bounds `[N, 2 A]`."""
        return self._rows(self._full, features, np.asarray)

    def perturbed(self, features: Float, noise: Float) -> Shaped[np.ndarray, "N ..."]:
        """Returns the actions the policy takes with this noise; fresh noise makes them samples.

        Args:
            features, noise: `[N, F]`, and `[N, actions]` or `[N, A]` as `draw_noise` gives it.

        Returns:
            `[N]` int64, or `[N, A]` float32 inside the bounds.

        Raises:
            ValueError: features or noise have another shape.
        """
        outputs = self.outputs(features)
        noise, size = self._shape.checked_noise(noise, len(outputs)), self._shape.action_size
        if self._shape.discrete:
            return self._shape.actions(outputs + noise)
        std = np.exp(np.clip(outputs[:, size:], *LOG_STD_RANGE))
        return self._shape.actions(outputs[:, :size] + std * noise)

    def _rows(
        self, layers: Layers, features: Float, finish: Callable[[Float], np.ndarray]
    ) -> np.ndarray:
        """Returns `finish` of the outputs, block by block, on several threads if there are many."""
        rows = self._shape.features(features, 2)
        if len(rows) <= ROWS_PER_BLOCK:
            with single_threaded:
                return finish(_forward(layers, rows, self._shape.units))
        parts: list[np.ndarray] = [rows] * -(-len(rows) // ROWS_PER_BLOCK)

        def block(number: int) -> None:
            start = number * ROWS_PER_BLOCK
            parts[number] = finish(
                _forward(layers, rows[start : start + ROWS_PER_BLOCK], self._shape.units)
            )

        threads = thread_budget() if len(rows) >= MIN_ROWS_TO_THREAD else 1
        with single_threaded:
            for_each(block, range(len(parts)), threads)
        return np.concatenate(parts)


class PopulationController:
    """Candidates that act side by side, each on its own rows; greedy only.

    Args:
        num_features, action_kind, action_size, hidden_sizes, action_low, action_high, units: see
            `PolicyShape`.
        parameters: `[Pop, P]`, one candidate a row.

    Raises:
        ValueError: sizes, bounds or parameters do not fit.
    """

    def __init__(
        self,
        num_features: int,
        action_kind: str,
        action_size: int,
        hidden_sizes: Sequence[int] = (),
        action_low: Sequence[float] | np.ndarray | None = None,
        action_high: Sequence[float] | np.ndarray | None = None,
        *,
        parameters: np.ndarray,
        units: Units = USUAL,
    ) -> None:
        self._shape = PolicyShape(
            num_features, action_kind, action_size, hidden_sizes, action_low, action_high, units
        )
        flat = self._shape.checked(parameters, 2)
        self.candidates = len(flat)
        self._layers = self._shape.layers(flat, greedy=True)

    def act(self, features: Float) -> Shaped[np.ndarray, "Pop n ..."]:
        """Returns each candidate's greedy actions.

        Args:
            features: `[Pop, n, F]`.

        Returns:
            `[Pop, n]` int64, or `[Pop, n, A]` float32 inside the bounds.

        Raises:
            ValueError: features have another shape.
        """
        rows = self._shape.features(features, 3)
        if len(rows) != self.candidates:
            raise ValueError(
                f"features are for {len(rows)} candidates, expected {self.candidates}: one group "
                "of rows for each"
            )
        with single_threaded:
            return self._shape.actions(_forward(self._layers, rows, self._shape.units))


if __name__ == "__main__":
    from models.selftest.policies import check_controller

    raise SystemExit(check_controller("controller_cpu", lambda: CPUController(3, "discrete", 2)))
