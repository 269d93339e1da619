"""V without torch: principal components of what moves, and where the smallest mover is.

One pass accumulates moments; `finish` solves. Principal components see large things (paddles, the
road) well and a ball hardly at all: of 4,096 pixels it covers four. So three latents are the place
and presence of the most surprising thing in the frame (`models.numeric.tracking`), and the rest
are components of pixels that are weighted by how much they move (Jolliffe 2002, section 2.3 and
14.2.1 on weighted principal components).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.interfaces import Float, Metrics, State
from models.normaliser import NOT_RANDOM
from models.numeric import tracking
from models.numeric.pooling import Pooling, cell_size, from_bytes, to_bytes
from models.numeric.state import checked_state, copied
from models.numeric.threads import single_threaded

MOST_VALUES = 1024
"""Cells times channels of a pooled frame; the covariance has its square."""
SMALLEST_TRACKED = 8
"""With fewer latents than this, all of them are components."""
CHANGED = 0.02
"""Difference of successive values, from 0 to 1, that counts as movement."""
FRAMES_AT_ONCE = 128


def state_bytes(frame_shape: tuple[int, int, int], latent_size: int, motion_weight: float) -> int:
    """Returns how many bytes the state of a `PCAVision` has that is built with these arguments."""
    pixels = frame_shape[0] * frame_shape[1] * frame_shape[2]
    side = cell_size(frame_shape, MOST_VALUES)
    pooled = (frame_shape[0] // side) * (frame_shape[1] // side) * frame_shape[2]
    components = latent_size - (tracking.SIZE if _tracks(latent_size, motion_weight) else 0)
    maps = 4 * 4 + 3 * 8 + 2
    return 8 + maps * pixels + 8 * pooled * (1 + pooled) + 2 * 4 * pooled * components


class PCAVision:
    """Frames to latents by one closed-form pass (`models.interfaces.Vision`).

    Args:
        frame_shape: H, W, C.
        latent_size: Z; from 8 on the last three are x, y and presence of the tracked thing.
        motion_weight: a pixel's weight in the components is (change / variance)^(motion_weight/8),
            with the mean squared change between frames; 0 is plain principal components and
            no tracking.

    Raises:
        ValueError: a size or the weight does not fit.
    """

    single_pass = True

    def __init__(
        self, frame_shape: tuple[int, ...], latent_size: int = 32, motion_weight: float = 1.0
    ) -> None:
        if len(frame_shape) != 3 or min(*frame_shape, latent_size) < 1 or motion_weight < 0:
            raise ValueError(
                f"frame_shape was {frame_shape}, latent_size {latent_size} and motion_weight "
                f"{motion_weight}; expected (H, W, C), at least 1 and at least 0"
            )
        self._frame_shape = height, width, channels = tuple(int(side) for side in frame_shape)
        self.latent_size = latent_size
        self._weight = motion_weight
        tracked = _tracks(latent_size, motion_weight)
        self._components = latent_size - (tracking.SIZE if tracked else 0)
        shape = (height, width, channels)
        self._pooling = Pooling(shape, cell_size(shape, MOST_VALUES))
        size = self._pooling.size
        if self._components > size:
            raise ValueError(
                f"latent_size was {latent_size}, more than the {size} values of a pooled frame: "
                "ask for fewer latents"
            )
        self._arrays: State = {
            "count": np.zeros((), np.int64),
            "shift": np.zeros(shape, np.float32),
            "sum": np.zeros(shape),
            "squares": np.zeros(shape),
            "change": np.zeros(shape),
            "darkest": np.full(shape, 255, np.uint8),
            "brightest": np.zeros(shape, np.uint8),
            "pooled_change": np.zeros(size),
            "products": np.zeros((size, size)),
            "mean": np.zeros(shape, np.float32),
            "gain": np.zeros(shape, np.float32),
            "thing": np.zeros(shape, np.float32),
            "encoder": np.zeros((size, self._components), np.float32),
            "decoder": np.zeros((self._components, size), np.float32),
        }
        self._tracks = tracked
        self._prepare()

    def update(
        self, observations: np.ndarray, previous: np.ndarray, rng: np.random.Generator
    ) -> Metrics:
        """Adds a batch to the moments.

        Args:
            observations: `[B, H, W, C]` uint8.
            previous: same shape, one step earlier.
            rng: not used.

        Returns:
            `loss`, the mean squared deviation from the first batch's mean frame, and `moving`,
            the share of pixels that changed.

        Raises:
            ValueError: the frames have another shape.
        """
        frames, before = self._checked(observations), self._checked(previous)
        if len(frames) == 0:
            return {"loss": 0.0, "moving": 0.0}
        sums, values = self._arrays, from_bytes(frames)
        if sums["count"] == 0:
            sums["shift"] = values.mean(axis=0)
        change = values - from_bytes(before)
        values -= sums["shift"]
        sums["count"] += len(frames)
        sums["sum"] += values.sum(axis=0, dtype=np.float64)
        sums["squares"] += np.square(values).sum(axis=0, dtype=np.float64)
        sums["change"] += np.square(change).sum(axis=0, dtype=np.float64)
        np.minimum(sums["darkest"], frames.min(axis=0), out=sums["darkest"])
        np.maximum(sums["brightest"], frames.max(axis=0), out=sums["brightest"])
        pooled = self._pooling.down(values)
        pooled_change = np.square(self._pooling.down(change))
        sums["pooled_change"] += pooled_change.sum(axis=0, dtype=np.float64)
        with single_threaded:
            sums["products"] += pooled.T @ pooled
        return {
            "loss": float(np.mean(np.square(values))),
            "moving": float(np.mean(np.abs(change) > CHANGED)),
        }

    def finish(self) -> Metrics:
        """Solves for the components.

        Returns:
            `explained_variance`, the share of the weighted variance that they explain, and
            `frames`.

        Raises:
            ValueError: there was no update.
        """
        sums, count = self._arrays, int(self._arrays["count"])
        if count == 0:
            raise ValueError("PCAVision has seen no frames: call update before finish")
        offset = sums["sum"] / count
        mean = self._pooling.down(offset[None])[0]
        covariance = sums["products"] / count - np.outer(mean, mean)
        # One faint flicker in all the frames has about this variance.
        floor = 0.1 / count + 1e-6
        variance = np.maximum(np.diag(covariance), 0.0) + floor
        weights = ((sums["pooled_change"] / count + floor) / variance) ** (self._weight / 8.0)
        with single_threaded:
            encoder, explained = _principal(covariance, weights, self._components)
            # For whitened latents the least squares decoder is their covariance with the frame.
            decoder = encoder.T @ covariance
        sums["encoder"], sums["decoder"] = encoder.astype(np.float32), decoder.astype(np.float32)
        sums["mean"] = (sums["shift"] + offset).astype(np.float32)
        if self._tracks:
            spread = np.maximum(sums["squares"] / count - offset**2, 0.0)
            sums["gain"] = tracking.surprise_gain(spread, sums["change"] / count, floor)
            sums["thing"] = tracking.extreme(sums["mean"], sums["darkest"], sums["brightest"])
        self._prepare()
        return {"explained_variance": explained, "frames": float(count)}

    def encode(self, observations: np.ndarray) -> Float:
        """Returns latents `[N, Z]` of frames `[N, H, W, C]` uint8, of variance about one each."""
        frames = self._checked(observations)
        latents = np.empty((len(frames), self.latent_size), np.float32)
        with single_threaded:
            for start in range(0, len(frames), FRAMES_AT_ONCE):
                part = slice(start, start + FRAMES_AT_ONCE)
                values = from_bytes(frames[part])
                pooled = self._pooling.down(values) - self._pooled_mean
                latents[part, : self._components] = pooled @ self._arrays["encoder"]
                if self._tracker is not None:
                    latents[part, self._components :] = self._tracker.locate(values)
        return latents

    def posterior(self, observations: np.ndarray) -> tuple[Float, Float]:
        """Returns the latents, and log variances that say they are not random; `[N, Z]` each."""
        latents = self.encode(observations)
        return latents, np.full_like(latents, NOT_RANDOM)

    def decode(self, latents: Float) -> np.ndarray:
        """Returns frames `[N, H, W, C]` uint8: what components show, and the tracked thing."""
        rows = np.asarray(latents, np.float32)
        with single_threaded:
            pooled = rows[:, : self._components] @ self._arrays["decoder"]
        frames = self._pooling.up(pooled) + self._arrays["mean"]
        if self._tracker is not None:
            self._tracker.draw(frames, rows[:, self._components :], self._arrays["thing"])
        return to_bytes(frames)

    def state(self) -> State:
        """Returns moments and solution."""
        return copied(self._arrays)

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from a state; raises ValueError if it is another shape's."""
        self._arrays = checked_state(state, self._arrays, "PCAVision")
        self._prepare()

    def _prepare(self) -> None:
        """Derives from the solution what encoding needs."""
        mean = self._arrays["mean"]
        self._pooled_mean = self._pooling.down(mean[None])[0]
        self._tracker = tracking.Tracker(mean, self._arrays["gain"]) if self._tracks else None

    def _checked(self, frames: np.ndarray) -> np.ndarray:
        array = np.asarray(frames)
        if array.shape[1:] != self._frame_shape or array.dtype != np.uint8:
            expected = ", ".join(str(side) for side in self._frame_shape)
            raise ValueError(
                f"frames are {array.shape} {array.dtype}, expected [N, {expected}] uint8: build "
                "PCAVision with the shape of the environment's observations"
            )
        return array


