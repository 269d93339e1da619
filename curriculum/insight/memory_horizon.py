"""How far M sees: its own predictions fed back to it, with the actions that were really taken.

M follows real latents for some steps, then sees only what it predicted itself. Beside it stand two
forecasts that know nothing: nothing moves, and everything moves on as it moved last. M says what it
expects in two ways, because the interface has samples and no means:

* `likely`: one dream at a temperature near zero, in which each step takes the likeliest
  Gaussian's mean. Where M thinks two things possible it chooses one.
* `mean`: the average over several dreams at temperature 1, an estimate of the expected latents,
  whose own error is 1 / samples of the dreams' variance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curriculum.insight.vision_probe import Readout
from curriculum.world.world_model import WorldModel
from models.interfaces import Float
from models.shapes import Float32, Int64, Shaped

Curve = NDArray[np.float64]

LOW_TEMPERATURE = 0.01
FACT_HORIZONS = (1, 5, 15, 30, 50)
FORECASTS = ("likely", "mean", "copy", "velocity")
ROWS_AT_ONCE = 4096
"""Dreams that are stepped together."""


@dataclass(frozen=True)
class Horizon:
    """Errors of forecasts of 1 to K steps; place k - 1 of a curve is k steps.

    Attributes:
        errors: of each of `FORECASTS`, `[K]`: squared error summed over latents, in units of the
            latents' summed variance. 1 is as bad as always saying the mean.
        pixels: coordinate to forecast to `[K]`: mean absolute error in pixels of what the readout
            reads from the forecast; besides the forecasts `readout`, which reads the true latents
            and is what the readout itself gets wrong. Empty without a readout. A horizon at which
            nothing is visible is NaN.
        starts: how many forecasts were averaged.
    """

    errors: dict[str, Curve]
    pixels: dict[str, dict[str, Curve]]
    starts: int

    def facts(self, horizons: Sequence[int] = FACT_HORIZONS) -> dict[str, float]:
        """Returns the curves at some horizons, e.g. `likely_15` and `ball_x_pixels_likely_15`.

        Horizons beyond the curves and NaN are left out. `beats_copy_until` is the number of steps
        for which the mean dream is better than to say that nothing moves, without a gap.
        """
        curves = dict(self.errors)
        for name, by_forecast in self.pixels.items():
            for forecast, curve in by_forecast.items():
                curves[f"{name}_pixels_{forecast}"] = curve
        found = {
            f"{name}_{k}": float(curve[k - 1])
            for name, curve in curves.items()
            for k in horizons
            if k <= len(curve) and np.isfinite(curve[k - 1])
        }
        worse = np.flatnonzero(~(self.errors["mean"] < self.errors["copy"]))
        steps = int(worse[0]) if worse.size else len(self.errors["mean"])
        return {**found, "beats_copy_until": float(steps)}


@dataclass(frozen=True)
class _Starts:
    """S places where forecasts begin: sequence, step, and M's state `[S, ...]` before z there."""

    sequence: Int64[np.ndarray, " S"]
    step: Int64[np.ndarray, " S"]
    states: Float32[np.ndarray, "S M"]


def open_loop(
    world: WorldModel,
    latents: Float,
    actions: Float,
    mask: np.ndarray,
    rng: np.random.Generator,
    *,
    warm_up: int = 10,
    horizon: int = 50,
    stride: int = 25,
    samples: int = 8,
    readout: Readout | None = None,
    positions: Mapping[str, np.ndarray] | None = None,
    visible: Mapping[str, np.ndarray] | None = None,
) -> Horizon:
    """Measures M's forecasts on sequences that it has not learned from.

    Args:
        world: whose M is measured; it is only read.
        latents: `[B, T+1, Z]`, those of a `SequenceBatch`; V's means give the plainest numbers.
        actions: `[B, T, A]`, encoded.
        mask: `[B, T]`, zero after an episode's end.
        rng: M's noise.
        warm_up: real steps that M sees before its first forecast, at least 1.
        horizon: K, at most T - warm_up.
        stride: steps between one forecast's start and the next one's in a sequence.
        samples: dreams that `mean` averages.
        readout: makes pixels of latents; see `vision_probe.fit_readout`.
        positions, visible: coordinate to `[B, T+1]`, the truth for the readout's names.

    Raises:
        ValueError: shapes disagree, or no sequence has warm_up + horizon real steps.
    """
    _check(latents, actions, mask, warm_up, horizon)
    starts = _warmed(world, latents, actions, np.asarray(mask), warm_up, horizon, stride)
    if (readout is None) != (positions is None) or (readout is None) != (visible is None):
        raise ValueError("a readout needs positions and visibility, and they need a readout")
    truth = latents[starts.sequence[:, None], starts.step[:, None] + np.arange(horizon + 1)]
    forecasts = {
        "likely": _dreams(world, truth, actions, starts, horizon, LOW_TEMPERATURE, 1, rng),
        "mean": _dreams(world, truth, actions, starts, horizon, 1.0, samples, rng),
        **_baselines(latents, starts, horizon),
    }
    real = np.concatenate([np.asarray(mask)[:, :1] > 0, np.asarray(mask) > 0], axis=1)
    variance = float(latents[real].astype(np.float64).var(axis=0).sum())
    errors = {
        name: np.square(found - truth[:, 1:], dtype=np.float64).sum(axis=2).mean(axis=0)
        / max(variance, 1e-12)
        for name, found in forecasts.items()
    }
    pixels: dict[str, dict[str, Curve]] = {}
    if readout is not None and positions is not None and visible is not None:
        forecasts["readout"] = truth[:, 1:]
        pixels = _pixel_errors(readout, forecasts, positions, visible, starts)
    return Horizon(errors, pixels, len(starts.step))


