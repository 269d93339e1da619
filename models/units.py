"""The hidden units of C, in numpy; `models.networks.units` is their twin in torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.interfaces import Float
from models.settings.key import key

ACTIVATIONS = ("tanh", "relu")

NORM_EPS: Final = 1e-5
"""What is added to the variance of a layer before its root is taken."""

MIN_SIZE_FOR_EXP = 8192
"""From so many units on five cheap passes beat one call of numpy's tanh."""


@dataclass(frozen=True)
class Units:
    """How the hidden layers of a controller go on from their linear parts.

    Attributes:
        activation: `tanh` or `relu`.
        layer_norm: a layer's units are brought to mean 0 and variance 1 first, row by row, without
            a gain or an offset of their own (Ba, Kiros & Hinton 2016, equation 3). A controller
            has the same parameters with and without.

    Raises:
        ValueError: there is no such activation.
    """

    activation: str = key("tanh", "what the hidden layers end with", choices=ACTIVATIONS)
    layer_norm: bool = key(
        False, "they are normalised before, by a LayerNorm without weights of its own"
    )

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation was {self.activation!r}, expected one of {', '.join(ACTIVATIONS)}"
            )

    def apply(self, x: Float) -> None:
        """Turns the linear parts `[..., H]` float32 of a layer into its units, in place."""
        if self.layer_norm:
            _normalise(x)
        if self.activation == "relu":
            np.maximum(x, np.float32(0.0), out=x)
        else:
            _tanh(x)


USUAL = Units()
"""Those of the paper's time: tanh alone."""


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
