"""An MLP in the layout of every controller, that reads features by a scale of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.controller_cpu import PolicyShape
from models.interfaces import Float
from models.settings.units import NORM_EPS, Units

Scale = tuple[np.ndarray, np.ndarray]
"""Mean and spread of each feature, `[F]` float64."""

_SMALLEST_STD = 1e-3
_SMALLEST_RELATIVE_STD = 1e-4
_ROUNDING = 1e-6


def mlp(widths: Iterable[int]) -> nn.ModuleList:
    """Builds the layers; the last one is linear."""
    return nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in pairwise(widths))


def linear_layers(layers: nn.ModuleList) -> list[nn.Linear]:
    """Returns the same layers, typed."""
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


def activated(x: Tensor, units: Units, tanh: Callable[[Tensor], Tensor] = torch.tanh) -> Tensor:
    """Returns a layer's units `[..., H]` of its linear parts `[..., H]`.

    Args:
        x: not changed.
        units: what they do.
        tanh: computes it.
    """
    if units.layer_norm:
        x = functional.layer_norm(x, x.shape[-1:], eps=NORM_EPS)
    return torch.relu(x) if units.activation == "relu" else tanh(x)


def forward(
    layers: nn.ModuleList, x: Tensor, units: Units, tanh: Callable[[Tensor], Tensor] = torch.tanh
) -> Tensor:
    """Returns the last layer's outputs `[B, out]` of standardised features `[B, F]`."""
    *hidden, head = layers
    for layer in hidden:
        x = activated(layer(x), units, tanh)
    return head(x)


def array(tensor: Tensor) -> np.ndarray:
    """Returns float64, in which folding a scale in and out loses nothing that matters."""
    return tensor.detach().cpu().numpy().astype(np.float64)


def usable_scale(mean: Float, std: Float, num_features: int) -> Scale:
    """Returns a scale that features can be standardised by.

    A feature that never moved but for rounding keeps its units: divided by next to nothing, its
    first move would drown all others. Others are divided by at least a small spread.

    Args:
        mean, std: `[F]`, in the features' units.
        num_features: F.

    Raises:
        ValueError: wrong shapes, a value is not finite or a spread negative.
    """
    given = [np.asarray(values, np.float64) for values in (mean, std)]
    fits = all(v.shape == (num_features,) for v in given)
    if not (fits and np.isfinite(given).all() and (given[1] >= 0).all()):
        raise ValueError(
            f"the feature scale has shapes {[v.shape for v in given]}, expected a finite mean "
            f"and a finite std >= 0 of each of {num_features} features"
        )
    size = np.abs(given[0])
    floor = np.maximum(_SMALLEST_STD, _SMALLEST_RELATIVE_STD * size)
    still = given[1] <= _ROUNDING * np.maximum(1.0, size)
    stds = np.where(still, 1.0, np.maximum(given[1], floor))
    mean_used, std_used = (v.astype(np.float32).astype(np.float64) for v in (given[0], stds))
    return mean_used, std_used


def rescale(layer: nn.Linear, old: Scale, new: Scale) -> None:
    """Changes a first layer such that under a new mean and std it is the function it was.

    Inputs beyond the features, if it has any, come after them and keep their weights.
    """
    count = len(old[0])
    raw = array(layer.weight)[:, :count] / old[1]
    bias = array(layer.bias) + raw @ (new[0] - old[0])
    with torch.no_grad():
        layer.weight[:, :count].copy_(torch.from_numpy(raw * new[1]))
        layer.bias.copy_(torch.from_numpy(bias))


def folded(layers: Sequence[tuple[np.ndarray, np.ndarray]], scale: Scale) -> Float:
    """Returns layers as a controller's flat parameters `[P]`, which read raw features.

    Args:
        layers: weights `[in, out]` and biases `[out]`, float64, of standardised features.
        scale: of the features.
    """
    (weights, bias), *others = layers
    mean, std = scale
    first = weights / std[:, None]
    flat = [(first, bias - mean @ first), *others]
    return np.concatenate([part.ravel() for layer in flat for part in layer]).astype(np.float32)


def unfolded(
    parameters: np.ndarray, shape: PolicyShape, scale: Scale
) -> list[tuple[Tensor, Tensor]]:
    """Returns weights `[out, in]` and biases `[out]` that read standardised features.

    Args:
        parameters: `[P]`, of a controller of raw features.
        shape: its layout.
        scale: of the features.

    Raises:
        ValueError: a wrong size or a non-finite value.
    """
    layers = shape.layers(shape.checked(parameters, 1), greedy=False)
    mean, std = scale
    weights, bias = (part.astype(np.float64) for part in layers[0])
    first = (weights * std[:, None], bias + mean @ weights)
    return [
        (torch.from_numpy(np.asarray(w.T, np.float32)), torch.from_numpy(b.ravel().astype("f4")))
        for w, b in (first, *layers[1:])
    ]
