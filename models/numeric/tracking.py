"""Where the most surprising thing of a frame is: the ball, in games that have one.

A pixel that changes often although it varies little is one that something small passes over. The
ratio of the two makes a surprise of each pixel's deviation from its mean: large where the ball is,
small on paddles, which are where they usually are, and on scores and bricks, which stay as they
are once they have changed. The centroid of the largest surprise is linear in the ball's position;
no linear map of the frame with few outputs is, as each ball pixel has next to no variance.
"""

from __future__ import annotations

import numpy as np

from models.interfaces import Float, Frames

SIZE = 3
"""Values of a track: x, y and presence."""

_SPREAD = 0.7
"""Standard deviation of the blur of the statistics, in pixels: few samples pass over each pixel."""
_FULL_SURPRISE = 4.0
"""Surprise at which presence is one half; a ball's is about 40, a paddle's about 2."""
_CORE = 0.7
"""Share of a frame's largest surprise above which pixels belong to the thing."""
_UNIFORM_STD = 3.0**-0.5
"""Standard deviation of a coordinate that is uniform from -1 to 1."""


class Tracker:
    """Finds the centroid of what is most surprising.

    Args:
        mean: `[H, W, C]`, each pixel's mean, from 0 to 1.
        variance: `[H, W, C]`.
        change: `[H, W, C]`, mean squared difference of successive frames.
        floor: variance below which a pixel counts as constant.
    """

    def __init__(
        self, mean: np.ndarray, variance: np.ndarray, change: np.ndarray, floor: float
    ) -> None:
        height, width, _ = mean.shape
        gain = np.sqrt(_blurred(change)) / (_blurred(variance) + floor)
        self._mean = mean.astype(np.float32)
        self._gain = gain.astype(np.float32)
        y, x = np.meshgrid(_coordinates(height), _coordinates(width), indexing="ij")
        self._places = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
        self._sides = np.array([width, height])

    def locate(self, frames: Float) -> Float:
        """Returns tracks `[N, 3]` of frames `[N, H, W, C]` from 0 to 1.

        x and y have variance one for a thing that is anywhere with equal probability, and fade to
        zero with its presence; presence is from -1 to 1.
        """
        surprise = np.abs((frames - self._mean) * self._gain).max(axis=3)
        surprise = surprise.reshape(len(frames), -1)
        largest = surprise.max(axis=1, keepdims=True)
        presence = largest**4 / (largest**4 + np.float32(_FULL_SURPRISE**4))
        core = surprise - np.float32(_CORE) * largest
        np.maximum(core, 0.0, out=core)
        total = core.sum(axis=1, keepdims=True) + np.float32(1e-12)
        place = (core @ self._places) / total * presence / np.float32(_UNIFORM_STD)
        return np.concatenate([place, 2.0 * presence - 1.0], axis=1)

    def draw(self, frames: Float, tracks: Float, thing: Float) -> None:
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


def extreme(mean: np.ndarray, darkest: Frames, brightest: Frames) -> Float:
    """Returns of each pixel the value ever seen that is farthest from its mean, from 0 to 1."""
    low, high = darkest / np.float32(255.0), brightest / np.float32(255.0)
    return np.where(mean - low > high - mean, low, high).astype(np.float32)


def _coordinates(count: int) -> np.ndarray:
    return np.linspace(-1.0, 1.0, count) if count > 1 else np.zeros(1)


def _blurred(image: np.ndarray) -> np.ndarray:
    """Returns `[H, W, C]` blurred by a Gaussian, whose weights at the border sum to one too."""
    return np.einsum("ih,hwc,jw->ijc", *_around(image), optimize=True)


def _around(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    kernels = []
    for count in image.shape[:2]:
        distance = np.subtract.outer(np.arange(count), np.arange(count)) / _SPREAD
        kernel = np.exp(-0.5 * distance**2)
        kernels.append(kernel / kernel.sum(axis=1, keepdims=True))
    return kernels[0], image, kernels[1]
