"""M without torch: an echo-state network whose heads are solved, not descended.

A fixed random reservoir turns the past into features h (Jaeger 2001); linear heads read the
change of z, the reward and the end of the episode from h and from what happened last. It learns
from one pass over the data. What it cannot do is tell several futures apart: its noise is one
Gaussian per latent, of the same width everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.interfaces import Float, Metrics, NonFiniteLoss, Prediction, SequenceBatch, State
from models.numeric.logistic import RareEvents, log_loss, most_bytes, sigmoid
from models.numeric.threads import single_threaded

INPUTS_PER_UNIT = 4
"""Inputs of a reservoir unit: few, so that its tanh couples some of them strongly."""

MIN_STD = 1e-4
RANGE_MARGIN = 0.1
"""How far past the seen range, as a share of it, dreams may go."""


def state_bytes(latent_size: int, action_size: int, hidden_size: int) -> int:
    """Returns how many bytes an `EchoMemory` of these sizes has once its sample of ends is full."""
    z, features = latent_size, hidden_size + 2 * latent_size + action_size + 1
    inputs = 8 + 8 + 4 * z + 4 * 2 * z + 2 * 4 * (z + 1)
    moments = 8 * features * (features + z + 1) + 8 * (z + 1)
    heads = 4 * features * (z + 2) + 4 * z
    return inputs + moments + heads + most_bytes(features)


class EchoMemory:
    """A leaky echo-state network with ridge heads (`models.interfaces.Memory`).

    The state `[N, S]`, S = R + 2Z + A + 1, packs h, z_t, z_t - z_{t-1}, a_t and whether the
    episode has begun. Each unit of the reservoir follows one other unit with a random sign, a
    matrix whose eigenvalues all have the spectral radius as modulus and which costs no product
    (Rodan & Tino 2011, section III); its rate is spread between `leak` and 1, so that h holds both
    the present and the past (Jaeger et al. 2007, equation 2).

    Args:
        latent_size: Z.
        action_size: A.
        hidden_size: R.
        ridge: penalty on the squared weights of the heads, in units of each feature's mean square.
        spectral_radius: modulus of the recurrent eigenvalues, in (0, 1): the past fades.
        leak: rate of the slowest units, in (0, 1].
        seed: draws the reservoir; `load_state` brings the seed of what it loads.

    Raises:
        ValueError: a size is below 1 or a number outside its range.
    """

    single_pass = True

    def __init__(
        self,
        latent_size: int,
        action_size: int,
        hidden_size: int = 256,
        ridge: float = 1e-3,
        spectral_radius: float = 0.95,
        leak: float = 0.3,
        seed: int = 0,
    ) -> None:
        if min(latent_size, action_size, hidden_size) < 1:
            raise ValueError(
                f"an echo memory was given Z={latent_size}, A={action_size}, R={hidden_size}; "
                "expected at least 1 of each"
            )
        if not (ridge > 0 and 0 < spectral_radius < 1 and 0 < leak <= 1):
            raise ValueError(
                f"ridge was {ridge}, spectral_radius {spectral_radius}, leak {leak}; expected "
                "ridge > 0, 0 < spectral_radius < 1 and 0 < leak <= 1"
            )
        self.latent_size, self.action_size = latent_size, action_size
        self.hidden_size = hidden_size
        self._ridge, self._radius, self._leak = ridge, spectral_radius, leak
        z, r = latent_size, hidden_size
        self._z, self._delta = slice(r, r + z), slice(r + z, r + 2 * z)
        self._action = slice(r + 2 * z, r + 2 * z + action_size)
        self._begun = r + 2 * z + action_size
        features = self._begun + 1
        self._ends = RareEvents(features)
        self._arrays: State = {
            "seed": np.array(seed, np.uint64),
            "count": np.zeros((), np.float64),
            "centre": np.zeros(z, np.float32),
            "scale": np.ones(2 * z, np.float32),
            "low": np.zeros(z + 1, np.float32),
            "high": np.zeros(z + 1, np.float32),
            "xx": np.zeros((features, features)),
            "xy": np.zeros((features, z + 1)),
            "yy": np.zeros(z + 1),
            "heads": np.zeros((features, z + 2), np.float32),
            "std": np.ones(z, np.float32),
        }
        self._draw_reservoir()

    def _draw_reservoir(self) -> None:
        rng = np.random.default_rng(int(self._arrays["seed"]))
        r, inputs = self.hidden_size, 2 * self.latent_size + self.action_size
        per_unit = min(INPUTS_PER_UNIT, inputs)
        chosen = rng.random((inputs, r)).argsort(axis=0) < per_unit
        weights = rng.standard_normal((inputs, r)) / np.sqrt(per_unit)
        self._inputs = np.where(chosen, weights, 0.0).astype(np.float32)
        self._biases = rng.uniform(-1.0, 1.0, r).astype(np.float32)
        self._from = rng.permutation(r)
        self._signs = (self._radius * rng.choice([-1.0, 1.0], r)).astype(np.float32)
        self._rates = np.geomspace(self._leak, 1.0, r).astype(np.float32)

    def initial_state(self, n: int) -> Float:
        """Returns zeros `[n, S]`."""
        return np.zeros((n, self._begun + 1), np.float32)

    def hidden(self, state: Float) -> Float:
        """Returns the reservoir's activations h, `[N, R]`."""
        return np.ascontiguousarray(state[:, : self.hidden_size])

    def step(self, state: Float, latents: Float, actions: Float) -> Float:
        """Returns the state after z_t `[N, Z]` and the encoded a_t `[N, A]`."""
        advanced = np.empty((len(state), self._begun + 1), np.float32)
        advanced[:, self._z] = latents
        advanced[:, self._delta] = (latents - state[:, self._z]) * state[:, self._begun, None]
        advanced[:, self._action] = actions
        advanced[:, self._begun] = 1.0
        seen = advanced[:, self.hidden_size : self._begun].copy()
        seen[:, : self.latent_size] -= self._arrays["centre"]
        seen[:, : 2 * self.latent_size] /= self._arrays["scale"]
        with single_threaded:
            drive = seen @ self._inputs
        drive += self._biases
        h = state[:, : self.hidden_size]
        drive += h[:, self._from] * self._signs
        np.tanh(drive, out=drive)
        advanced[:, : self.hidden_size] = h + self._rates * (drive - h)
        return advanced

    def update(self, batch: SequenceBatch, rng: np.random.Generator) -> Metrics:
        """Adds one batch to the normal equations; see `models.interfaces.Memory`.

        Returns:
            `loss`, the mean squared change of a latent (what predicting no change would cost),
            and `done_rate`.
        """
        if not batch.mask.any():
            return {"loss": 0.0, "done_rate": 0.0}
        _refuse_non_finite(batch)
        now = self._arrays
        if now["count"] == 0:
            self._scale_inputs(batch)
        x, latents, targets, ends = self._rows(batch)
        x64, y = x.astype(np.float64), targets.astype(np.float64)
        extremes = np.concatenate([latents, targets[:, -1:]], axis=1)
        first = now["count"] == 0
        low, high = extremes.min(axis=0), extremes.max(axis=0)
        now["low"] = low if first else np.minimum(low, now["low"])
        now["high"] = high if first else np.maximum(high, now["high"])
        with single_threaded:
            now["xx"] += x64.T @ x64
            now["xy"] += x64.T @ y
        now["yy"] += np.square(y).sum(axis=0)
        now["count"] += len(x)
        self._ends.add(x, ends, rng)
        return {
            "loss": float(np.square(y[:, :-1]).mean()),
            "done_rate": float(ends.mean()),
        }

    def finish(self) -> Metrics:
        """Solves the heads; learning may go on afterwards, with another `finish`.

        The change of z and the reward are ridge regressions (Hoerl & Kennard 1970) on features
        divided by their root mean square; the end is a logistic regression.

        Returns:
            On the data learned from: `loss`, `prediction_error` (squared error per latent),
            `copy_error` (that of z_t in its place), `reward_error` and `done_loss`.

        Raises:
            ValueError: there was no data.
        """
        now, z = self._arrays, self.latent_size
        count = float(now["count"])
        if count == 0:
            raise ValueError("an echo memory cannot finish: it was given no steps to learn from")
        size = np.sqrt(np.diag(now["xx"]) / count)
        size[size < MIN_STD] = 1.0
        penalty = np.full(len(size), self._ridge)
        penalty[self._begun] = 1e-9  # the intercept: every row has begun
        with single_threaded:
            normal = now["xx"] / count / np.outer(size, size) + np.diag(penalty)
            heads = np.linalg.solve(normal, now["xy"] / count / size[:, None]) / size[:, None]
            fitted = np.einsum("fy,fy->y", heads, now["xx"] @ heads - 2.0 * now["xy"])
            ends, done_loss = self._ends.fit(size)
        errors = np.maximum((now["yy"] + fitted) / count, MIN_STD**2)
        now["heads"] = np.column_stack([heads, ends]).astype(np.float32)
        now["std"] = np.sqrt(errors[:z]).astype(np.float32)
        error = float(errors[:z].mean())
        return {
            "loss": error,
            "prediction_error": error,
            "copy_error": float(now["yy"][:z].mean() / count),
            "reward_error": float(errors[z]),
            "done_loss": done_loss,
        }

    def evaluate(self, batch: SequenceBatch) -> Metrics:
        """Scores a batch without learning.

        Returns:
            Means over real steps: `nll` (nats per latent, at temperature 1), `prediction_error`
            and `copy_error` (squared error per latent of the expected z_{t+1}, and of z_t in its
            place), `reward_error` (squared error), `reward_variance` (that of always expecting the
            batch's mean), `done_loss` (cross-entropy, nats), `done_rate` and `done_probability`.

        Raises:
            ValueError: the batch has no real step.
        """
        if not batch.mask.any():
            raise ValueError("an echo memory was given a batch whose mask is zero everywhere")
        x, _, targets, ends = self._rows(batch)
        with single_threaded:
            y = (x @ self._arrays["heads"]).astype(np.float64)
        z = self.latent_size
        errors = np.square(y[:, : z + 1] - targets)
        variance = np.square(self._arrays["std"].astype(np.float64))
        nll = 0.5 * (errors[:, :z] / variance + np.log(2.0 * np.pi * variance))
        return {
            "nll": float(nll.mean()),
            "prediction_error": float(errors[:, :z].mean()),
            "copy_error": float(np.square(targets[:, :z]).mean()),
            "reward_error": float(errors[:, z].mean()),
            "reward_variance": float(targets[:, z].var()),
            "done_loss": float(log_loss(y[:, z + 1], ends).mean()),
            "done_rate": float(ends.mean()),
            "done_probability": float(sigmoid(y[:, z + 1]).mean()),
        }

    def predict(
        self, state: Float, latents: Float, temperature: float, rng: np.random.Generator
    ) -> Prediction:
        """Samples z_{t+1}, expects r_t and the end; see `models.interfaces.Memory`.

        z_{t+1} and r_t stay near what the data held: a linear head fed with its own output could
        otherwise run away, and a controller that searches the dream would find where.

        Raises:
            ValueError: the temperature is not above 0.
        """
        if not temperature > 0:
            raise ValueError(f"temperature was {temperature}, expected more than 0")
        now, z = self._arrays, self.latent_size
        x = state.copy()
        x[:, self._z] = latents
        with single_threaded:
            y = x @ now["heads"]
        noise = rng.standard_normal(latents.shape).astype(np.float32)
        sampled = latents + y[:, :z] + now["std"] * np.float32(np.sqrt(temperature)) * noise
        margin = RANGE_MARGIN * (now["high"] - now["low"])
        low, high = now["low"] - margin, now["high"] + margin
        return Prediction(
            np.clip(sampled, low[:z], high[:z]).astype(np.float32, copy=False),
            np.clip(y[:, z], now["low"][z], now["high"][z]),
            sigmoid(y[:, z + 1]),
        )

    def state(self) -> State:
        """Returns copies of what was learned and accumulated; the reservoir is in its seed."""
        return {name: value.copy() for name, value in (self._arrays | self._ends.state()).items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Takes what `state` gave; raises ValueError, unchanged, if it does not fit."""
        loaded = {name: np.array(state[name]) for name in self._arrays if name in state}
        for name, value in self._arrays.items():
            given = loaded.get(name)
            if given is None or (given.shape, given.dtype) != (value.shape, value.dtype):
                found = "nothing" if given is None else f"{given.shape} {given.dtype}"
                raise ValueError(
                    f"an echo memory cannot load {name!r}: given {found}, expected {value.shape} "
                    f"{value.dtype}; build it with the arguments it was saved with"
                )
        self._ends.load_state(state)
        self._arrays = loaded
        self._draw_reservoir()

    def _scale_inputs(self, batch: SequenceBatch) -> None:
        """Fits the reservoir's inputs to the first batch's spread; later ones keep it."""
        real = batch.mask > 0
        seen, change = batch.latents[:, :-1][real], np.diff(batch.latents, axis=1)[real]
        self._arrays["centre"] = seen.mean(axis=0).astype(np.float32)
        spread = np.concatenate([seen.std(axis=0), change.std(axis=0)])
        self._arrays["scale"] = np.where(spread > MIN_STD, spread, 1.0).astype(np.float32)

    def _rows(self, batch: SequenceBatch) -> tuple[Float, Float, Float, NDArray[np.float32]]:
        """Returns features `[M, S]`, z_{t+1} `[M, Z]`, [change of z, reward] `[M, Z+1]` and ends
        `[M]` of the M real steps, in order of time."""
        state = self.initial_state(len(batch.latents))
        features = []
        for t in range(batch.actions.shape[1]):
            state = self.step(state, batch.latents[:, t], batch.actions[:, t])
            features.append(state)
        real = batch.mask > 0
        change = np.diff(batch.latents, axis=1)
        targets = np.concatenate([change, batch.rewards[..., None]], axis=2)
        x = np.stack(features, axis=1)[real]
        return x, batch.latents[:, 1:][real], targets[real], batch.terminated[real]


def _refuse_non_finite(batch: SequenceBatch) -> None:
    real = batch.mask > 0
    after = batch.latents[:, 1:]
    parts = (batch.latents[:, :-1], after, batch.actions, batch.rewards, batch.terminated)
    if not all(np.isfinite(part[real]).all() for part in parts):
        raise NonFiniteLoss(
            "a batch of M holds latents, actions or rewards that are not finite; expected numbers: "
            "look at V and at the collected rewards"
        )


if __name__ == "__main__":
    from models.selftest.world_model import check_memory

    raise SystemExit(check_memory("echo", lambda: EchoMemory(2, 2, 48), 60))