def _warmed(
    world: WorldModel,
    latents: Float32[np.ndarray, "B S Z"],
    actions: Float32[np.ndarray, "B T A"],
    mask: Shaped[np.ndarray, "B T"],
    warm_up: int,
    horizon: int,
    stride: int,
) -> _Starts:
    """Leads M through the sequences and keeps its state wherever a forecast starts."""
    lengths = (np.cumprod(mask > 0, axis=1)).sum(axis=1)
    state = world.begin(len(latents))
    last = int(lengths.max(initial=0)) - horizon
    sequences: list[np.ndarray] = []
    steps: list[np.ndarray] = []
    states: list[np.ndarray] = []
    for step in range(last + 1):
        if step >= warm_up and (step - warm_up) % stride == 0:
            here = np.flatnonzero(lengths >= step + horizon)
            sequences.append(here)
            steps.append(np.full(len(here), step))
            states.append(state[here])
        if step < last:
            state = world.remember(state, latents[:, step], actions[:, step])
    if not sequences:
        raise ValueError(
            f"the longest of {len(latents)} sequences has {last + horizon} real steps, expected "
            f"{warm_up} to warm up and {horizon} to forecast: cut longer ones or ask for less"
        )
    return _Starts(np.concatenate(sequences), np.concatenate(steps), np.concatenate(states))


def _dreams(
    world: WorldModel,
    truth: Float32[np.ndarray, "S L Z"],
    actions: Float32[np.ndarray, "B T A"],
    starts: _Starts,
    horizon: int,
    temperature: float,
    samples: int,
    rng: np.random.Generator,
) -> Float32[np.ndarray, "S K Z"]:
    """Returns forecasts `[S, K, Z]`, averaged over `samples` dreams from each start."""
    found = np.empty((len(truth), horizon, truth.shape[2]), np.float32)
    at_once = max(1, ROWS_AT_ONCE // samples)
    for first in range(0, len(truth), at_once):
        rows = np.arange(first, min(first + at_once, len(truth)))
        copies = np.repeat(rows, samples)
        z, state = truth[copies, 0], starts.states[copies]
        sequence, step = starts.sequence[copies], starts.step[copies]
        for k in range(horizon):
            taken = actions[sequence, step + k]
            state, imagined = world.imagine(state, z, taken, temperature, rng)
            z = imagined.latents
            found[rows, k] = z.reshape(len(rows), samples, -1).mean(axis=1)
    return found


def _baselines(
    latents: Float32[np.ndarray, "B T Z"], starts: _Starts, horizon: int
) -> dict[str, Float32[np.ndarray, "S K Z"]]:
    """Returns z_t, and z_t + k (z_t - z_{t-1}), `[S, K, Z]` each."""
    now = latents[starts.sequence, starts.step]
    change = now - latents[starts.sequence, starts.step - 1]
    k = np.arange(1, horizon + 1, dtype=np.float32)[:, None]
    copy = np.repeat(now[:, None], horizon, axis=1)
    moved = np.asarray(copy + k * change[:, None], np.float32)
    return {"copy": copy, "velocity": moved}


def _pixel_errors(
    readout: Readout,
    forecasts: Mapping[str, np.ndarray],
    positions: Mapping[str, np.ndarray],
    visible: Mapping[str, np.ndarray],
    starts: _Starts,
) -> dict[str, dict[str, Curve]]:
    """Returns mean absolute errors `[K]`, over starts where a thing is visible then and now."""
    horizon = next(iter(forecasts.values())).shape[1]
    rows, columns = starts.sequence[:, None], starts.step[:, None] + np.arange(1, horizon + 1)
    read = {name: readout(found) for name, found in forecasts.items()}
    errors: dict[str, dict[str, Curve]] = {}
    for name in readout.names:
        place = np.asarray(positions[name], np.float64)[rows, columns]
        shown = np.asarray(visible[name], np.bool_)
        seen = shown[rows, columns] & shown[starts.sequence, starts.step][:, None]
        count = np.where(seen.any(axis=0), seen.sum(axis=0), np.nan)
        errors[name] = {
            forecast: np.where(seen, np.abs(found[name] - place), 0.0).sum(axis=0) / count
            for forecast, found in read.items()
        }
    return errors


def _check(
    latents: np.ndarray, actions: np.ndarray, mask: np.ndarray, warm_up: int, horizon: int
) -> None:
    given = (latents.shape[:2], actions.shape[:2], np.shape(mask))
    batch, steps = np.shape(mask)
    if given != ((batch, steps + 1), (batch, steps), (batch, steps)):
        raise ValueError(
            f"latents, actions and mask begin with {given}, expected [B, T+1], [B, T] and [B, T]"
        )
    if warm_up < 1 or horizon < 1:
        raise ValueError(f"warm_up was {warm_up} and horizon {horizon}, expected at least 1")
