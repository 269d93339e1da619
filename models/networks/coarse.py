"""How far a reconstruction is off at coarser scales than the pixel.

A squared error of single pixels does not tell *near* from *far*: a ball drawn two pixels off its
place costs as much as one on the other side, and nothing pulls it there. Means over windows that
overlap do tell, so latents come to hold places instead of lists of pixels. Each window's error is
measured in units of how much that window varies in the data (background statistics): a ball that
crosses a quiet region then counts as much as a paddle that always moves in its own column.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor, nn

WINDOWS = (4, 8, 16)
"""Sides of the square windows, in pixels; neighbours are half a side apart."""

_FLOOR = 0.1
_FAR = 5.0
_TINY = 1e-9
_SMALLEST = 8


def window_means(images: Tensor) -> list[Tensor]:
    """Returns means over half-overlapping windows, smallest windows first.

    Args:
        images: `[B, C, H, W]`, H and W at least 8. What is outside counts as zero.

    Returns:
        For each of `WINDOWS`: `[B, C, 2 H / side + 1, 2 W / side + 1]`, rounded down.
    """
    height, width = images.shape[-2:]
    levels = []
    for side in WINDOWS:
        # Products with thin matrices: far cheaper on a CPU than pooling one channel.
        rows, columns = (_windows(size, side, images.device) for size in (height, width))
        levels.append(rows @ (images @ columns.T))
    return levels


@cache
def _windows(size: int, side: int, device: torch.device) -> Tensor:
    """Returns the matrix that takes the means of a line's windows, `[2 size / side + 1, size]`."""
    starts = torch.arange(2 * size // side + 1)[:, None] * (side // 2) - side // 2
    places = torch.arange(size)[None, :]
    inside = (places >= starts) & (places < starts + side)
    return (inside.float() / side).to(device)


class WindowStatistics(nn.Module):
    """The variance of every window in the data, averaged over the first batches.

    Args:
        frame_shape: `(H, W, C)`.

    Raises:
        ValueError: a side is shorter than 8 pixels.
    """

    def __init__(self, frame_shape: Sequence[int]) -> None:
        super().__init__()
        height, width, channels = frame_shape
        if min(height, width) < _SMALLEST:
            raise ValueError(
                f"frames of {height} x {width} have no windows of 16 pixels, expected sides of at "
                f"least {_SMALLEST}; set coarse_weight to 0"
            )
        like = window_means(torch.zeros(1, channels, height, width))
        for number, level in enumerate(like):
            self.register_buffer(str(number), torch.zeros_like(level))

    def after(self, images: Tensor, batches: int) -> list[Tensor]:
        """Returns the mean squares once `images` follow so many batches; changes nothing."""
        batch = [means.square().mean(dim=0, keepdim=True) for means in window_means(images)]
        pairs = zip(self.squares, batch, strict=True)
        return [squares + (new - squares) / (batches + 1) for squares, new in pairs]

    def keep(self, squares: Sequence[Tensor]) -> None:
        """Takes over what `after` returned."""
        for mine, new in zip(self.squares, squares, strict=True):
            mine.copy_(new)

    @property
    def squares(self) -> list[Tensor]:
        """The mean squares of each level, `[1, C, h, w]`."""
        return list(self.buffers())


def coarse_error(
    decoded: Tensor, images: Tensor, mean_frame: Tensor, squares: Sequence[Tensor]
) -> Tensor:
    """Returns how much of the windows' variance a reconstruction leaves unexplained.

    At each level `sum_p 2 d^2 (sqrt(1 + r_p^2 / d^2) - 1) / sum_p v_p / (v_p + f)` (pseudo-Huber,
    Charbonnier et al. 1997, equation 4; about `sum_p r_p^2` where r_p is below d), where
    `r_p = e_p / sqrt(v_p + f)`, e_p is the error of window p's mean, v_p its variance over the data
    and f a tenth of the mean of all v_p: windows where next to nothing happens would count without
    bound otherwise, and so would, but for d = 5, what happens once in a thousand frames. Averaged
    over the levels: at most 1 for the mean frame, 0 for a perfect reconstruction.

    Args:
        decoded, images: `[B, C, H, W]`.
        mean_frame: `[1, C, H, W]`, of the data.
        squares: the data's mean squares at each level, see `WindowStatistics`.

    Returns:
        `[B]`.
    """
    shares = []
    errors, centres = window_means(decoded - images), window_means(mean_frame)
    for error, square, centre in zip(errors, squares, centres, strict=True):
        variance = (square - centre.square()).clamp_min(0.0)
        weight = 1.0 / (variance + _FLOOR * variance.mean() + _TINY)
        whole = (weight * variance).sum() + _TINY
        ratio = error.square() * (weight / _FAR**2)
        cost = 2.0 * _FAR**2 * (torch.sqrt(1.0 + ratio) - 1.0)
        shares.append(cost.sum(dim=(1, 2, 3)) / whole)
    return torch.stack(shares).mean(dim=0)
