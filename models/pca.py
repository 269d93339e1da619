"""V without torch (stand-in until replaced)."""

from __future__ import annotations
import numpy as np


class PCAVision:
    single_pass = True

    def __init__(self, frame_shape, latent_size=32, motion_weight=1.0):
        self.frame_shape, self.latent_size = frame_shape, latent_size
        d = int(np.prod(frame_shape)) // 4
        self._s, self._xx, self._n = np.zeros(d), np.zeros((d, d)), np.zeros(1)
        self._b = np.zeros((d, latent_size))
        self._scale = np.ones(latent_size)

    def _pool(self, o):
        n, h, w, c = o.shape
        return o.reshape(n, h // 2, 2, w // 2, 2, c).mean((2, 4), dtype=np.float32).reshape(
            n, -1
        ) / np.float32(255)

    def update(self, o, p, rng):
        x = self._pool(o).astype(np.float64)
        self._s += x.sum(0)
        self._xx += x.T @ x
        self._n += len(x)
        return {"loss": 0.0}

    def finish(self):
        m = self._s / self._n
        v, b = np.linalg.eigh(self._xx / self._n - np.outer(m, m))
        self._b = b[:, ::-1][:, : self.latent_size].copy()
        self._scale = np.sqrt(np.maximum(v[::-1][: self.latent_size], 1e-8))
        return {}

    def encode(self, o):
        return (((self._pool(o) - self._s / self._n) @ self._b) / self._scale).astype(np.float32)

    def posterior(self, o):
        m = self.encode(o)
        return m, np.full_like(m, -20)

    def decode(self, z):
        x = (z * self._scale) @ self._b.T + self._s / self._n
        h, w, c = self.frame_shape
        x = np.clip(x * 255, 0, 255).astype(np.uint8).reshape(-1, h // 2, w // 2, c)
        return x.repeat(2, 1).repeat(2, 2)

    def state(self):
        return {k: np.array(getattr(self, "_" + k)) for k in ("s", "xx", "n", "b", "scale")}

    def load_state(self, s):
        for k, v in s.items():
            setattr(self, "_" + k, v.copy())
