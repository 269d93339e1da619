"""What V can be told, and how large that makes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from models.settings.key import key

FOLD = 4
"""Side of the blocks of pixels that are folded into channels before the first convolution."""


@dataclass(frozen=True)
class VAESettings:
    """V: Ha & Schmidhuber 2018, appendix A.1."""

    z_dim: int = key(32, "latents Z", low=1, high=1024)
    channels: tuple[int, ...] = key(
        (32, 48, 64),
        "of V's convolutions, each at half the size of the one before, from a quarter of the "
        "frame's on; the paper's V has 32, 64, 128 and 256 from the frame's own size on",
        low=1,
        high=1024,
        min_items=1,
        max_items=5,
    )
    batch_norm: bool = key(
        False, "true brings each channel of V's hidden layers to mean 0 and variance 1 first"
    )
    learning_rate: float = key(1e-3, "Adam's step", low=0, high=1, open_low=True)
    beta: float = key(0.02, "weight of the KL term after warm-up", low=0, high=100)
    beta_warmup_steps: int = key(500, "steps over which beta grows from zero", low=0)
    motion_weight: float = key(
        1.0, "weight of changed pixels in the reconstruction; 0 is a plain squared error", low=0
    )
    background_weight: float = key(0.01, "weight of unchanged pixels when motion_weight > 0", low=0)
    reconstruction_scale: float = key(
        50.0, "factor of the reconstruction term", low=0, open_low=True
    )
    coarse_weight: float = key(
        0.0,
        "weight of the variance unexplained at 4, 8 and 16 pixels; makes small things easy to read",
        low=0,
    )
    gradient_clip: float = key(
        10.0, "global norm that gradients are clipped to", low=0, open_low=True
    )
    mean_frame_updates: int = key(
        50, "updates over which the mean frame and the variance of windows are averaged", low=1
    )
    key_points: int = key(
        0,
        "places of things that move, which the first latents then are: two of them a place",
        low=0,
        high=64,
    )
    key_point_channels: int = key(
        32, "of the convolutions that find key points, at a quarter of the frame", low=1, high=256
    )
    key_point_weight: float = key(
        1.0,
        "weight of explaining changed pixels by key points; nothing else moves these, so it only "
        "counts where gradients are clipped",
        low=0,
        open_low=True,
    )
    key_point_entropy: float = key(
        0.02, "penalty on a nat of entropy of each key point's heat map, beside that", low=0
    )
    key_point_travel: float = key(
        0.03,
        "penalty on a pixel that a key point moves between two frames; without it one whose thing "
        "stands still goes to what moves; with much of it none moves at all",
        low=0,
    )
    key_point_trial: int = key(
        300,
        "updates after which key points that leave more than a fifth of what changes to none begin "
        "anew with other weights, and after as many once more; 0 never",
        low=0,
    )
    key_point_shifts: int = key(
        2,
        "steps from there to the centre of what differs from the mean frame, in a window as large "
        "as the thing: a place near an end of a paddle becomes its middle",
        low=0,
        high=16,
    )

    @property
    def shrink(self) -> int:
        """How many times smaller than the frame the innermost maps are."""
        return FOLD * 2 ** (len(self.channels) - 1)

    def num_parameters(self, frame_shape: Sequence[int]) -> int:
        """Returns how many weights, and statistics, V has for frames `(H, W, C)`."""
        folded, first = FOLD**2 * frame_shape[2], self.channels[0]
        outer = folded * first + first + first * folded + folded
        inner = sum(2 * 16 * a * b + a + b for a, b in pairwise(self.channels))
        maps = prod(frame_shape[:2]) // self.shrink**2 * self.channels[-1]
        free = self.z_dim - 2 * self.key_points
        latent = (maps + 1) * 2 * free + (self.z_dim + 1) * maps
        norms = 4 * (2 * sum(self.channels) - self.channels[-1]) if self.batch_norm else 0
        found = self._key_points(folded) if self.key_points else 0
        return outer + inner + latent + norms + found

    def _key_points(self, folded: int) -> int:
        """Returns the weights of what finds key points and draws them."""
        channels, heat = self.key_point_channels, FOLD**2 * self.key_points
        found = (9 * folded + 1 + 9 * channels + 1) * channels + (channels + 1) * heat
        drawn = (9 * heat + 1) * channels + (channels + 1) * folded
        return found + drawn + 3 * self.key_points + 1

    def update_numbers(self, frame_shape: Sequence[int], batch_size: int) -> int:
        """Returns about how many numbers an update holds beyond the weights.

        Measured: 84 MiB with one colour and 123 with three, for 128 frames of 64 x 64. Key points
        are found in two frames each, and at worst every pixel changed.
        """
        found = 2 * self.key_point_channels // FOLD + 12 * self.key_points if self.key_points else 0
        pixels = batch_size * prod(frame_shape[:2])
        return pixels * (30 + 10 * frame_shape[2] + found)
