"""Where the most surprising thing of a frame is: the ball, in games that have one.

A pixel's surprise is m (x - mean)^2 / variance, where m is the share of its variance that changes
from one frame to the next. Something that is there in a share q of the frames surprises by about
1/q: the ball much, paddles little, because they are where they usually are, scores and bricks not
at all, because they stay as they are once they have changed. The centroid of the squared surprise
is linear in the ball's position; no linear map of the frame with few outputs is, as each ball
pixel has next to no variance.
"""

from __future__ import annotations

import numpy as np

from models.shapes import Float32, Shaped, UInt8

SIZE = 3
"""Values of a track: x, y and presence."""

_MIN_VARIANCE = 1e-4
"""Variance below which nothing has passed over a pixel often enough to know it."""
_FULL_SURPRISE = 25.0
"""Surprise at which presence is one half: one pixel five standard deviations off its mean."""
_UNIFORM_STD = 3.0**-0.5
"""Standard deviation of a coordinate that is uniform from -1 to 1."""


class Tracker:
    """Finds the centroid of what is most surprising.

    Args:
        mean: `[H, W, C]`, each pixel's mean, from 0 to 1.
        gain: `[H, W, C]` from `surprise_gain`; where all is zero, nothing is ever present.
    """

    def __init__(
        self, mean: Float32[np.ndarray, "H W C"], gain: Float32[np.ndarray, "H W C"]
    ) -> None:
        height, width, _ = mean.shape
        self._mean = mean
        self._gain = gain
        y, x = np.meshgrid(_coordinates(height), _coordinates(width), indexing="ij")
        self._places = np.stack([np.ones(x.size), x.ravel(), y.ravel()], axis=1).astype(np.float32)
        self._sides = np.array([width, height])

    def locate(self, frames: Float32[np.ndarray, "N H W C"]) -> Float32[np.ndarray, "N 3"]:
        """Returns tracks `[N, 3]` of frames `[N, H, W, C]` from 0 to 1.

        x and y have variance one for a thing that is anywhere with equal probability, and fade to
        zero with its presence; presence is from -1 to 1.
        """
        surprise = frames - self._mean
        np.square(surprise, out=surprise)
        surprise *= self._gain
        summed = surprise[..., 0]
        for channel in range(1, surprise.shape[3]):
            summed = summed + surprise[..., channel]
        moments = np.square(summed).reshape(len(frames), -1) @ self._places
        total = moments[:, :1] + np.float32(_FULL_SURPRISE**2)
        place = moments[:, 1:] / total / np.float32(_UNIFORM_STD)
        presence = moments[:, :1] / total
        return np.concatenate([place, 2.0 * presence - 1.0], axis=1).astype(np.float32, copy=False)

    def draw(
        self,
        frames: Float32[np.ndarray, "N H W C"],
        tracks: Float32[np.ndarray, "N 3"],
        thing: Float32[np.ndarray, "H W C"],
    ) -> None:
        """Paints the thing into frames, in place, where tracks say that it is present.

        Args:
            frames: `[N, H, W, C]`.
            tracks: `[N, 3]` from `locate`.
            thing: `[H, W, C]`, what each pixel looks like with the thing on it.
        """
        height, width, _ = thing.shape
        centres = (tracks[:, :2] * _UNIFORM_STD + 1.0) * 0.5 * (self._sides - 1)
        for row in np.flatnonzero(tracks[:, 2] > 0.0):
            x, y = np.clip(np.floor(centres[row]), 0, self._sides - 1).astype(int)
            spot = (slice(y, min(y + 2, height)), slice(x, min(x + 2, width)))
            frames[row][spot] = thing[spot]


def surprise_gain(
    variance: Shaped[np.ndarray, "H W C"], change: Shaped[np.ndarray, "H W C"], floor: float
) -> Float32[np.ndarray, "H W C"]:
    """Returns how surprising a unit of deviation is at each pixel, `[H, W, C]`.

    Args:
        variance: `[H, W, C]`, of values from 0 to 1.
        change: `[H, W, C]`, mean squared difference of successive frames.
        floor: variance below which a pixel counts as constant, > 0.
    """
    spread = np.maximum(variance, max(floor, _MIN_VARIANCE))
    return (np.minimum(change / (2.0 * spread), 1.0) / spread).astype(np.float32)


def extreme(
    mean: Shaped[np.ndarray, "H W C"],
    darkest: UInt8[np.ndarray, "H W C"],
    brightest: UInt8[np.ndarray, "H W C"],
) -> Float32[np.ndarray, "H W C"]:
    """Returns of each pixel the value ever seen that is farthest from its mean, from 0 to 1."""
    low, high = darkest / np.float32(255.0), brightest / np.float32(255.0)
    return np.where(mean - low > high - mean, low, high).astype(np.float32)


def _coordinates(count: int) -> np.ndarray:
    return np.linspace(-1.0, 1.0, count) if count > 1 else np.zeros(1)
