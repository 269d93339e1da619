"""What the hidden units of C do with their linear parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from models.settings.key import key

ACTIVATIONS = ("tanh", "relu")

NORM_EPS: Final = 1e-5
"""What is added to the variance of a layer before its root is taken."""


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


USUAL = Units()
"""Those of the paper's time: tanh alone."""
