"""Logistic regression for rare events, from a bounded sample that is drawn as the data pass by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.interfaces import State
from models.shapes import Float32, Float64, Shaped

MAX_EVENTS, MAX_OTHERS = 1024, 3072
PRIOR_STD = 0.25
"""Measured: with a hundred events among ten thousand rows, unseen ones are predicted best so."""

NEWTON_STEPS, HALVINGS = 25, 12
TOLERANCE = 1e-9
MAX_LOGIT = 30.0


def sigmoid(logits: Shaped[np.ndarray, "*S"]) -> Shaped[np.ndarray, "*S"]:
    """Returns probabilities of the logits' shape and dtype, without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def log_loss(
    logits: Shaped[np.ndarray, "*S"], events: Shaped[np.ndarray, "*S"]
) -> Shaped[np.ndarray, "*S"]:
    """Returns the cross-entropy in nats of each logit, given events of 0 or 1."""
    return np.logaddexp(0.0, logits) - events * logits


def most_bytes(size: int) -> int:
    """Returns how many bytes the state of a full `RareEvents` of so many features has."""
    return 2 * 8 + (MAX_EVENTS + MAX_OTHERS) * (4 * size + 8)


class RareEvents:
    """P(event | x), learned from at most 1,024 events and 3,072 other rows.

    Rows are kept by the smallest of random keys (reservoir sampling, Efraimidis & Spirakis 2006),
    each side on its own; the fit weighs them by how many they stand for, so probabilities
    are those of the whole stream (King & Zeng 2001, section 4.2) however rare events are.

    Args:
        size: features of a row, the last one always 1.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._arrays: State = {}
        for side in ("events", "others"):
            self._arrays[f"{side}_seen"] = np.zeros((), np.int64)
            self._arrays[f"{side}_rows"] = np.zeros((0, size), np.float32)
            self._arrays[f"{side}_keys"] = np.zeros(0)

    def add(
        self,
        rows: Float32[np.ndarray, "M F"],
        events: Shaped[np.ndarray, " M"],
        rng: np.random.Generator,
    ) -> None:
        """Offers rows `[M, size]` and their events `[M]` of 0 or 1 to the sample."""
        keys = rng.random(len(rows))
        happened = events > 0.5
        self._offer("events", rows[happened], keys[happened], MAX_EVENTS)
        self._offer("others", rows[~happened], keys[~happened], MAX_OTHERS)

    def _offer(
        self,
        side: str,
        rows: Float32[np.ndarray, "M F"],
        keys: Float64[np.ndarray, " M"],
        most: int,
    ) -> None:
        now = self._arrays
        now[f"{side}_seen"] = np.asarray(now[f"{side}_seen"] + len(rows))
        all_keys = np.concatenate([now[f"{side}_keys"], keys])
        kept = np.sort(all_keys.argsort(kind="stable")[:most])
        now[f"{side}_rows"] = np.concatenate([now[f"{side}_rows"], rows])[kept]
        now[f"{side}_keys"] = all_keys[kept]

    def fit(self, scale: Float64[np.ndarray, " F"]) -> tuple[Float64[np.ndarray, " F"], float]:
        """Fits the likeliest weights by Newton's method with step halving (IRLS).

        Args:
            scale: `[size]`, what each feature is divided by; then weights have a normal prior
                of standard deviation `PRIOR_STD`, all but the intercept.

        Returns:
            Weights `[size]` of the unscaled features, and the mean cross-entropy in nats. Where
            nothing or everything is an event, only the intercept is not zero.
        """
        now = self._arrays
        seen = np.array([now["events_seen"], now["others_seen"]], np.float64)
        weights = np.zeros(self._size)
        rate = (seen[0] + 0.5) / (seen.sum() + 1.0)
        weights[-1] = np.log(rate / (1.0 - rate))
        sides = (now["events_rows"], now["others_rows"])
        if not all(len(side) for side in sides):
            return weights, float(np.logaddexp(0.0, -abs(weights[-1])))
        x = np.concatenate(sides).astype(np.float64) / scale
        kept = np.array([len(side) for side in sides])
        y = np.repeat([1.0, 0.0], kept)
        stands_for = np.repeat(seen / kept / seen.sum(), kept)
        weights[-1] *= scale[-1]
        penalty = np.full(self._size, 1.0 / (PRIOR_STD**2 * seen.sum()))
        penalty[-1] = 0.0
        weights = _newton(x, y, stands_for, penalty, weights)
        return weights / scale, float(stands_for @ log_loss(x @ weights, y))

    def state(self) -> State:
        """Returns the sample (not copied)."""
        return {f"sample_{name}": value for name, value in self._arrays.items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Takes what `state` gave; raises ValueError, unchanged, if it does not fit."""
        missing = [name for name in self._arrays if f"sample_{name}" not in state]
        if missing:
            raise ValueError(f"a sample of events cannot be loaded: {missing[0]!r} is missing")
        loaded = {name: np.array(state[f"sample_{name}"]) for name in self._arrays}
        for side in ("events", "others"):
            shape, keys = loaded[f"{side}_rows"].shape, loaded[f"{side}_keys"].shape
            if shape != (*keys, self._size):
                raise ValueError(
                    f"a sample of events cannot be loaded: its rows are {shape}, expected "
                    f"{(*keys, self._size)}; build its owner with the arguments it was saved with"
                )
        self._arrays = loaded


def _newton(
    x: Float64[np.ndarray, "M F"],
    y: Float64[np.ndarray, " M"],
    stands_for: Float64[np.ndarray, " M"],
    penalty: Float64[np.ndarray, " F"],
    weights: Float64[np.ndarray, " F"],
) -> Float64[np.ndarray, " F"]:
    """Minimises the weighted cross-entropy plus half the penalised squares of the weights."""

    def objective(at: Float64[np.ndarray, " F"]) -> float:
        logits = np.clip(x @ at, -MAX_LOGIT, MAX_LOGIT)
        return float(stands_for @ log_loss(logits, y) + 0.5 * penalty @ np.square(at))

    value = objective(weights)
    for _ in range(NEWTON_STEPS):
        p = sigmoid(x @ weights)
        gradient = x.T @ (stands_for * (p - y)) + penalty * weights
        curvature = stands_for * p * (1.0 - p)
        hessian = (x.T * curvature) @ x + np.diag(penalty + 1e-12)
        direction = np.linalg.solve(hessian, gradient)
        for halving in range(HALVINGS):
            tried = weights - direction * 0.5**halving
            reached = objective(tried)
            if reached < value:
                break
        else:
            return weights
        gained, weights, value = value - reached, tried, reached
        if gained < TOLERANCE:
            return weights
    return weights
