"""A replay: what was collected, in append-only columns, for learners that draw from their past.

A commit holds the length of the columns and not their contents, so it costs the same however much
has been collected; what a crash left beyond that length is cut off when the run is gone on with.
Columns are mapped from disk: they leave memory whenever something else wants it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curriculum.collecting.collector import Transition
from curriculum.datasets import columns
from curriculum.datasets.columns import ColumnWriter, open_column
from curriculum.envs.interface import ActionSpec
from models.interfaces import Float, State, Transitions


class Replay:
    """Steps of N environments, oldest first, of which the last `capacity` are drawn from.

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
        width = () if action.kind == "discrete" else (action.size,)
        kind = "int64" if action.kind == "discrete" else "float32"
        rows = (num_envs,)
        self._columns = {
            "features": ColumnWriter(directory / "features.bin", "float32", (*rows, num_features)),
            "actions": ColumnWriter(directory / "actions.bin", kind, (*rows, *width)),
            "rewards": ColumnWriter(directory / "rewards.bin", "float32", rows),
            "terminated": ColumnWriter(directory / "terminated.bin", "uint8", rows),
            "truncated": ColumnWriter(directory / "truncated.bin", "uint8", rows),
            "cut_at": ColumnWriter(directory / "cut_at.bin", "int64", (2,)),
            "cut_features": ColumnWriter(
                directory / "cut_features.bin", "float32", (num_features,)
            ),
        }
        self._num_envs, self._capacity = num_envs, capacity
        self._waiting: list[Transition] = []
        self._last = np.zeros((num_envs, num_features), np.float32)
        self._open: dict[str, np.ndarray] = {}

    @property
    def num_steps(self) -> int:
        """Steps of each environment that were added."""
        return self._columns["rewards"].rows + len(self._waiting)

    def add(self, transition: Transition) -> None:
        """Appends the next step of all environments."""
        self._waiting.append(transition)
        self._last = transition.following

    def sample(
        self, count: int, rng: np.random.Generator, *, gamma: float, num_steps: int = 1
    ) -> Transitions:
        """Draws transitions, each step of each environment with equal probability.

        An episode that ends before `num_steps` steps ends the transition; so does the end of what
        was collected.

        Args:
            count: B.
            rng: the only source of chance.
            gamma: discount.
            num_steps: n, the most steps of a transition.

        Raises:
            ValueError: nothing has been added.
        """
        if not self.num_steps:
            raise ValueError("an empty replay was drawn from, expected at least one step")
        self._write()
        seen = {name: self._mapped(name) for name in self._columns}
        end = self.num_steps
        first = max(0, end - self._capacity)
        t = rng.integers(first, end, size=count)
        n = rng.integers(self._num_envs, size=count)
        returns, discounts = np.zeros(count, np.float32), np.ones(count, np.float32)
        last, going = t.copy(), np.ones(count, np.bool_)
        for step in range(num_steps):
            at = np.minimum(t + step, end - 1)
            going = going & (t + step < end)
            returns += np.where(going, discounts * seen["rewards"][at, n], 0.0)
            discounts = np.where(going, discounts * np.float32(gamma), discounts)
            last = np.where(going, at, last)
            over = (seen["terminated"][at, n] | seen["truncated"][at, n]) > 0
            going = going & ~over
        discounts[seen["terminated"][last, n] > 0] = 0.0
        return Transitions(
            features=seen["features"][t, n],
            actions=seen["actions"][t, n],
            returns=returns.astype(np.float32),
            discounts=discounts.astype(np.float32),
            following=self._following(seen, last, n),
        )

    def lengths(self) -> Mapping[str, int]:
        """Returns the lengths to commit, in bytes, by file name."""
        self._write()
        return columns.lengths(tuple(self._columns.values()))

    def sync(self) -> None:
        """Waits until all is on the disk; do this before a commit names `lengths`."""
        self._write()
        for column in self._columns.values():
            column.sync()

    def cut(self, lengths: Mapping[str, int]) -> None:
        """Cuts the columns back to committed lengths; without any they are emptied."""
        self._waiting, self._open = [], {}
        columns.cut(tuple(self._columns.values()), lengths)

    def state(self) -> State:
        """Returns what the columns do not hold: what C reads next, `[N, F]`."""
        return {"last": self._last}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave, with the columns cut to the lengths of then."""
        self._last = np.array(state["last"], np.float32)

    def _write(self) -> None:
        """Moves what was added since the last call to the columns."""
        if not self._waiting:
            return
        begun, added = self._columns["rewards"].rows, self._waiting
        self._waiting = []
        for name in ("features", "actions", "rewards"):
            self._columns[name].append(np.stack([getattr(step, name) for step in added]))
        for name in ("terminated", "truncated"):
            flags = np.stack([getattr(step, name) for step in added])
            self._columns[name].append(flags.astype(np.uint8))
        cut = [(begun + t, row) for t, step in enumerate(added) for row in step.cut.tolist()]
        self._columns["cut_at"].append(np.array(cut, np.int64).reshape(-1, 2))
        self._columns["cut_features"].append(np.concatenate([s.cut_features for s in added]))

    def _mapped(self, name: str) -> np.ndarray:
        column = self._columns[name]
        if name not in self._open or len(self._open[name]) != column.rows:
            self._open[name] = open_column(column.path)[: column.rows]
        return self._open[name]

    def _following(
        self, seen: Mapping[str, np.ndarray], last: NDArray[np.int64], n: NDArray[np.int64]
    ) -> Float:
        """Returns what C read after steps: where a limit cut an episode, its own last features."""
        end = self.num_steps
        inside = np.minimum(last + 1, end - 1)
        newest = (last + 1 == end)[:, None]
        following = np.where(newest, self._last[n], seen["features"][inside, n])
        cut = np.flatnonzero(seen["truncated"][last, n])
        if cut.size:
            # Places of cuts are in the order of their steps, rows within a step ascending.
            keys = seen["cut_at"][:, 0] * self._num_envs + seen["cut_at"][:, 1]
            wanted = last[cut] * self._num_envs + n[cut]
            following[cut] = seen["cut_features"][np.searchsorted(keys, wanted)]
        return following.astype(np.float32)
