"""V for state environments: the running mean and variance of what was seen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.interfaces import Float, Metrics, NonFiniteLoss, State
from models.numeric.state import checked_state, copied

LIMIT = 10.0
NOT_RANDOM = -20.0
"""Log variance of a latent that is a function of the observation."""

_CONSTANT = 1e-6
"""A standard deviation below this share of the mean is rounding, not movement."""


def state_bytes(size: int) -> int:
    """Returns how many bytes the state of a `StateVision` of so many numbers has."""
    return 8 + 2 * 8 * size


class StateVision:
    """z = (x - mean) / std, clipped to [-10, 10] (`models.interfaces.Vision`).

    Args:
        size: D, which is Z too.

    Raises:
        ValueError: the size is below 1.
    """

    single_pass = True

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size was {size}, expected at least one number per state")
        self.latent_size = size
        self._arrays: State = {
            "count": np.zeros((), np.int64),
            "mean": np.zeros(size),
            "squares": np.zeros(size),
        }

    def update(
        self, observations: np.ndarray, previous: np.ndarray, rng: np.random.Generator
    ) -> Metrics:
        """Adds a batch to the moments (Chan, Golub & LeVeque 1983, equation 2.1).

        Args:
            observations: `[B, D]`.
            previous: not used, what moves does not matter here.
            rng: not used.

        Returns:
            `loss`, the batch's mean negative log likelihood per dimension in nats under a Gaussian
            of the moments so far, and the `count` of rows.

        Raises:
            NonFiniteLoss: a value is not finite; the moments are as before.
            ValueError: the shape is wrong.
        """
        rows = self._checked(observations).astype(np.float64)
        if not np.isfinite(rows).all():
            bad = int(np.count_nonzero(~np.isfinite(rows)))
            raise NonFiniteLoss(
                f"{bad} of {rows.size} values of a batch of states are not finite, expected "
                "numbers; the batch was refused: look at the environment"
            )
        if len(rows):
            self._add(rows)
        deviations = (rows - self._arrays["mean"]) / self._std()
        loss = 0.5 * np.mean(deviations**2) if len(rows) else 0.0
        loss += float(np.mean(np.log(self._std()))) + 0.5 * np.log(2.0 * np.pi)
        return {"loss": float(loss), "count": float(self._arrays["count"])}

    def _add(self, rows: np.ndarray) -> None:
        count, added = int(self._arrays["count"]), len(rows)
        total = count + added
        mean = rows.mean(axis=0)
        gap = mean - self._arrays["mean"]
        between = gap**2 * (count * added / total)
        self._arrays = {
            "count": np.array(total, np.int64),
            "mean": self._arrays["mean"] + gap * (added / total),
            "squares": self._arrays["squares"] + ((rows - mean) ** 2).sum(axis=0) + between,
        }

    def finish(self) -> Metrics:
        """Has nothing left to solve.

        Returns:
            `count`, and `constant`, the dimensions that never moved (their std counts as 1).
        """
        constant = np.count_nonzero(self._spread() <= self._smallest())
        return {"count": float(self._arrays["count"]), "constant": float(constant)}

    def encode(self, observations: np.ndarray) -> Float:
        """Returns latents `[N, Z]` of states `[N, D]`."""
        rows = self._checked(observations)
        latents = (rows - self._arrays["mean"]) / self._std()
        return np.clip(latents, -LIMIT, LIMIT).astype(np.float32)

    def posterior(self, observations: np.ndarray) -> tuple[Float, Float]:
        """Returns the latents, and log variances that say they are not random; `[N, Z]` each."""
        latents = self.encode(observations)
        return latents, np.full_like(latents, NOT_RANDOM)

    def decode(self, latents: Float) -> np.ndarray:
        """Returns states `[N, D]` float32; inverts `encode` where it did not clip."""
        rows = self._checked(latents)
        return (rows * self._std() + self._arrays["mean"]).astype(np.float32)

    def scale(self) -> tuple[Float, Float]:
        """Returns what is taken off a state and what it is then divided by, `[D]` float32 each;
        the latents are that within `LIMIT`."""
        mean, std = self._arrays["mean"], self._std()
        return mean.astype(np.float32), np.broadcast_to(std, mean.shape).astype(np.float32)

    def state(self) -> State:
        """Returns count, mean and summed squared deviations."""
        return copied(self._arrays)

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from a state; raises ValueError if it is another size's."""
        self._arrays = checked_state(state, self._arrays, "StateVision")

    def _checked(self, rows: np.ndarray) -> np.ndarray:
        array = np.asarray(rows)
        if array.ndim != 2 or array.shape[1] != self.latent_size:
            raise ValueError(
                f"states have shape {array.shape}, expected [N, {self.latent_size}]: build "
                "StateVision with the size of the environment's observations"
            )
        return array

    def _spread(self) -> np.ndarray:
        return np.sqrt(self._arrays["squares"] / max(int(self._arrays["count"]), 1))

    def _smallest(self) -> np.ndarray:
        return _CONSTANT * (1.0 + np.abs(self._arrays["mean"]))

    def _std(self) -> np.ndarray:
        spread = self._spread()
        return np.where(spread > self._smallest(), spread, 1.0)
