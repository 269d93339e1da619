"""How exactly V's key points are where things are, without a regression from all of them.

One coordinate of one key point is held against each true one, by a line that minimises absolute
errors: frames in which a key point is elsewhere altogether must not bend it, and are counted.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from curriculum.insight.vision_probe import FEWEST_ROWS, Split, split_rows
from models.shapes import Bool, Float64, Shaped

NEAR = 2.0
"""Pixels within which a key point counts as being there."""

_ROUNDS = 30
_TINY = 1e-3


def probe_key_points(
    places: Shaped[np.ndarray, "n L"],
    positions: Mapping[str, np.ndarray],
    visible: Mapping[str, np.ndarray],
    episodes: np.ndarray,
    *,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Scores how well single coordinates of key points tell true positions.

    Args:
        places: `[n, 2 K]`, x and y of each key point, in any unit.
        positions: name to `[n]`, pixels.
        visible: name to `[n]` bool; other rows are left out for that name.
        episodes: `[n]`, the episode of each row; see `vision_probe.split_rows`.
        seed: of the split.

    Returns:
        By name, of held-out episodes: `near`, the share of rows within 2 pixels of the line through
        the best coordinate, `r2`, `median_pixels` of the absolute error, `key_point`, whose
        coordinate it is, and `rows`. The line is fitted, and the coordinate chosen, on the others.
        A name that is visible in too few rows is left out.

    Raises:
        ValueError: there are too few rows to split.
    """
    split = split_rows(episodes, seed)
    scores: dict[str, dict[str, float]] = {}
    for name, place in positions.items():
        seen = np.asarray(visible[name], np.bool_)
        if min(int((part & seen).sum()) for part in split) >= FEWEST_ROWS:
            scores[name] = _score(
                np.asarray(places, np.float64), np.asarray(place, np.float64), seen, split
            )
    return scores


def _score(
    places: Float64[np.ndarray, "n L"],
    target: Float64[np.ndarray, " n"],
    seen: Bool[np.ndarray, " n"],
    split: Split,
) -> dict[str, float]:
    train, choose, test = (part & seen for part in split)
    lines = [_line(column[train], target[train]) for column in places.T]
    guesses = np.stack([a + b * p for (a, b), p in zip(lines, places.T, strict=True)], axis=1)
    errors = np.abs(guesses - target[:, None])
    best = int((errors[choose] <= NEAR).mean(axis=0).argmax())
    off = errors[test, best]
    spread = np.square(target[test] - target[test].mean()).mean()
    return {
        "near": float((off <= NEAR).mean()),
        "r2": float(1.0 - np.square(off).mean() / spread) if spread else 0.0,
        "median_pixels": float(np.median(off)),
        "key_point": float(best // 2),
        "rows": float(len(off)),
    }


def _line(x: Float64[np.ndarray, " m"], y: Float64[np.ndarray, " m"]) -> tuple[float, float]:
    """Returns intercept and slope of the least absolute errors, by reweighted least squares.

    Schlossmacher 1973, "An iterative technique for absolute deviations curve fitting".
    """
    weights = np.ones(len(x))
    intercept, slope = 0.0, 0.0
    for _ in range(_ROUNDS):
        mass = weights.sum()
        middle_x, middle_y = (weights @ x) / mass, (weights @ y) / mass
        variance = weights @ np.square(x - middle_x)
        slope = float(weights @ ((x - middle_x) * (y - middle_y)) / variance) if variance else 0.0
        intercept = float(middle_y - slope * middle_x)
        weights = 1.0 / np.maximum(np.abs(y - intercept - slope * x), _TINY)
    return intercept, slope
