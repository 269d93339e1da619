"""Latents on disk, one per row of the collected data, and the sequences that M learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curriculum.datasets import columns
from curriculum.datasets.columns import ColumnWriter, open_column
from curriculum.datasets.episodes import FINAL, TERMINATED, Dataset
from models.interfaces import Float, SequenceBatch


class LatentWriter:
    """Appends V's posterior for the rows of a dataset, in their order.

    Args:
        directory: created if missing; what is there is continued.
        latent_size: Z.
    """

    def __init__(self, directory: Path, latent_size: int) -> None:
        self._mean = ColumnWriter(directory / "mean.bin", "float32", (latent_size,))
        self._log_var = ColumnWriter(directory / "log_var.bin", "float32", (latent_size,))
        self._mean.rows = self._log_var.rows = min(self._mean.rows, self._log_var.rows)

    @property
    def num_rows(self) -> int:
        return self._mean.rows

    def append(self, mean: np.ndarray, log_var: np.ndarray) -> None:
        """Appends means and log variances, `[n, Z]` each.

        Raises:
            ValueError: shapes differ.
            RunIOError: the disk refused.
        """
        if np.shape(mean) != np.shape(log_var):
            raise ValueError(f"means {np.shape(mean)} and log variances {np.shape(log_var)} differ")
        before = self.num_rows
        try:
            self._mean.append(mean)
            self._log_var.append(log_var)
        finally:
            if self._log_var.rows == before:
                self._mean.rows = before

    def sync(self) -> None:
        """Waits until all rows are on the disk; do this before a commit names `lengths`."""
        self._mean.sync()
        self._log_var.sync()

    def lengths(self) -> dict[str, int]:
        """Returns the lengths to commit in bytes, by file name."""
        return columns.lengths((self._mean, self._log_var))

    def cut(self, committed: Mapping[str, int]) -> None:
        """Cuts back to committed lengths; to nothing if the mapping is empty."""
        columns.cut((self._mean, self._log_var), committed)


@dataclass(frozen=True)
class Latents:
    """V's posterior of every row: mean and log variance, `[rows, Z]` float32 each."""

    mean: Float
    log_var: Float

    @classmethod
    def open(cls, directory: Path) -> Latents:
        """Maps what a `LatentWriter` wrote.

        Raises:
            RunIOError: it is missing or damaged.
        """
        return cls(open_column(directory / "mean.bin"), open_column(directory / "log_var.bin"))

    def sample(self, rows: np.ndarray, rng: np.random.Generator | None) -> Float:
        """Draws z of each row, `[*rows.shape, Z]`; the mean if there is no generator."""
        mean = np.array(self.mean[rows])
        if rng is None:
            return mean
        noise = rng.standard_normal(mean.shape, np.float32)
        return mean + np.exp(0.5 * self.log_var[rows]) * noise


def sample_sequences(
    data: Dataset,
    latents: Latents,
    starts: np.ndarray,
    length: int,
    rng: np.random.Generator | None = None,
    *,
    jitter: bool = False,
) -> SequenceBatch:
    """Cuts sequences of `length` steps out of the data; none crosses an episode.

    Args:
        data: the episodes.
        latents: V's posterior of the same rows.
        starts: `[B]`, first rows of the sequences, e.g. some of `data.sequence_starts(length)`.
        length: T.
        rng: draws z from the posterior (and the jitter); None takes the means.
        jitter: move each start by up to half a length, so that no step is always a first one;
            a moved sequence is full if its episode has enough steps.

    Returns:
        B sequences; steps after an episode's end are masked and zero, latents there repeat
        the row of the final observation.

    Raises:
        ValueError: jitter without a generator, or latents of another number of rows.
    """
    if len(latents.mean) != data.num_rows:
        raise ValueError(f"there are {len(latents.mean)} latents for {data.num_rows} rows of data")
    starts = np.asarray(starts, np.int64)
    final = data.final_rows(starts)
    if jitter:
        if rng is None:
            raise ValueError("jitter needs a generator")
        starts = _moved(starts, data.first_rows(starts), final, length, rng)
    rows = np.minimum(starts[:, None] + np.arange(length + 1), final[:, None])
    steps = rows[:, :-1]
    ends = data.ends(steps)
    return SequenceBatch(
        latents=latents.sample(rows, rng),
        actions=data.actions(steps),
        rewards=data.rewards(steps),
        terminated=(ends == TERMINATED).astype(np.float32),
        mask=(ends != FINAL).astype(np.float32),
    )


def _moved(
    starts: NDArray[np.int64],
    first: NDArray[np.int64],
    final: NDArray[np.int64],
    length: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    half = length // 2
    moved = starts + rng.integers(-half, half + 1, size=starts.shape)
    return np.clip(moved, first, np.maximum(first, final - length))
