"""The hidden units of C, in torch; `models.units` is their twin in numpy."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from models.units import NORM_EPS, Units


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
