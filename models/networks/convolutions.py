"""The convolutions of V: blocks of pixels folded into channels, then stride 2 down and up again."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.settings.vae import FOLD, VAESettings


class AutoEncoder(nn.Module):
    """Encoder and decoder between images `[B, C, H, W]` and latents `[B, Z]`.

    Args:
        frame_shape: `(H, W, C)`; H and W divisible by `settings.shrink`.
        settings: its latents and channels.
    """

    def __init__(self, frame_shape: tuple[int, int, int], settings: VAESettings) -> None:
        super().__init__()
        height, width, image_channels = frame_shape
        channels, latent_size, shrink = settings.channels, settings.z_dim, settings.shrink
        self.map_shape = (channels[-1], height // shrink, width // shrink)
        map_size = channels[-1] * (height // shrink) * (width // shrink)
        folded = image_channels * FOLD**2
        self.down = nn.ModuleList(
            [nn.Conv2d(folded, channels[0], 1)]
            + [nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(channels)]
        )
        self.to_latent = nn.Linear(map_size, 2 * latent_size)
        self.from_latent = nn.Linear(latent_size, map_size)
        self.up = nn.ModuleList(
            [
                nn.ConvTranspose2d(a, b, 4, stride=2, padding=1)
                for a, b in pairwise(reversed(channels))
            ]
            + [nn.Conv2d(channels[0], folded, 1)]
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean and log variance, `[B, Z]` each, of `[B, C, H, W]`."""
        maps = folded(images)
        for layer in self.down:
            maps = functional.relu(layer(maps))
        mean, log_variance = self.to_latent(maps.flatten(1)).float().chunk(2, dim=1)
        return mean, log_variance

    def decode(self, latents: Tensor) -> Tensor:
        """Returns logits `[B, C, H, W]` of `[B, Z]`."""
        maps = functional.relu(self.from_latent(latents)).unflatten(1, self.map_shape)
        maps = maps.contiguous(memory_format=torch.channels_last)
        for layer in self.up[:-1]:
            maps = functional.relu(layer(maps))
        return unfolded(self.up[-1](maps)).float()


def folded(images: Tensor) -> Tensor:
    """Folds blocks of pixels into channels: `[B, C, H, W]` to `[B, 16 C, H / 4, W / 4]`.

    As `nn.PixelUnshuffle(4)`, but in one copy, whose result lies channels last as convolutions
    want it: that takes about half the time.
    """
    count, channels, height, width = images.shape
    blocks = images.reshape(count, channels, height // FOLD, FOLD, width // FOLD, FOLD)
    rows = blocks.permute(0, 2, 4, 1, 3, 5)
    return rows.reshape(count, height // FOLD, width // FOLD, -1).permute(0, 3, 1, 2)


def unfolded(maps: Tensor) -> Tensor:
    """Undoes `folded`, as `nn.PixelShuffle(4)` does."""
    count, _, height, width = maps.shape
    blocks = maps.permute(0, 2, 3, 1).reshape(count, height, width, -1, FOLD, FOLD)
    return blocks.permute(0, 3, 1, 4, 2, 5).reshape(count, -1, height * FOLD, width * FOLD)
