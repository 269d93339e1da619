"""Which part of a game's picture is seen, and how it is made 64 by 64.

The mean over areas is the customary way (Bellemare et al. 2013 and after), but a ball of 2 by 4
pixels of 210 by 160 fades in it to a third of its brightness. The maximum keeps all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from curriculum.envs.area import resize_area
from curriculum.errors import ConfigError
from models.interfaces import Frames

SIZE = 64
POOLINGS = ("area", "max")
Pooling = Literal["area", "max"]

Shrink = Callable[[Frames], Frames]
"""Makes pictures `[N, 64, 64, C]` of pictures `[N, H, W, C]`, uint8 both."""


@dataclass(frozen=True)
class Framing:
    """What of a picture is kept, and how it is made small.

    Attributes:
        crop: first row, end of the rows, first column, end of the columns; empty keeps all.
        pooling: `area`, the mean of what a pixel covers, or `max`, its brightest pixel, where a
            pixel covers each one that it touches (adaptive pooling: from floor to ceiling).
    """

    crop: tuple[int, ...] = ()
    pooling: str = "area"

    @property
    def plain(self) -> bool:
        """Whether it is the usual one: all of a picture, by areas."""
        return not self.crop and self.pooling == "area"

    def shrinking(self, env_id: str, height: int, width: int) -> Shrink:
        """Returns what makes an environment's pictures small.

        Args:
            env_id: the name it goes by.
            height, width: of its pictures.

        Raises:
            ConfigError: the crop does not lie within them, or leaves too little.
        """
        top, bottom, left, right = self._within(env_id, height, width)
        if self.pooling == "max":
            return BrightestPixels((top, bottom), (left, right))
        return lambda frames: np.stack(
            [resize_area(frame[top:bottom, left:right], SIZE, SIZE) for frame in frames]
        )

    def _within(self, env_id: str, height: int, width: int) -> Sequence[int]:
        bounds = self.crop or (0, height, 0, width)
        top, bottom, left, right = bounds
        if bottom > height or right > width:
            raise ConfigError(
                f"env.crop was {list(bounds)}, but pictures of {env_id} have {height} rows and "
                f"{width} columns; expected [first row, end row, first column, end column] within "
                f"[0, {height}, 0, {width}]"
            )
        if self.pooling == "max" and min(bottom - top, right - left) < SIZE:
            raise ConfigError(
                f"env.pooling was max, but what is seen of {env_id} has {bottom - top} rows and "
                f"{right - left} columns; expected at least {SIZE} of each: set pooling: area, or "
                "crop less"
            )
        return bounds


PLAIN = Framing()


class BrightestPixels:
    """Keeps the brightest pixel of each window, colour by colour.

    All numbers are integers and are only compared, so the result depends on no order.

    Args:
        rows: first and end of the rows that are kept, at least 64.
        columns: of the columns.
    """

    def __init__(self, rows: tuple[int, int], columns: tuple[int, int]) -> None:
        self._rows, self._columns = Windows.over(*rows), Windows.over(*columns)

    def __call__(self, frames: Frames) -> Frames:
        """Returns `[N, 64, 64, C]` of pictures `[N, H, W, C]`, uint8."""
        count, _, width, channels = frames.shape
        strips = self._rows.brightest_rows(frames.reshape(*frames.shape[:2], -1))
        lines = strips.reshape(count * SIZE, width * channels)
        small = self._columns.brightest_columns(lines, channels)
        return small.reshape(count, SIZE, SIZE, channels)


@dataclass(frozen=True)
class Windows:
    """Which pixels each of 64 new ones covers, along one axis.

    Attributes:
        starts, stops: the first and the end of each window, `[64]`.
        period: after so many windows they repeat, `stride` pixels on.
        stride: see `period`.
    """

    starts: NDArray[np.intp]
    stops: NDArray[np.intp]
    period: int
    stride: int

    @classmethod
    def over(cls, first: int, end: int) -> Windows:
        """Returns the windows over pixels from `first` to before `end`, at least 64."""
        size, places = end - first, np.arange(SIZE)
        common = gcd(size, SIZE)
        starts = first + places * size // SIZE
        stops = first - (-(places + 1) * size // SIZE)
        return cls(starts, stops, SIZE // common, size // common)

    def brightest_rows(self, frames: Frames) -> Frames:
        """Returns `[N, 64, L]`, the brightest of rows, of `[N, H, L]`."""
        best = frames.take(self.starts, axis=1)
        for further in range(1, int((self.stops - self.starts).max())):
            rows = np.minimum(self.starts + further, self.stops - 1)
            np.maximum(best, frames.take(rows, axis=1), out=best)
        return best

    def brightest_columns(self, lines: Frames, channels: int) -> Frames:
        """Returns `[n, 64, C]`, the brightest of columns, of `[n, W * C]`, contiguous.

        A maximum that slides over all pixels at once is several times as quick as one of each
        window; a window that is wider than the narrowest is the brighter of its two ends.
        """
        narrowest = int((self.stops - self.starts).min())
        flat, sliding = lines.reshape(-1), lines.copy()
        for step in range(channels, narrowest * channels, channels):
            # What slides over a line's end into the next is of no window.
            best = sliding.reshape(-1)[:-step]
            np.maximum(best, flat[step:], out=best)
        pixels = sliding.reshape(len(lines), -1, channels)
        small = np.empty((len(lines), SIZE, channels), np.uint8)
        for place in range(self.period):
            start, stop = int(self.starts[place]), int(self.stops[place])
            windows = small[:, place :: self.period]
            windows[...] = self._repeated(pixels, start)
            if stop - narrowest > start:
                np.maximum(windows, self._repeated(pixels, stop - narrowest), out=windows)
        return small

    def _repeated(self, pixels: Frames, first: int) -> Frames:
        """Returns every `stride`-th pixel from a first one on, one for each repetition."""
        repetitions = SIZE // self.period
        return pixels[:, first : first + self.stride * (repetitions - 1) + 1 : self.stride]
