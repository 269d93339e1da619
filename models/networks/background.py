"""What V's data are like on average, as its updates find out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.networks.coarse import WindowStatistics


class Background(NamedTuple):
    """The data's mean frame `[1, C, H, W]` and mean squares of windows, one tensor a level."""

    mean_frame: Tensor
    mean_squares: Sequence[Tensor]


class Counted(nn.Module):
    """How many updates there were, and what the data are like on average.

    Args:
        frame_shape: `(H, W, C)`.
        windows: whether the variance of windows counts too.
    """

    mean_frame: Tensor
    updates: Tensor

    def __init__(self, frame_shape: tuple[int, int, int], *, windows: bool) -> None:
        super().__init__()
        height, width, channels = frame_shape
        self.register_buffer("mean_frame", torch.zeros(1, channels, height, width))
        self.register_buffer("updates", torch.tensor(0, dtype=torch.int64))
        self.mean_squares = WindowStatistics(frame_shape) if windows else None

    @property
    def background(self) -> Background:
        """The means as they are."""
        return Background(self.mean_frame, self.mean_squares.squares if self.mean_squares else ())

    def after(self, images: Tensor) -> Background:
        """Returns the means once these images follow; changes nothing."""
        updates, windows = int(self.updates), self.mean_squares
        batch_mean = images.mean(dim=0, keepdim=True)
        mean_frame = self.mean_frame + (batch_mean - self.mean_frame) / (updates + 1)
        return Background(mean_frame, windows.after(images, updates) if windows else ())

    def keep(self, background: Background) -> None:
        """Counts an update, and takes over the means that it was made with."""
        self.mean_frame.copy_(background.mean_frame)
        if self.mean_squares is not None:
            self.mean_squares.keep(background.mean_squares)
        self.updates += 1
