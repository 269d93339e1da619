"""Key points: where the things that move are, learned from which pixels changed.

A few convolutions give one heat map a key point, and the mean place under each is the key point
(soft-argmax, as Jakab et al. 2018, section 3.1, and Kulkarni et al. 2019 have it). Those learn by
reconstructing pictures; here the places of changed pixels are the data, and key points the centres
of a mixture that has to explain them. A log-likelihood pulls the harder the further a centre is
off, so that no luck is needed at the start, and a thing of four pixels counts as much as a large
one. Nothing pulls a key point whose thing stands still, so that moving costs a little: else it
would go to the next thing that moves, and the place of a paddle at rest be lost. Where a heat map
points is somewhere on its thing, often at an end of it, for it is there that pixels change; so from
there a key point goes to the centre of what differs from the mean frame, in a window as large as
its Gaussian (mean shift, Comaniciu & Meer 2002, section 2.1). Two limits: what looks the same in
its surroundings is not told apart, a key point then lies between; and beside a thing that moves all
the time, one that seldom moves may be left to the mixture's outliers, which `key_point_outliers`
tells.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.folding import folded
from models.settings.vae import FOLD, VAESettings

LOG_VARIANCE = 2.0 * math.log(0.02)
"""Of a key point's posterior, in the units of its latents: a third of a pixel of 64."""

_CHANGED = 0.05
# A frame with fewer changed pixels weighs less: what blinks is as often noise as a thing.
_FEWEST = 4
_SMALLEST_SIGMA = 0.7
_START_SIGMA = 6.0 / 64.0
# Adam moves every number at one rate: these have further to go than a weight.
_RATE = 10.0
_CONTRAST = 2.0
_DRAWN_SIGMA = 1.0
# What differs less from the mean frame than one pixel by a hundredth is nothing to go to.
_LEAST = 0.01


class Motion(NamedTuple):
    """What key points make of two frames after each other.

    Attributes:
        latents: `[B, 2 K]`, the later frame's key points, as `KeyPoints.latents` gives them; no
            gradient flows through them.
        surprise: `[B]`, see `KeyPoints.surprise`.
        entropy: `[B]`, nats, of all heat maps of a frame; the mean of both frames.
        travel: `[B]`, pixels that all key points moved, along x and along y.
        sharpness: `[2 B, K]`, the largest values of heat maps.
    """

    latents: Tensor
    surprise: Tensor
    entropy: Tensor
    travel: Tensor
    sharpness: Tensor


