"""The hidden units of C, in numpy; `models.networks.mlp.activated` is their twin in torch."""

from __future__ import annotations

import numpy as np

from models.interfaces import Float
from models.settings.units import NORM_EPS, Units

MIN_SIZE_FOR_EXP = 8192
"""From so many units on five cheap passes beat one call of numpy's tanh."""


def activate(x: Float, units: Units) -> None:
    """Turns the linear parts `[..., H]` float32 of a layer into its units, in place."""
    if units.layer_norm:
        _normalise(x)
    if units.activation == "relu":
        np.maximum(x, np.float32(0.0), out=x)
    else:
        _tanh(x)


def _normalise(x: Float) -> None:
    width = np.float32(x.shape[-1])
    x -= x.sum(-1, keepdims=True) / width
    variance = np.einsum("...h,...h->...", x, x)[..., None] / width
    x /= np.sqrt(variance + np.float32(NORM_EPS))


def _tanh(x: Float) -> None:
    """tanh(x) = 2 / (1 + exp(-2x)) - 1 where x is large: a third less time, 2e-7 off at most."""
    if x.size < MIN_SIZE_FOR_EXP:
        np.tanh(x, out=x)
        return
    x *= np.float32(-2.0)
    with np.errstate(over="ignore"):  # an infinite exponential ends as -1, which is right
        np.exp(x, out=x)
    x += np.float32(1.0)
    np.divide(np.float32(2.0), x, out=x)
    x -= np.float32(1.0)
