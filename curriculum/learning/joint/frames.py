"""Frames that C's play has shown, in append-only columns, for a V that goes on learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from curriculum.datasets import columns
from curriculum.datasets.mapped import MappedColumn
from models.interfaces import Frames


class Pairs(NamedTuple):
    """Frames `[B, H, W, C]` uint8 and those one step before them, of the same episodes."""

    frames: Frames
    previous: Frames


class FrameReplay:
    """Frames of N environments, oldest first, of which the last `capacity` steps are drawn from.

    Args:
        directory: of the columns; those that are there are continued, see `cut`.
        num_envs: N.
        frame_shape: `(H, W, C)`.
        capacity: steps that are drawn from; older ones stay on the disk.

    Raises:
        RunIOError: the columns that are there have other shapes, or the disk refused.
    """

    def __init__(
        self, directory: Path, num_envs: int, frame_shape: Sequence[int], capacity: int
    ) -> None:
        self._frames = MappedColumn(directory / "frames.bin", "uint8", (num_envs, *frame_shape))
        self._begun = MappedColumn(directory / "begun.bin", "uint8", (num_envs,))
        self.num_envs = num_envs
        self._capacity = capacity
        self._waiting: list[tuple[Frames, np.ndarray]] = []

    @property
    def num_steps(self) -> int:
        """Steps that were added."""
        return self._begun.writer.rows + len(self._waiting)

    def add(self, frames: Frames, begun: np.ndarray) -> None:
        """Appends what is seen after a step of all environments.

        Args:
            frames: `[N, H, W, C]` uint8.
            begun: `[N]` bool, whether an episode began with it.
        """
        self._waiting.append((frames.copy(), begun.astype(np.uint8)))

    def sample(self, count: int, rng: np.random.Generator) -> Pairs:
        """Draws frames that have one before them, each with equal probability.

        Those that were drawn among the first of episodes are left out, so there may be fewer.

        Args:
            count: B at most.
            rng: the only source of chance.

        Raises:
            ValueError: there are fewer than two steps.
        """
        if self.num_steps < 2:
            raise ValueError(f"{self.num_steps} steps were drawn from, expected two at least")
        self._write()
        first = max(1, self.num_steps - self._capacity)
        t = rng.integers(first, self.num_steps, size=count)
        n = rng.integers(self.num_envs, size=count)
        follows = self._begun.rows()[t, n] == 0
        t, n, seen = t[follows], n[follows], self._frames.rows()
        return Pairs(seen[t, n], seen[t - 1, n])

    def lengths(self) -> Mapping[str, int]:
        """Returns the lengths to commit, in bytes, by file name."""
        self._write()
        return columns.lengths(tuple(column.writer for column in self._columns))

    def sync(self) -> None:
        """Waits until all is on the disk; do this before a commit names `lengths`."""
        self._write()
        for column in self._columns:
            column.writer.sync()

    def cut(self, lengths: Mapping[str, int]) -> None:
        """Cuts the columns back to committed lengths; without any they are emptied."""
        self._waiting = []
        for column in self._columns:
            column.cut(lengths.get(column.writer.path.name, 0))

    @property
    def _columns(self) -> tuple[MappedColumn, ...]:
        return (self._frames, self._begun)

    def _write(self) -> None:
        """Moves what was added since the last call to the columns."""
        added, self._waiting = self._waiting, []
        if added:
            self._frames.writer.append(np.stack([frames for frames, _ in added]))
            self._begun.writer.append(np.stack([begun for _, begun in added]))
