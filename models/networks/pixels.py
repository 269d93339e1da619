"""What V's reconstructions are held against: pixels that moved, and what of them is explained."""

from __future__ import annotations

import torch
from torch import Tensor

from models.numeric.measures import ACCURATE

_MOVED = 0.02
_ACTIVE_VARIANCE = 0.01
# Keeps the mean frame inside the sigmoid's useful range, where it still passes gradients.
_MEAN_MARGIN = 0.02


def moving(images: Tensor, before: Tensor) -> Tensor:
    """Marks pixels `[B, 1, H, W]` that changed in any channel, grown by one pixel."""
    changed = (images - before).abs().amax(dim=1, keepdim=True) > _MOVED
    # On booleans, because pooling also computes indices, which nobody needs.
    tall = changed.clone()
    tall[:, :, 1:] |= changed[:, :, :-1]
    tall[:, :, :-1] |= changed[:, :, 1:]
    grown = tall.clone()
    grown[..., 1:] |= tall[..., :-1]
    grown[..., :-1] |= tall[..., 1:]
    return grown.float()


def to_pixels(logits: Tensor, mean_frame: Tensor) -> Tensor:
    """Returns images `[B, C, H, W]` of logits, to which the mean frame's are added."""
    return torch.sigmoid(logits + torch.logit(mean_frame, eps=_MEAN_MARGIN))


def image_metrics(
    images: Tensor, decoded: Tensor, moved: Tensor, mean_frame: Tensor
) -> dict[str, Tensor]:
    """Returns how close reconstructions `[B, C, H, W]` are; `moved` is `[B, 1, H, W]`."""
    distance = decoded - images
    unexplained = (moved * distance.square()).sum()
    variance = (moved * (images - mean_frame).square()).sum()
    explained = torch.where(variance > 0, 1.0 - unexplained / variance.clamp_min(1e-12), 0.0)
    accuracy = (distance.abs() <= ACCURATE).float().mean()
    return {"pixel_accuracy": accuracy, "moving_variance_explained": explained}


def latent_metrics(mean: Tensor, log_variance: Tensor) -> dict[str, Tensor]:
    """Returns how latents `[B, Z]` are spread."""
    variance = mean.var(dim=0, correction=0)
    return {
        "latent_magnitude": mean.abs().mean(),
        "latent_std": variance.sqrt().mean(),
        "active_latents": (variance > _ACTIVE_VARIANCE).float().sum(),
        "posterior_std": torch.exp(0.5 * log_variance).mean(),
    }
