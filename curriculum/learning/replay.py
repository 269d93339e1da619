"""A replay: what was collected, in append-only columns, for learners that draw from their past.

A commit holds the length of the columns and not their contents, so it costs the same however much
has been collected; what a crash left beyond that length is cut off when the run is gone on with.
Columns are mapped from disk: they leave memory whenever something else wants it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curriculum.collecting.collector import Transition
from curriculum.datasets import columns
from curriculum.datasets.mapped import MappedColumn
from curriculum.envs.interface import ActionSpec
from curriculum.errors import RunIOError
from models.interfaces import Float, State, Transitions

_GOES_ON, _TERMINATED, _TRUNCATED = 0, 1, 2
"""Values of the `ends` column: what a step did to the episode."""

_Rows = NDArray[np.int64]


class _Windows(NamedTuple):
    """Transitions over up to n steps: the rows of the first and the last one, and their number."""

    first: _Rows
    last: _Rows
    lengths: _Rows
    returns: Float


class Replay:
    """Steps of N environments, oldest first, of which the last `capacity` are drawn from.

    The steps of all environments lie in rows, `t * N + n` for step t of environment n. They come in
    runs without a gap; where one began anew without an end of episodes (what was collected was not
    finite, or environments could not be brought back), no transition reaches across.

    Args:
        directory: of the columns; those that are there are continued, see `cut`.
        num_envs: N.
        num_features: F.
        action: the action space.
        capacity: steps of each environment that are drawn from; older ones stay on the disk.

    Raises:
        RunIOError: the columns that are there have other shapes, or the disk refused.
        ValueError: the capacity is less than one step.
    """

    def __init__(
        self, directory: Path, num_envs: int, num_features: int, action: ActionSpec, capacity: int
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity was {capacity}, expected at least one step")
        discrete, features = action.kind == "discrete", (num_features,)
        kind, width = ("int64", ()) if discrete else ("float32", (action.size,))
        self._features = MappedColumn(directory / "features.bin", "float32", features)
        self._actions = MappedColumn(directory / "actions.bin", kind, width)
        self._rewards = MappedColumn(directory / "rewards.bin", "float32")
        self._ends = MappedColumn(directory / "ends.bin", "uint8")
        self._cut_rows = MappedColumn(directory / "cut_rows.bin", "int64")
        self._cut_features = MappedColumn(directory / "cut_features.bin", "float32", features)
        by_row = (self._features, self._actions, self._rewards, self._ends)
        self._columns = (*by_row, self._cut_rows, self._cut_features)
        self._num_envs, self._capacity = num_envs, capacity
        self._forget()

    def _forget(self) -> None:
        self._waiting: list[Transition] = []
        self._runs = np.zeros(0, np.int64)
        self._next = np.zeros((0, 0), np.float32)

    @property
    def num_steps(self) -> int:
        """Steps of each environment that were added."""
        return self._rewards.writer.rows // self._num_envs + len(self._waiting)

    def add(self, transition: Transition) -> None:
        """Appends the next step of all environments."""
        if not np.array_equal(transition.features, self._next):
            self._runs = np.append(self._runs, self.num_steps)
        self._waiting.append(transition)
        self._next = transition.following

    def drawable(self, num_steps: int, end: int | None = None) -> int:
        """Returns how many transitions over `num_steps` steps there are to draw from.

        Only the first `end` steps count, all of them if None.
        """
        firsts, until = self._choices(num_steps, self.num_steps if end is None else end)
        return int(until[-1]) * self._num_envs if len(firsts) else 0

    def sample(
        self,
        count: int,
        rng: np.random.Generator,
        *,
        gamma: float,
        num_steps: int = 1,
        end: int | None = None,
    ) -> Transitions:
        """Draws transitions, each with equal probability.

        The end of an episode before `num_steps` steps ends the transition. The newest steps, whose
        n steps and what follows them are not all there yet, are not drawn; they will be.

        Args:
            count: B.
            rng: the only source of chance.
            gamma: discount.
            num_steps: n, the most steps of a transition.
            end: only the first so many steps are drawn from, all of them if None.

        Raises:
            ValueError: there is nothing to draw from.
        """
        end = self.num_steps if end is None else end
        firsts, until = self._choices(num_steps, end)
        if not len(until) or not until[-1]:
            raise ValueError(
                f"a replay of {end} steps was drawn from, expected more than the {num_steps} that "
                "a transition has"
            )
        self._write()
        drawn, n = np.divmod(rng.integers(until[-1] * self._num_envs, size=count), self._num_envs)
        run = np.searchsorted(until, drawn, side="right")
        t = drawn - until[run] + firsts[run]
        windows = self._windows(t * self._num_envs + n, gamma, num_steps)
        over = self._ends.rows().take(windows.last)
        counted = np.float32(gamma) ** np.arange(num_steps + 1, dtype=np.float32)
        return Transitions(
            features=self._features.rows().take(windows.first, axis=0),
            actions=self._actions.rows().take(windows.first, axis=0),
            returns=windows.returns,
            discounts=np.where(over == _TERMINATED, np.float32(0), counted[windows.lengths]),
            following=self._following(windows.last, np.flatnonzero(over == _TRUNCATED)),
        )

    def features(self, steps: int) -> Float:
        """Returns what C read before each of the first so many steps, `[steps * N, F]`."""
        self._write()
        return self._features.rows()[: steps * self._num_envs]

    def lengths(self) -> Mapping[str, int]:
        """Returns the lengths to commit, in bytes, by file name."""
        self._write()
        return columns.lengths([column.writer for column in self._columns])

    def sync(self) -> None:
        """Waits until all is on the disk; do this before a commit names `lengths`."""
        self._write()
        for column in self._columns:
            column.writer.sync()

    def cut(self, lengths: Mapping[str, int]) -> None:
        """Cuts the columns back to committed lengths; without any they are emptied.

        Raises:
            RunIOError: committed rows are missing.
        """
        self._forget()
        for column in self._columns:
            column.cut(lengths.get(column.writer.path.name, 0))

    def state(self) -> State:
        """Returns what the columns do not hold: where runs begin, and what C reads next."""
        return {"runs": self._runs, "next": self._next}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave, with the columns cut to the lengths of then."""
        self._runs = np.array(state["runs"], np.int64)
        self._next = np.array(state["next"], np.float32)

    def _write(self) -> None:
        """Moves what was added since the last call to the columns, or nothing of it."""
        if not self._waiting:
            return
        added, begun = self._waiting, [column.writer.rows for column in self._columns]
        first = begun[0]
        cut = [first + t * self._num_envs + step.cut for t, step in enumerate(added)]
        parts = (
            np.concatenate([step.features for step in added]),
            np.concatenate([step.actions for step in added]),
            np.concatenate([step.rewards for step in added]),
            np.concatenate([_ends_of(step) for step in added]),
            np.concatenate(cut),
            np.concatenate([step.cut_features for step in added]),
        )
        try:
            for column, part in zip(self._columns, parts, strict=True):
                if len(part):
                    column.writer.append(part)
        except RunIOError:
            for column, rows in zip(self._columns, begun, strict=True):
                column.writer.rows = rows
            raise
        self._waiting = []

    def _choices(self, num_steps: int, end: int) -> tuple[_Rows, _Rows]:
        """Returns the first steps that are drawn in each run, less how many were before, and until.

        The k-th choice of all, of a run with `until[run - 1] <= k < until[run]`, is the step
        `k - until[run] + firsts[run]`.
        """
        runs = self._runs[self._runs < end]
        begun = np.maximum(runs, end - self._capacity)
        ended = np.append(runs[1:], end) - num_steps
        counts = np.maximum(ended - begun, 0)
        return begun + counts, np.cumsum(counts)

    def _windows(self, first: _Rows, gamma: float, num_steps: int) -> _Windows:
        """Follows steps until n are over, or their episode is."""
        rows = first[:, None] + self._num_envs * np.arange(num_steps)
        going = np.ones(rows.shape, np.bool_)
        goes_on = self._ends.rows().take(rows[:, :-1]) == _GOES_ON
        np.logical_and.accumulate(goes_on, axis=1, out=going[:, 1:])
        lengths = going.sum(axis=1)
        weights = going * np.float32(gamma) ** np.arange(num_steps, dtype=np.float32)
        returns = (self._rewards.rows().take(rows) * weights).sum(axis=1)
        return _Windows(first, first + self._num_envs * (lengths - 1), lengths, returns)

    def _following(self, last: _Rows, cut: _Rows) -> Float:
        """Returns what C read after steps: where a limit cut an episode, its own last features."""
        following = self._features.rows().take(last + self._num_envs, axis=0)
        if len(cut):
            # They are in the order of their rows.
            places = np.searchsorted(self._cut_rows.rows(), last[cut])
            following[cut] = self._cut_features.rows().take(places, axis=0)
        return following


def _ends_of(step: Transition) -> NDArray[np.uint8]:
    return np.where(step.truncated, _TRUNCATED, step.terminated).astype(np.uint8)
