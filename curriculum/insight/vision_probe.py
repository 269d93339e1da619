"""What V's latents say about where things are: regressions from z to true positions.

A linear readout tells what a linear controller could use; a second one on random Fourier features
(Rahimi & Recht 2007, algorithm 1) tells what is there at all. Scores are those of episodes that
neither the weights nor the strength of the penalty were chosen on: neighbouring frames are nearly
equal, so rows drawn at random would let a readout remember instead of read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.numeric.threads import single_threaded
from models.shapes import Bool, Float32, Float64, Shaped

Mask = NDArray[np.bool_]
Vector = NDArray[np.float64]

STRENGTHS = (1e-6, 1e-4, 1e-2, 1.0)
"""Penalties on squared weights, in units of each feature's mean square."""

KERNEL_SCALES = (0.5, 1.0, 2.0)
"""Widths of the Gaussian kernel, in units of the usual distance of two latents."""

ENOUGH_EPISODES = 5
GAP = 50
"""Rows left out between pieces of one episode, so that neighbours do not tell each other."""

FEWEST_ROWS = 20
_SMALLEST_SPREAD = 0.02


class Split(NamedTuple):
    """Which rows, `[n]` bool each, are learned from, choose the penalty, and are scored."""

    train: Mask
    choose: Mask
    test: Mask


@dataclass(frozen=True)
class Readout:
    """Linear maps from latents to coordinates.

    Attributes:
        names: of the P coordinates.
        weights: `[Z, P]` float64.
        intercept: `[P]` float64.
    """

    names: tuple[str, ...]
    weights: Float64[np.ndarray, "Z P"]
    intercept: Float64[np.ndarray, " P"]

    def __call__(self, latents: np.ndarray) -> dict[str, Vector]:
        """Reads positions `[...]` in pixels, by name, from latents `[..., Z]`."""
        found = np.asarray(latents, np.float64) @ self.weights + self.intercept
        return {name: found[..., place] for place, name in enumerate(self.names)}


