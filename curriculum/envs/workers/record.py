"""What it takes to bring environments back to where they were: seeds, and the actions since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curriculum.envs.interface import ActionSpec
from curriculum.envs.workers.shared import action_array

_FIRST_STEPS = 64


@dataclass(frozen=True)
class Replay:
    """Episodes to play again so that all arrive at the same moment.

    Attributes:
        rows: the environments in question, `[E]`.
        seeds: of their episodes, `[E]`.
        begin: the step, counted from the first to be played again, before which each begins.
        actions: of all environments, `[steps, n, ...]`.
    """

    rows: tuple[int, ...]
    seeds: tuple[int, ...]
    begin: tuple[int, ...]
    actions: np.ndarray


class Record:
    """Keeps the seed of each environment's episode and the actions of the batch since.

    Args:
        action: the action space.
        live: which episodes are in progress, `[n]`; only looked at.
    """

    def __init__(self, action: ActionSpec, live: NDArray[np.bool_]) -> None:
        shape, dtype = action_array(action, live.size)
        if action.kind == "discrete":
            dtype = np.min_scalar_type(action.size - 1)
        self._actions = np.zeros((_FIRST_STEPS, *shape), dtype)
        self._steps = 0
        self._live = live
        self._begin = np.zeros(live.size, np.int64)
        self._seeds = [0] * live.size

    def begin(self, rows: Sequence[int], seeds: Sequence[int]) -> None:
        """Notes that episodes begin."""
        for row, seed in zip(rows, seeds, strict=True):
            self._begin[row], self._seeds[row] = self._steps, seed

    def append(self, actions: np.ndarray) -> None:
        """Notes the actions of a step of all environments, `[n, ...]`."""
        if self._steps == len(self._actions):
            self._make_room()
        self._actions[self._steps] = actions
        self._steps += 1

    def seeds(self, rows: Sequence[int]) -> list[int]:
        """Returns the seeds of the episodes of some environments."""
        return [self._seeds[row] for row in rows]

    def replay(self) -> Replay:
        """Returns how the episodes in progress are played again."""
        rows = np.flatnonzero(self._live)
        first = self._first()
        return Replay(
            tuple(rows.tolist()),
            tuple(self.seeds(rows.tolist())),
            tuple((self._begin[rows] - first).tolist()),
            self._actions[first : self._steps].copy(),
        )

    def _first(self) -> int:
        """Returns the first step that an episode in progress needs."""
        return int(self._begin[self._live].min(initial=self._steps))

    def _make_room(self) -> None:
        """Forgets what no episode needs; doubles the room if that is less than half."""
        kept = self._actions[self._first() : self._steps]
        larger = 2 if len(kept) > len(self._actions) // 2 else 1
        room = np.zeros((larger * len(self._actions), *kept.shape[1:]), kept.dtype)
        room[: len(kept)] = kept
        self._begin -= self._steps - len(kept)
        self._actions, self._steps = room, len(kept)
