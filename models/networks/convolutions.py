"""The convolutions of V: blocks of pixels folded into channels, then stride 2 down and up again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.folding import folded, unfolded
from models.networks.key_points import LOG_VARIANCE, KeyPoints
from models.settings.vae import FOLD, VAESettings

_LATEST = 0.05
"""Share of the newest batch in the running statistics; of the first few, as much as of the rest."""

Statistics = Sequence[tuple[Tensor, Tensor]]
"""Variance and mean `[channels]` of each normalised layer over some rows of a batch."""


class BatchNorm(nn.Module):
    """Brings channels to mean 0 and variance 1, then scales and shifts them (Ioffe & Szegedy 2015).

    While it learns, by the statistics of the rows it is given, which `taken` hands out; otherwise
    by running ones, which change only when they are told to. So a refused update leaves no trace.
    """

    running_variance: Tensor
    running_mean: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.register_buffer("running_variance", torch.empty(channels))
        self.register_buffer("running_mean", torch.empty(channels))
        self._taken: list[tuple[Tensor, Tensor]] = []

    def start(self) -> None:
        """Changes nothing of what comes through, but for a batch's own statistics."""
        for ones in (self.weight, self.running_variance):
            ones.fill_(1.0)
        for zeros in (self.bias, self.running_mean):
            zeros.zero_()

    def forward(self, maps: Tensor) -> Tensor:
        """Returns maps `[B, channels, H, W]` normalised."""
        if not self.training:
            running = (self.running_mean, self.running_variance)
            return functional.batch_norm(maps, *running, self.weight, self.bias)
        with torch.no_grad():
            self._taken = [torch.var_mean(maps.float(), dim=(0, 2, 3), correction=0)]
        return functional.batch_norm(maps, None, None, self.weight, self.bias, training=True)

    def taken(self) -> tuple[Tensor, Tensor]:
        """Returns variance and mean of what came through last, and forgets them."""
        return self._taken.pop()

    def follow(self, variance: Tensor, mean: Tensor, share: float) -> None:
        """Moves the running statistics by a share towards those of a batch."""
        self.running_variance.lerp_(variance, share)
        self.running_mean.lerp_(mean, share)


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
        normed = [*channels, *channels[-2::-1]] if settings.batch_norm else []
        self.norms = nn.ModuleList([BatchNorm(size) for size in normed])
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
            for norm in self._norms:
                norm.start()
        if self.key_points is not None:
            self.key_points.start()

    def encode(self, images: Tensor, placed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Returns mean and log variance, `[B, Z]` each.

        Args:
            images: `[B, C, H, W]`.
            placed: the key points' latents `[B, 2 K]`, where they are known already.
        """
        maps = folded(images)
        for number, layer in enumerate(self.down):
            maps = functional.relu(self._normed(layer(maps), number))
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
        for number, layer in enumerate(self.up[:-1], len(self.down)):
            maps = functional.relu(self._normed(layer(maps), number))
        maps = self.up[-1](maps)
        if self.key_points is not None:
            maps = maps + self.key_points.draw(latents[:, : self.placed])
        return unfolded(maps).float()

    def statistics(self) -> Statistics:
        """Returns what the rows were like that came through both halves last."""
        return [norm.taken() for norm in self._norms]

    def follow(self, parts: Collection[tuple[int, Statistics]], updates: int) -> None:
        """Counts a batch among the running statistics.

        Args:
            parts: rows and statistics of each part of it.
            updates: how many batches were counted before.
        """
        rows = sum(count for count, _ in parts)
        share = max(_LATEST, 1.0 / (updates + 1))
        for number, norm in enumerate(self._norms):
            told = [(count / rows, *statistics[number]) for count, statistics in parts]
            mean = torch.stack([part * mean for part, _, mean in told]).sum(0)
            squares = torch.stack([part * (var + at.square()) for part, var, at in told]).sum(0)
            norm.follow(squares - mean.square(), mean, share)

    @property
    def _norms(self) -> list[BatchNorm]:
        return [norm for norm in self.norms if isinstance(norm, BatchNorm)]

    def _normed(self, maps: Tensor, number: int) -> Tensor:
        return self.norms[number](maps) if len(self.norms) else maps