def _tracks(latent_size: int, motion_weight: float) -> bool:
    return latent_size >= SMALLEST_TRACKED and motion_weight > 0


def _principal(covariance: np.ndarray, weights: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """Returns whitening projections on principal components of weighted values.

    Args:
        covariance: `[D, D]`.
        weights: `[D]`, what each value is multiplied by.
        count: of components.

    Returns:
        `[D, count]`, zero where nothing varies any more, and the share of variance explained.
    """
    values, vectors = np.linalg.eigh(weights[:, None] * covariance * weights)
    values = np.maximum(values[::-1], 0.0)
    chosen = vectors[:, ::-1][:, :count]
    # The sign of an eigenvector is arbitrary; its largest part is made positive.
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(count)])
    # Below the rounding of the sums there is nothing to see, and nothing to divide by.
    alive = values[:count] > max(values[0] * 1e-9, 1e-12)
    inverse = np.where(alive, 1.0 / np.sqrt(np.where(alive, values[:count], 1.0)), 0.0)
    explained = float(values[:count].sum()) / max(float(values.sum()), 1e-12)
    return weights[:, None] * chosen * inverse, explained


if __name__ == "__main__":
    from models.selftest.world_model import check_vision

    raise SystemExit(check_vision("pca", lambda: PCAVision((16, 16, 1), 16), 20))
