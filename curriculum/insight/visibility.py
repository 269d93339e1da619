"""How much of a ball is in the frames that V is shown: what is not there, nobody can learn."""

from __future__ import annotations

import numpy as np

from curriculum.insight.ground_truth import Truth

AROUND = 4
"""Frames before and after that tell what a place looks like without the ball."""

REACH = 2
"""Pixels around the ball's middle in which it is looked for."""

FAINT = 8
"""Steps of brightness, of 255, from which on a pixel is not the background's."""

FEWEST_FRAMES = 20


def ball_contrast(truth: Truth) -> dict[str, float]:
    """Measures the ball against what its place looks like without it.

    That is the pixelwise median of the frames around: the ball stays nowhere for half of nine.
    Frames with a brick that fell or another part of the game nearby are measured as any other.

    Args:
        truth: rows of played games, in which the ball's places are known.

    Returns:
        `brightest`, the largest difference near the ball in steps of brightness, the mean over
        frames; `faintest`, the same of the frame that 5 % are fainter than; `pixels`, how many
        differ by 8 steps or more, the mean; `unseen`, the share of frames in which none does;
        `frames`. Nothing where the game has no ball, or too few frames show it.
    """
    if not {"ball_x", "ball_y"} <= truth.positions.keys():
        return {}
    y, x = truth.positions["ball_y"], truth.positions["ball_x"]
    rows = _rows_within_episodes(truth)
    rows = rows[truth.visible["ball_x"][rows] & truth.visible["ball_y"][rows]]
    if rows.size < FEWEST_FRAMES:
        return {}
    differences = np.stack(
        [_difference(truth.frames, row, float(y[row]), float(x[row])) for row in rows.tolist()]
    )
    brightest = differences.max(axis=(1, 2))
    pixels = (differences >= FAINT).sum(axis=(1, 2))
    return {
        "brightest": float(brightest.mean()),
        "faintest": float(np.quantile(brightest, 0.05)),
        "pixels": float(pixels.mean()),
        "unseen": float((pixels == 0).mean()),
        "frames": float(rows.size),
    }


def _rows_within_episodes(truth: Truth) -> np.ndarray:
    """Returns the rows that have so many of their own episode before and after them."""
    rows = np.arange(AROUND, len(truth.episodes) - AROUND)
    same = truth.episodes[rows - AROUND] == truth.episodes[rows + AROUND]
    return rows[same]


def _difference(frames: np.ndarray, row: int, y: float, x: float) -> np.ndarray:
    """Returns how far pixels near a place are from the background, `[5, 5]`, 0 outside."""
    size = frames.shape[1]
    top, left = (int(np.clip(round(at) - REACH, 0, size - 2 * REACH - 1)) for at in (y, x))
    side = slice(top, top + 2 * REACH + 1), slice(left, left + 2 * REACH + 1)
    around = frames[row - AROUND : row + AROUND + 1, *side, 0].astype(np.int64)
    background = np.median(np.delete(around, AROUND, axis=0), axis=0)
    return np.abs(around[AROUND] - background)
