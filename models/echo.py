"""M without torch (stand-in until replaced)."""

from __future__ import annotations
from collections.abc import Mapping
import numpy as np
from models.interfaces import Float, Metrics, Prediction, SequenceBatch, State


class EchoMemory:
    single_pass = True

    def __init__(
        self,
        latent_size,
        action_size,
        hidden_size=256,
        ridge=1e-3,
        spectral_radius=0.95,
        leak=0.3,
        seed=0,
    ):
        self.latent_size, self.action_size, self.hidden_size = latent_size, action_size, hidden_size
        rng = np.random.default_rng(seed)
        w = rng.standard_normal((hidden_size, hidden_size))
        self._w = (w * spectral_radius / np.sqrt(hidden_size)).astype(np.float32)
        self._in = (
            rng.standard_normal((latent_size + action_size, hidden_size))
            / np.sqrt(latent_size + action_size)
        ).astype(np.float32)
        self._leak, self._ridge = np.float32(leak), ridge
        f = hidden_size + latent_size + 1
        self._f = f
        self._xx = np.zeros((f, f))
        self._xy = np.zeros((f, latent_size + 2))
        self._yy = np.zeros(latent_size + 2)
        self._n = np.zeros(1)
        self._out = np.zeros((f, latent_size + 2))
        self._std = np.ones(latent_size)

    def initial_state(self, n):
        return np.zeros((n, self.hidden_size), np.float32)

    def hidden(self, state):
        return state

    def step(self, state, latents, actions):
        drive = np.concatenate([latents, actions], 1) @ self._in + state @ self._w
        return (1 - self._leak) * state + self._leak * np.tanh(drive)

    def _x(self, state, z):
        return np.concatenate([state, z, np.ones((len(z), 1), np.float32)], 1)

    def update(self, batch: SequenceBatch, rng) -> Metrics:
        s = self.initial_state(len(batch.latents))
        for t in range(batch.actions.shape[1]):
            m = batch.mask[:, t] > 0
            s = self.step(s, batch.latents[:, t], batch.actions[:, t])
            x = self._x(s, batch.latents[:, t])[m].astype(np.float64)
            y = np.concatenate(
                [
                    batch.latents[:, t + 1] - batch.latents[:, t],
                    batch.rewards[:, t, None],
                    batch.terminated[:, t, None],
                ],
                1,
            )[m]
            self._xx += x.T @ x
            self._xy += x.T @ y
            self._yy += (y * y).sum(0)
            self._n += len(x)
        return {"loss": 0.0}

    def finish(self) -> Metrics:
        self._out = np.linalg.solve(self._xx + self._ridge * self._n * np.eye(self._f), self._xy)
        res = (
            self._yy
            - 2 * (self._out * self._xy).sum(0)
            + (self._out * (self._xx @ self._out)).sum(0)
        )
        self._std = np.sqrt(np.maximum(res[: self.latent_size] / self._n, 1e-8))
        return {}

    def _predict(self, state, latents):
        y = self._x(state, latents) @ self._out
        Z = self.latent_size
        return latents + y[:, :Z], y[:, Z], np.clip(y[:, Z + 1], 0, 1)

    def evaluate(self, batch) -> Metrics:
        s = self.initial_state(len(batch.latents))
        nll = err = rew = n = 0.0
        for t in range(batch.actions.shape[1]):
            m = batch.mask[:, t] > 0
            s = self.step(s, batch.latents[:, t], batch.actions[:, t])
            z, r, d = self._predict(s, batch.latents[:, t])
            e = (z - batch.latents[:, t + 1])[m]
            nll += (0.5 * (e / self._std) ** 2 + np.log(self._std) + 0.919).sum()
            err += (e**2).mean(1).sum()
            rew += ((r - batch.rewards[:, t])[m] ** 2).sum()
            n += m.sum()
        return {
            "nll": float(nll / n),
            "prediction_error": float(err / n),
            "reward_error": float(rew / n),
        }

    def predict(self, state, latents, temperature, rng):
        z, r, d = self._predict(state, latents)
        z = z + self._std * np.sqrt(temperature) * rng.standard_normal(z.shape)
        return Prediction(z.astype(np.float32), r.astype(np.float32), d.astype(np.float32))

    def state(self) -> State:
        return {k: np.array(getattr(self, "_" + k)) for k in ("xx", "xy", "yy", "n", "out", "std")}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        for k, v in state.items():
            setattr(self, "_" + k, v.copy())
