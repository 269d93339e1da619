"""V for state environments: the running mean and variance of what was seen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.interfaces import Float, Metrics, State


class StateVision:
    """z = the observation, centred and scaled by what was collected, clipped to [-10, 10]."""

    single_pass = True

    def __init__(self, size: int) -> None:
        self.latent_size = size
        self._n, self._mean, self._m2 = 0.0, np.zeros(size), np.zeros(size)

    def update(self, observations, previous, rng) -> Metrics:
        x = np.asarray(observations, np.float64)
        n = len(x)
        mean, total = x.mean(0), self._n + n
        delta = mean - self._mean
        self._m2 += ((x - mean) ** 2).sum(0) + delta**2 * self._n * n / total
        self._mean = self._mean + delta * n / total
        self._n = total
        return {"loss": 0.0}

    def finish(self) -> Metrics:
        return {}

    @property
    def _std(self):
        return np.maximum(np.sqrt(self._m2 / max(self._n, 1)), 1e-3)

    def encode(self, observations) -> Float:
        return np.clip((observations - self._mean) / self._std, -10, 10).astype(np.float32)

    def posterior(self, observations):
        mean = self.encode(observations)
        return mean, np.full_like(mean, -20.0)

    def decode(self, latents):
        return (latents * self._std + self._mean).astype(np.float32)

    def state(self) -> State:
        return {"n": np.array(self._n), "mean": self._mean.copy(), "m2": self._m2.copy()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        self._n, self._mean, self._m2 = float(state["n"]), state["mean"].copy(), state["m2"].copy()
