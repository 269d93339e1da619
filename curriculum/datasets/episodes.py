"""Collected episodes on disk: one row per observation, episodes one after another.

An episode of T steps has T + 1 rows. Row t < T holds o_t, the encoded action a_t, the reward of
a_t, and how a_t ended the episode, if it did; row T holds the final observation alone. Row numbers
are the key to everything: other stages add columns of their own with the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from curriculum.datasets import columns
from curriculum.datasets.columns import ColumnWriter, open_column
from curriculum.errors import RunIOError

GOES_ON, TERMINATED, TRUNCATED, FINAL = range(4)
"""Values of the `ends` column: what a row's action did, or that the row has no action."""

EPISODE = np.dtype([("start", "<i8"), ("rows", "<i8"), ("seed", "<i8"), ("score", "<f8")])
"""One entry of the episode table: first row, number of rows, seed, and the sum of rewards."""

Rows = NDArray[np.int64]


class EpisodeWriter:
    """Appends whole episodes to a directory.

    Args:
        directory: created if missing; episodes that are there are continued, except for one
            that a crash left unfinished.
        observation_shape: `[H, W, C]` or `[D]`.
        observation_dtype: `uint8` or `float32`.
        action_size: A, length of an encoded action.

    Raises:
        RunIOError: the episodes that are there have other shapes, or the disk refused.
    """

    def __init__(
        self,
        directory: Path,
        *,
        observation_shape: Sequence[int],
        observation_dtype: DTypeLike,
        action_size: int,
    ) -> None:
        self.observations = ColumnWriter(
            directory / "observations.bin", observation_dtype, observation_shape
        )
        self.actions = ColumnWriter(directory / "actions.bin", "float32", (action_size,))
        self.rewards = ColumnWriter(directory / "rewards.bin", "float32", ())
        self.ends = ColumnWriter(directory / "ends.bin", "uint8", ())
        self._by_row = (self.observations, self.actions, self.rewards, self.ends)
        self._table = ColumnWriter(directory / "episodes.bin", EPISODE, ())
        self._drop_unfinished()

    @property
    def num_episodes(self) -> int:
        return self._table.rows

    @property
    def num_rows(self) -> int:
        return self.ends.rows

    @property
    def num_steps(self) -> int:
        """Actions taken in all episodes."""
        return self.num_rows - self.num_episodes

    def append_episode(
        self,
        observations: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        *,
        terminated: bool,
        seed: int,
    ) -> None:
        """Appends one episode of T >= 1 steps.

        Args:
            observations: `[T+1, ...]`, the final one included.
            actions: `[T, A]` float32, encoded.
            rewards: `[T]` float32, true and unclipped.
            terminated: whether the environment ended it; if not, it was cut (truncated).
            seed: of its reset.

        Raises:
            ValueError: shapes disagree, or a value is not finite; nothing was written.
            RunIOError: the disk refused; the episodes before it are as they were.
        """
        steps = len(rewards)
        _check(observations, actions, rewards, self.observations.row_shape, self.actions.row_shape)
        ends = np.full(steps + 1, GOES_ON, np.uint8)
        ends[-2:] = (TERMINATED if terminated else TRUNCATED, FINAL)
        parts = (observations, _with_zero_row(actions), _with_zero_row(rewards), ends)
        entry = np.array(
            [(self.num_rows, steps + 1, seed, np.sum(rewards, dtype=np.float64))], EPISODE
        )
        try:
            for column, part in zip(self._by_row, parts, strict=True):
                column.append(part)
            self._table.append(entry)
        except RunIOError:
            for column in self._by_row:
                column.rows = int(entry["start"][0])
            raise

    def scores(self) -> NDArray[np.float64]:
        """Returns the score of every episode."""
        return np.array(open_column(self._table.path)["score"][: self.num_episodes])

    def sync(self) -> None:
        """Waits until all episodes are on the disk; do this before a commit names `lengths`."""
        for column in (*self._by_row, self._table):
            column.sync()

    def lengths(self) -> dict[str, int]:
        """Returns the lengths to commit in bytes, by file name."""
        return columns.lengths((*self._by_row, self._table))

    def cut(self, committed: Mapping[str, int]) -> None:
        """Cuts everything back to committed lengths; to nothing if the mapping is empty.

        Raises:
            RunIOError: committed episodes are missing.
        """
        columns.cut((*self._by_row, self._table), committed)

    def _drop_unfinished(self) -> None:
        """Keeps the episodes whose rows are all there."""
        table = _read_table(self._table.path, self._table.rows)
        ends = table["start"] + table["rows"]
        whole = int(np.searchsorted(ends, min(c.rows for c in self._by_row), side="right"))
        self._table.rows = whole
        for column in self._by_row:
            column.rows = int(ends[whole - 1]) if whole else 0


