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

    Where an observation holds several frames only the newest one is kept: the others were kept
    before it.

    Args:
        directory: of the columns; those that are there are continued, see `cut`.
        num_envs: N.
        frame_shape: `(H, W, C)`.
        capacity: steps that are drawn from; older ones stay on the disk.
        stacked: how many frames lie in the C channels, the oldest first, as
            `curriculum.envs.stacking` has it.

    Raises:
        RunIOError: the columns that are there have other shapes, or the disk refused.
    """

    def __init__(
        self,
        directory: Path,
        num_envs: int,
        frame_shape: Sequence[int],
        capacity: int,
        stacked: int = 1,
    ) -> None:
        *sides, channels = frame_shape
        self._stacked, self._newest = stacked, slice(-(channels // stacked), None)
        newest = (num_envs, *sides, channels // stacked)
        self._frames = MappedColumn(directory / "frames.bin", "uint8", newest)
        self._begun = MappedColumn(directory / "begun.bin", "uint8", (num_envs,))
        self.num_envs = num_envs
        self._capacity = capacity
        self._waiting: list[tuple[Frames, np.ndarray]] = []

    @property
    def num_steps(self) -> int:
        """Steps that were added."""
        return self._begun.writer.rows + len(self._waiting)

    @property
    def has_pairs(self) -> bool:
        """Whether any step has all its frames, and those of the step before."""
        return self.num_steps > self._stacked

    def add(self, frames: Frames, begun: np.ndarray) -> None:
        """Appends what is seen after a step of all environments.

        Args:
            frames: `[N, H, W, C]` uint8.
            begun: `[N]` bool, whether an episode began with it.
        """
        self._waiting.append((frames[..., self._newest].copy(), begun.astype(np.uint8)))

    def sample(self, count: int, rng: np.random.Generator) -> Pairs:
        """Draws frames that have one before them, each with equal probability.

        Those that were drawn among the first of episodes are left out, so there may be fewer; and
        the first steps of all, whose older frames were not kept, are not drawn.

        Args:
            count: B at most.
            rng: the only source of chance.

        Raises:
            ValueError: there are too few steps.
        """
        if not self.has_pairs:
            raise ValueError(
                f"{self.num_steps} steps were drawn from, expected {self._stacked + 1} at least"
            )
        self._write()
        first = max(self._stacked, self.num_steps - self._capacity)
        t = rng.integers(first, self.num_steps, size=count)
        n = rng.integers(self.num_envs, size=count)
        follows = self._begun.rows()[t, n] == 0
        t, n = t[follows], n[follows]
        return Pairs(self._seen(t, n), self._seen(t - 1, n))

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

    def _seen(self, t: np.ndarray, n: np.ndarray) -> Frames:
        """Returns what environments n showed after steps t; an episode's first frame repeats."""
        frames, begun = self._frames.rows(), self._begun.rows()
        seen = [frames[t, n]]
        for _ in range(self._stacked - 1):
            t = np.where(begun[t, n] == 0, t - 1, t)
            seen.insert(0, frames[t, n])
        return np.concatenate(seen, axis=-1)

    @property
    def _columns(self) -> tuple[MappedColumn, ...]:
        return (self._frames, self._begun)

    def _write(self) -> None:
        """Moves what was added since the last call to the columns."""
        added, self._waiting = self._waiting, []
        if added:
            self._frames.writer.append(np.stack([frames for frames, _ in added]))
            self._begun.writer.append(np.stack([begun for _, begun in added]))