def probe(
    latents: Float32[np.ndarray, "n Z"],
    positions: Mapping[str, np.ndarray],
    visible: Mapping[str, np.ndarray],
    episodes: np.ndarray,
    *,
    strengths: Sequence[float] = STRENGTHS,
    fourier_features: int = 256,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Scores how well positions can be read from latents.

    Args:
        latents: `[n, Z]`, V's means.
        positions: name to `[n]`, pixels.
        visible: name to `[n]` bool; other rows are left out for that name.
        episodes: `[n]`, the episode of each row, in the order of time; see `split_rows`.
        strengths: penalties to choose among.
        fourier_features: D of the kernel readout, which also has the latents themselves.
        seed: of the split and the random features.

    Returns:
        By name `r2` and `mae_pixels` of the linear readout, `kernel_r2` and `kernel_mae_pixels` of
        the other, and `rows`, how many were scored. R^2 is 1 - squared error / squared distance
        from the scored rows' own mean, so it is below zero for a readout worse than a constant. A
        name that is visible in too few rows, or never moves in the scored ones, is left out.

    Raises:
        ValueError: lengths differ, or there are too few rows to split.
    """
    _check(latents, positions, visible, episodes)
    split = split_rows(episodes, seed)
    z = _standardised(latents, split.train)
    maps = [np.hstack([z, f]) for f in _fourier(z, fourier_features, seed)]
    scores: dict[str, dict[str, float]] = {}
    for name, place in positions.items():
        target, seen = np.asarray(place, np.float64), np.asarray(visible[name], np.bool_)
        if not _enough(target, seen, split):
            continue
        r2, error = _held_out_score([z], target, seen, split, strengths)
        kernel_r2, kernel_error = _held_out_score(maps, target, seen, split, strengths)
        scores[name] = {
            "r2": r2,
            "mae_pixels": error,
            "kernel_r2": kernel_r2,
            "kernel_mae_pixels": kernel_error,
            "rows": float((seen & split.test).sum()),
        }
    return scores


def fit_readout(
    latents: Float32[np.ndarray, "n Z"],
    positions: Mapping[str, np.ndarray],
    visible: Mapping[str, np.ndarray],
    *,
    strength: float = 1e-4,
) -> Readout:
    """Fits the linear readout on all rows given; score it on others.

    Args:
        latents: `[n, Z]`.
        positions, visible: name to `[n]`, as in `probe`.
        strength: penalty, in units of each feature's mean square.

    Raises:
        ValueError: lengths differ, or a thing is visible in fewer than 20 rows.
    """
    _check(latents, positions, visible, np.zeros(len(latents)))
    mean, spread = _centre_and_spread(latents)
    z = (np.asarray(latents, np.float64) - mean) / spread
    weights, intercepts = [], []
    for name, place in positions.items():
        seen = np.asarray(visible[name], np.bool_)
        if seen.sum() < FEWEST_ROWS:
            raise ValueError(
                f"{name} is visible in {int(seen.sum())} rows, expected at least {FEWEST_ROWS}: "
                "play more steps"
            )
        fitted = _Ridge(z[seen], np.asarray(place, np.float64)[seen]).solve(strength)
        weights.append(fitted[0] / spread)
        intercepts.append(fitted[1] - mean @ weights[-1])
    return Readout(tuple(positions), np.stack(weights, axis=1), np.array(intercepts))


def split_rows(episodes: Shaped[np.ndarray, " n"], seed: int = 0) -> Split:
    """Splits rows about 60 : 20 : 20, by episodes, or by time where there are fewer than five.

    Args:
        episodes: `[n]`, the episode of each row, in the order of time.
        seed: draws which episodes go where.

    Raises:
        ValueError: there are too few rows to cut them by time.
    """
    episodes = np.asarray(episodes)
    names = np.random.default_rng([seed, 1]).permutation(np.unique(episodes))
    if len(names) >= ENOUGH_EPISODES:
        part = len(names) // 5
        chosen = (names[2 * part :], names[part : 2 * part], names[:part])
        return Split(*(np.isin(episodes, some) for some in chosen))
    rows, gap = np.arange(len(episodes)), GAP
    first, second = int(0.6 * len(rows)), int(0.8 * len(rows))
    if second - first < 2 * gap:
        raise ValueError(
            f"{len(rows)} rows of {len(names)} episodes are too few to hold some out: play at "
            f"least {ENOUGH_EPISODES} episodes or {10 * gap} rows"
        )
    return Split(rows < first, (rows >= first + gap) & (rows < second), rows >= second + gap)


class _Ridge:
    """Ridge regressions of one target for any penalty (Hoerl & Kennard 1970), mean taken off."""

    def __init__(
        self, features: Float64[np.ndarray, "n F"], target: Float64[np.ndarray, " n"]
    ) -> None:
        self._mean, self._offset = features.mean(axis=0), float(target.mean())
        centred = features - self._mean
        with single_threaded:
            self._values, self._vectors = np.linalg.eigh(centred.T @ centred / len(target))
            self._projected = self._vectors.T @ (centred.T @ (target - self._offset) / len(target))

    def solve(self, strength: float) -> tuple[Float64[np.ndarray, " F"], float]:
        """Returns weights `[F]` and the intercept."""
        shrunk = self._projected / (np.maximum(self._values, 0.0) + strength)
        weights = self._vectors @ shrunk
        return weights, self._offset - float(self._mean @ weights)


def _held_out_score(
    maps: Sequence[Vector], target: Vector, seen: Mask, split: Split, strengths: Sequence[float]
) -> tuple[float, float]:
    """Returns R^2 and mean absolute error of the best map and penalty, on the scored rows."""
    train, choose, test = (part & seen for part in split)
    best, guesses = np.inf, np.zeros(int(test.sum()))
    for features in maps:
        ridge = _Ridge(features[train], target[train])
        for strength in strengths:
            weights, intercept = ridge.solve(strength)
            error = np.square(features[choose] @ weights + intercept - target[choose]).mean()
            if error < best:
                best, guesses = error, features[test] @ weights + intercept
    off = guesses - target[test]
    spread = np.square(target[test] - target[test].mean()).mean()
    return float(1.0 - np.square(off).mean() / spread), float(np.abs(off).mean())


def _fourier(
    z: Float64[np.ndarray, "n Z"], size: int, seed: int
) -> list[Float64[np.ndarray, "n D"]]:
    """Returns cos(w z + b) of `size` random w for each of the kernel's widths, `[n, D]` each."""
    rng = np.random.default_rng([seed, 2])
    usual = np.sqrt(2.0 * np.square(z).mean(axis=0).sum())
    directions = rng.standard_normal((z.shape[1], size)) / max(usual, _SMALLEST_SPREAD)
    phases = rng.uniform(0.0, 2.0 * np.pi, size)
    with single_threaded:
        turns = z @ directions
    return [np.sqrt(2.0) * np.cos(turns / scale + phases) for scale in KERNEL_SCALES]


def _centre_and_spread(
    latents: Shaped[np.ndarray, "n Z"],
) -> tuple[Float64[np.ndarray, " Z"], Float64[np.ndarray, " Z"]]:
    """Returns means and standard deviations; a latent that hardly varies is not blown up."""
    values = np.asarray(latents, np.float64)
    spread = np.sqrt(values.var(axis=0))
    floor = _SMALLEST_SPREAD * float(spread.max()) or 1.0
    return np.asarray(values.mean(axis=0)), np.maximum(spread, floor)


def _standardised(latents: Shaped[np.ndarray, "n Z"], train: Mask) -> Float64[np.ndarray, "n Z"]:
    mean, spread = _centre_and_spread(latents[train])
    return (np.asarray(latents, np.float64) - mean) / spread


def _enough(target: Float64[np.ndarray, " n"], seen: Bool[np.ndarray, " n"], split: Split) -> bool:
    rows = [int((part & seen).sum()) for part in split]
    return min(rows) >= FEWEST_ROWS and float(np.ptp(target[split.test & seen])) > 0


def _check(
    latents: np.ndarray,
    positions: Mapping[str, np.ndarray],
    visible: Mapping[str, np.ndarray],
    episodes: np.ndarray,
) -> None:
    lengths = {len(latents), len(episodes), *map(len, positions.values())}
    missing = set(positions) - set(visible)
    if np.ndim(latents) != 2 or missing or len(lengths | {len(visible[n]) for n in positions}) > 1:
        raise ValueError(
            f"latents {np.shape(latents)}, episodes and positions have lengths {sorted(lengths)} "
            f"and {sorted(missing) or 'no names'} lack visibility; expected [n, Z] and n of each"
        )