class Dataset:
    """Reads the episodes of several directories as one, e.g. those of all rounds so far.

    Rows are numbered through: first those of the first directory, then those of the next.

    Args:
        directories: as written by `EpisodeWriter`, all with the same shapes.

    Raises:
        RunIOError: a directory is missing or damaged, or shapes differ.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        if not directories:
            raise ValueError("a dataset needs at least one directory")
        self._parts = [_Part(directory) for directory in directories]
        sizes = [len(part.ends) for part in self._parts]
        self._offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.num_rows = int(self._offsets[-1])
        self.observation_shape: tuple[int, ...] = self._parts[0].observations.shape[1:]
        self.action_size = int(self._parts[0].actions.shape[1])
        self.episodes = self._join_tables()
        """The episode table `[E]` of dtype `EPISODE`, with `start` numbered through."""

    @property
    def num_episodes(self) -> int:
        return len(self.episodes)

    @property
    def num_steps(self) -> int:
        """Actions taken in all episodes."""
        return self.num_rows - self.num_episodes

    def observations(self, rows: np.ndarray) -> np.ndarray:
        """Returns o of each row, `[*rows.shape, ...]`."""
        return self._gather("observations", rows)

    def actions(self, rows: np.ndarray) -> NDArray[np.float32]:
        """Returns the encoded actions `[*rows.shape, A]`; zeros at final rows."""
        return self._gather("actions", rows)

    def rewards(self, rows: np.ndarray) -> NDArray[np.float32]:
        """Returns the rewards of the rows' actions, `[*rows.shape]`; zero at final rows."""
        return self._gather("rewards", rows)

    def ends(self, rows: np.ndarray) -> NDArray[np.uint8]:
        """Returns GOES_ON, TERMINATED, TRUNCATED or FINAL of each row."""
        return self._gather("ends", rows)

    def episode_of(self, rows: np.ndarray) -> Rows:
        """Returns the number of the episode that each row belongs to."""
        rows = self._checked(rows)
        return np.searchsorted(self.episodes["start"], rows, side="right") - 1

    def first_rows(self, rows: np.ndarray) -> Rows:
        """Returns the first row of each row's episode."""
        return self.episodes["start"][self.episode_of(rows)]

    def final_rows(self, rows: np.ndarray) -> Rows:
        """Returns the final row of each row's episode, which has no action."""
        episodes = self.episodes[self.episode_of(rows)]
        return episodes["start"] + episodes["rows"] - 1

    def previous_rows(self, rows: np.ndarray) -> Rows:
        """Returns the row before each row; the row itself where an episode starts."""
        return np.maximum(np.asarray(rows) - 1, self.first_rows(rows))

    @cached_property
    def step_rows(self) -> Rows:
        """All rows that have an action, `[num_steps]`."""
        final = self.episodes["start"] + self.episodes["rows"] - 1
        return np.delete(np.arange(self.num_rows), final)

    def sequence_starts(self, length: int) -> Rows:
        """Cuts every episode into pieces of `length` steps and returns their first rows, `[S]`.

        The last piece of an episode may be shorter; each step is in exactly one piece.
        """
        if length < 1:
            raise ValueError(f"length is {length}, expected at least 1")
        pieces = -(-(self.episodes["rows"] - 1) // length)
        episode = np.repeat(np.arange(self.num_episodes), pieces)
        before = np.concatenate([[0], np.cumsum(pieces)])[episode]
        return self.episodes["start"][episode] + length * (np.arange(len(episode)) - before)

    def _gather(self, name: str, rows: np.ndarray) -> np.ndarray:
        rows = self._checked(rows)
        if len(self._parts) == 1:
            return np.array(getattr(self._parts[0], name)[rows])
        which = np.searchsorted(self._offsets, rows, side="right") - 1
        first = getattr(self._parts[0], name)
        out = np.empty((*rows.shape, *first.shape[1:]), first.dtype)
        for number, part in enumerate(self._parts):
            here = which == number
            out[here] = getattr(part, name)[rows[here] - self._offsets[number]]
        return out

    def _checked(self, rows: np.ndarray) -> Rows:
        rows = np.asarray(rows, np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= self.num_rows):
            raise IndexError(
                f"rows {rows.min()} to {rows.max()} were asked for, the data has {self.num_rows}"
            )
        return rows

    def _join_tables(self) -> np.ndarray:
        for part in self._parts:
            same = part.observations.shape[1:] == self.observation_shape
            if not same or part.actions.shape[1] != self.action_size:
                raise RunIOError(
                    f"{part.directory} holds observations {part.observations.shape[1:]} and "
                    f"actions of size {part.actions.shape[1]}, expected {self.observation_shape} "
                    f"and {self.action_size} as in {self._parts[0].directory}"
                )
        tables = [part.table.copy() for part in self._parts]
        for table, offset in zip(tables, self._offsets[:-1], strict=True):
            table["start"] += offset
        return np.concatenate(tables)


class _Part:
    """The columns of one directory, mapped read-only and cut to the episodes of its table."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        path = directory / "episodes.bin"
        self.table = np.array(open_column(path))
        if not _is_table(self.table):
            raise RunIOError(
                f"{path} is no table of episodes, each of which begins where the last one ends; "
                f"remove {directory.parent} to have its stage done again"
            )
        rows = int((self.table["start"] + self.table["rows"])[-1]) if len(self.table) else 0
        self.observations = self._open("observations", rows)
        self.actions = self._open("actions", rows)
        self.rewards = self._open("rewards", rows)
        self.ends = self._open("ends", rows)

    def _open(self, name: str, rows: int) -> np.ndarray:
        column = open_column(self.directory / f"{name}.bin")
        if len(column) < rows:
            raise RunIOError(
                f"{self.directory}/{name}.bin has {len(column)} rows, its episodes {rows}: rows "
                f"are lost; remove {self.directory.parent} to have its stage done again"
            )
        return column[:rows]


def _read_table(path: Path, rows: int) -> np.ndarray:
    with path.open("rb") as file:
        return np.frombuffer(file.read(rows * EPISODE.itemsize), EPISODE)


def _is_table(table: np.ndarray) -> bool:
    if table.dtype != EPISODE:
        return False
    ends = np.cumsum(table["rows"])
    starts = np.concatenate([[0], ends[:-1]]) if len(table) else ends
    return bool(np.array_equal(table["start"], starts) and (table["rows"] > 1).all())


def _with_zero_row(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, np.zeros((1, *np.shape(values)[1:]), np.float32)])


def _check(
    observations: np.ndarray,
    actions: np.ndarray,
    rewards: np.ndarray,
    observation_shape: tuple[int, ...],
    action_shape: tuple[int, ...],
) -> None:
    steps = len(rewards)
    given = (np.shape(observations), np.shape(actions), np.shape(rewards))
    expected = ((steps + 1, *observation_shape), (steps, *action_shape), (steps,))
    if steps == 0 or given != expected:
        raise ValueError(
            f"an episode has observations, actions and rewards of shapes {given}, expected "
            f"{expected} with at least one step"
        )
    for name, values in (
        ("observations", observations),
        ("actions", actions),
        ("rewards", rewards),
    ):
        if not np.isfinite(values).all():
            raise ValueError(f"an episode's {name} are not all finite")