class KeyPoints(nn.Module):
    """Images to the places of K key points, and back to what they add to a picture.

    Args:
        frame_shape: `(H, W, C)`; H and W divisible by 4.
        settings: its key points and their channels.
        frames: how many lie in the C channels, the oldest first. Key points are of the newest, and
            are looked for in what changed between them as well: a ball over a hole in a wall is
            hardly to be told from the wall, but the hole stands still.
    """

    def __init__(
        self, frame_shape: tuple[int, int, int], settings: VAESettings, frames: int = 1
    ) -> None:
        super().__init__()
        height, width, image_channels = frame_shape
        self._channels = image_channels // frames
        self._count, self._size = settings.key_points, (width, height)
        self._shifts = settings.key_point_shifts
        channels, block = settings.key_point_channels, FOLD**2
        self.first = nn.Conv2d(block * image_channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.heat = nn.Conv2d(channels, block * self._count, 1)
        self.spread = nn.Parameter(torch.empty(self._count, 2))
        self.share = nn.Parameter(torch.empty(self._count + 1))
        self.drawn = nn.Conv2d(block * self._count, channels, 3, padding=1)
        self.added = nn.Conv2d(channels, block * image_channels, 1)

    def start(self) -> None:
        """Begins with wide Gaussians of equal shares, and with pictures as they are without."""
        with torch.no_grad():
            for parameter in (self.spread, self.share, *self.added.parameters()):
                parameter.zero_()

    def explain(self, images: Tensor, before: Tensor, changed: Tensor) -> Motion:
        """Returns key points, and how well they explain what changed.

        Under autocast only the convolutions before the heat maps are computed in less than
        float32: places would suffer.

        Args:
            images, before: `[B, C, H, W]`, the mean frame taken off.
            changed: `[B, H, W]` bool.
        """
        logits = self._logits(torch.cat([images, before]))
        with _exact(images):
            heat = logits.softmax(dim=2)
            entropy = (logits.logsumexp(dim=2) - (heat * logits).sum(dim=2)).sum(dim=1)
            now, then = self._mean_places(heat).chunk(2)
            return Motion(
                latents=self.to_latents(self._centred(now.detach(), images)),
                surprise=self.surprise(now, then, changed),
                entropy=entropy.unflatten(0, (2, -1)).mean(dim=0),
                travel=(now - then).abs().sum(dim=(1, 2)),
                sharpness=heat.amax(dim=2).detach(),
            )

    def latents(self, images: Tensor) -> Tensor:
        """Returns the key points of `[B, C, H, W]` as latents `[B, 2 K]`; see `to_latents`.

        Args:
            images: the mean frame taken off.
        """
        logits = self._logits(images)
        with _exact(images):
            places = self._mean_places(logits.softmax(dim=2))
            return self.to_latents(self._centred(places, images))

    def to_latents(self, places: Tensor) -> Tensor:
        """Returns `[B, 2 K]`, x and y one after the other, of `[B, K, 2]` pixels.

        A frame's middle is zero and a quarter of its side one.
        """
        middle, unit = _units(self._size, places.device)
        return ((places - middle) / unit).flatten(1)

    def to_places(self, latents: Tensor) -> Tensor:
        """Undoes `to_latents`."""
        middle, unit = _units(self._size, latents.device)
        return latents.unflatten(1, (self._count, 2)) * unit + middle

    @property
    def sigmas(self) -> Tensor:
        """Standard deviations of the mixture, `[K, 2]` pixels (x, y)."""
        begin = max(self._size) * _START_SIGMA
        return _SMALLEST_SIGMA + begin * torch.exp(_RATE * self.spread)

    @property
    def log_shares(self) -> Tensor:
        """Log weights of the mixture, `[K + 1]`, the last of what no key point explains."""
        return functional.log_softmax(_RATE * self.share, dim=0)

    def surprise(self, places: Tensor, before: Tensor, changed: Tensor) -> Tensor:
        """Returns how unlikely the places of changed pixels are, `[B]`.

        `-sum_p w_p log(sum_k pi_k (N(p; a_k, s_k^2) + N(p; b_k, s_k^2)) / 2 + pi_0 / (H W))`, a and
        b the key points now and before: a thing that moves changes pixels where it is and where it
        was. The w of a frame's changed pixels are equal and sum to one, or less if there are fewer
        than four.

        Args:
            places, before: `[B, K, 2]` pixels.
            changed: `[B, H, W]` bool.
        """
        pixels, weights = _listed(changed)
        centres = torch.cat([places, before], dim=1)[:, None]
        sigmas = self.sigmas.repeat(2, 1)
        squares = ((pixels[:, :, None] - centres) / sigmas).square().sum(dim=3)
        shares = self.log_shares
        constant = shares[:-1].repeat(2) - sigmas.log().sum(dim=1) - math.log(4.0 * math.pi)
        explained = torch.logsumexp(constant - 0.5 * squares, dim=2)
        outliers = shares[-1] - math.log(math.prod(self._size))
        return -(weights * torch.logaddexp(explained, outliers)).sum(dim=1)

    def measure(self, sharpness: Tensor) -> dict[str, Tensor]:
        """Returns metrics of how sure key points are; `sharpness` is that of `Motion`."""
        sigmas = self.sigmas.detach()
        return {
            "key_point_sharpness": sharpness.mean(),
            "key_point_sigma": sigmas.mean(),
            "key_point_smallest_sigma": sigmas.min(),
            "key_point_outliers": self.log_shares.detach()[-1].exp(),
        }

    def draw(self, latents: Tensor) -> Tensor:
        """Returns what key points `[B, 2 K]` add to a picture's logits, folded `[B, 16 C, h, w]`.

        Each is a Gaussian of one pixel; what it looks like, two convolutions know.
        """
        places = self.to_places(latents)
        columns, rows = (
            torch.exp(-0.5 * ((places[..., axis, None] - line) / _DRAWN_SIGMA).square())
            for axis, line in enumerate(_lines(self._size, latents.device))
        )
        maps = folded(rows[..., :, None] * columns[..., None, :])
        return self.added(functional.relu(self.drawn(maps)))

    def _logits(self, images: Tensor) -> Tensor:
        """Returns the logs of heat maps, up to a constant, `[B, K, H W]` in the order of _grid."""
        maps = functional.relu(self.first(folded(self._looked_at(images) * _CONTRAST)))
        maps = functional.relu(self.second(maps))
        with _exact(images):
            return self.heat(maps.float()).reshape(images.shape[0], self._count, -1)

    def _looked_at(self, images: Tensor) -> Tensor:
        """Returns the changes that led to the newest frame, and that, `[B, C, H, W]`."""
        if images.shape[1] == self._channels:
            return images
        later, earlier = images[:, self._channels :], images[:, : -self._channels]
        return torch.cat([later - earlier, images[:, -self._channels :]], dim=1)

    def _mean_places(self, heat: Tensor) -> Tensor:
        return heat @ _grid(self._size, heat.device)

    @torch.no_grad()
    def _centred(self, places: Tensor, images: Tensor) -> Tensor:
        """Moves places `[B, K, 2]` to the centre of what is there in the newest frame.

        A step goes to `sum_p p w_p / sum_p w_p`, w the distance of a pixel from the mean frame
        times the key point's Gaussian; where nothing is, a place stays.
        """
        there = images[:, -self._channels :].float().abs().sum(dim=1)
        lines, sigmas = _lines(self._size, places.device), self.sigmas.T
        for _ in range(self._shifts):
            columns, rows = (
                torch.exp(-0.5 * ((places[..., axis, None] - line) / sigma[:, None]).square())
                for axis, (line, sigma) in enumerate(zip(lines, sigmas, strict=True))
            )
            across = columns * (rows @ there)
            down = rows * (columns @ there.mT)
            mass = across.sum(dim=2, keepdim=True)
            centres = torch.stack([across @ lines[0], down @ lines[1]], dim=2)
            places = (centres + _LEAST * places) / (mass + _LEAST)
        return places


def changed_pixels(images: Tensor, before: Tensor) -> Tensor:
    """Marks `[B, H, W]` where any channel of `[B, C, H, W]` changed by more than 0.05."""
    return ((images - before).abs() > _CHANGED).any(dim=1)


def _exact(images: Tensor) -> torch.autocast:
    return torch.autocast(images.device.type, enabled=False)


def _listed(changed: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the marked pixels of each frame, `[B, N, 2]` (x, y), and their weights `[B, N]`.

    N is what the frame with most of them has; others are filled up with pixels of weight zero.
    """
    counts = changed.flatten(1).sum(dim=1)
    length = max(1, int(counts.max()))
    frame, y, x = torch.nonzero(changed, as_tuple=True)
    rank = torch.arange(len(frame), device=changed.device) - (counts.cumsum(0) - counts)[frame]
    pixels = torch.zeros(len(changed), length, 2, device=changed.device)
    pixels[frame, rank] = torch.stack([x, y], dim=1).float()
    filled = torch.arange(length, device=changed.device) < counts[:, None]
    return pixels, filled / counts.clamp_min(_FEWEST)[:, None]


@cache
def _lines(size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    # What is kept must serve learning, even where it is first asked for while encoding.
    with torch.inference_mode(False):
        columns, rows = (torch.arange(float(side)).to(device) for side in size)
        return columns, rows


@cache
def _units(size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns the middle of a frame and the unit of latents, `[2]` pixels each."""
    with torch.inference_mode(False):
        sides = torch.tensor(size, dtype=torch.float32)
        return ((sides - 1.0) / 2.0).to(device), (sides / 4.0).to(device)


@cache
def _grid(size: tuple[int, int], device: torch.device) -> Tensor:
    """Returns x and y of every pixel `[H W, 2]`, in the order in which blocks are folded."""
    with torch.inference_mode(False):
        x, y = torch.meshgrid(*_lines(size, torch.device("cpu")), indexing="xy")
        return folded(torch.stack([x, y])[:, None]).reshape(2, -1).T.contiguous().to(device)
