"""Target networks: they follow the networks that learn."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def follow(target: nn.Module, learned: nn.Module, tau: float) -> None:
    """Moves a network's weights by a share `tau` of the way to those of another, equal one."""
    for followed, weights in zip(target.parameters(), learned.parameters(), strict=True):
        followed.lerp_(weights, tau)
