"""The convolutions of V: blocks of pixels folded into channels, then stride 2 down and up again."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.folding import folded, unfolded
from models.networks.key_points import LOG_VARIANCE, KeyPoints
from models.settings.vae import FOLD, VAESettings


class AutoEncoder(nn.Module):
    """Encoder and decoder between images `[B, C, H, W]` and latents `[B, Z]`.

    With K key points the first 2 K latents are their places.

    Args:
        frame_shape: `(H, W, C)`; H and W divisible by `settings.shrink`.
        settings: its latents and channels.
        frames: how many lie in the C channels.
    """

    def __init__(
        self, frame_shape: tuple[int, int, int], settings: VAESettings, frames: int = 1
    ) -> None:
        super().__init__()
        height, width, image_channels = frame_shape
        channels, latent_size, shrink = settings.channels, settings.z_dim, settings.shrink
        self.placed = 2 * settings.key_points
        self.map_shape = (channels[-1], height // shrink, width // shrink)
        map_size = channels[-1] * (height // shrink) * (width // shrink)
        blocks = image_channels * FOLD**2
        self.down = nn.ModuleList(
            [nn.Conv2d(blocks, channels[0], 1)]
            + [nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(channels)]
        )
        self.to_latent = nn.Linear(map_size, 2 * (latent_size - self.placed))
        self.from_latent = nn.Linear(latent_size, map_size)
        self.up = nn.ModuleList(
            [
                nn.ConvTranspose2d(a, b, 4, stride=2, padding=1)
                for a, b in pairwise(reversed(channels))
            ]
            + [nn.Conv2d(channels[0], blocks, 1)]
        )
        self.key_points = KeyPoints(frame_shape, settings, frames) if settings.key_points else None

    def start(self) -> None:
        """Moves fresh weights to where pictures are close to the mean frame, not noise around."""
        with torch.no_grad():
            for parameter in self.up[-1].parameters():
                parameter.mul_(0.3)
        if self.key_points is not None:
            self.key_points.start()

    def encode(self, images: Tensor, placed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns mean and log variance, `[B, Z]` each.

        Args:
            images: `[B, C, H, W]`.
            placed: the key points' latents `[B, 2 K]`, where they are known already.
        """
        maps = folded(images)
        for layer in self.down:
            maps = functional.relu(layer(maps))
        mean, log_variance = self.to_latent(maps.flatten(1)).float().chunk(2, dim=1)
        if self.key_points is None:
            return mean, log_variance
        if placed is None:
            placed = self.key_points.latents(images)
        sure = torch.full_like(placed, LOG_VARIANCE)
        return torch.cat([placed, mean], dim=1), torch.cat([sure, log_variance], dim=1)

    def decode(self, latents: Tensor) -> Tensor:
        """Returns logits `[B, C, H, W]` of `[B, Z]`."""
        maps = functional.relu(self.from_latent(latents)).unflatten(1, self.map_shape)
        maps = maps.contiguous(memory_format=torch.channels_last)
        for layer in self.up[:-1]:
            maps = functional.relu(layer(maps))
        maps = self.up[-1](maps)
        if self.key_points is not None:
            maps = maps + self.key_points.draw(latents[:, : self.placed])
        return unfolded(maps).float()
