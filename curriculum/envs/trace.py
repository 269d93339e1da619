"""What it takes to bring environments back to where they were: seeds, and the actions since.

An emulator in the middle of an episode cannot be saved, but what it does depends on the last seed
that it was given and on the actions since. So those are kept, and played again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curriculum.envs.interface import ActionSpec, VectorEnv

_FIRST_STEPS = 64


@dataclass(frozen=True)
class Trace:
    """Where environments came from, so that all arrive at the same moment again.

    Attributes:
        rows: the environments in question, `[E]`.
        seeds: the last ones that they were given, `[E]`.
        begin: the step, counted from the first to be played again, before which each was, `[E]`.
        actions: of all environments, `[steps, N, ...]`.
    """

    rows: tuple[int, ...]
    seeds: tuple[int, ...]
    begin: tuple[int, ...]
    actions: np.ndarray


def retrace(
    env: VectorEnv, trace: Trace, *, go_on: bool, after_step: Callable[[], None] = lambda: None
) -> tuple[np.ndarray | None, NDArray[np.bool_]]:
    """Plays again what a trace holds; each environment joins when it was given its seed.

    Args:
        env: N environments; whatever they did before does not count.
        trace: of N environments.
        go_on: whether an episode that ends is followed by the next one without a seed.
        after_step: is called after each step.

    Returns:
        What is seen in the end, `[N, ...]` (None where nothing was played), and in which
        environments an episode ended, `[N]`.
    """
    rows, begin = np.asarray(trace.rows, np.int64), np.asarray(trace.begin, np.int64)
    actions = trace.actions
    if env.spec.action.kind == "discrete":
        actions = actions.astype(np.int64)
    ended = np.zeros(env.num_envs, np.bool_)
    observations: np.ndarray | None = None
    for number in range(len(actions) + 1):
        joining = np.flatnonzero(begin == number)
        if joining.size:
            seeds = [trace.seeds[place] for place in joining.tolist()]
            observations = env.reset(seeds, rows[joining].tolist())
        if number == len(actions):
            break
        step = env.step(actions[number])
        observations = step.observations
        over = step.terminated | step.truncated
        ended |= over
        if go_on and over.any():
            observations = env.reset(None, np.flatnonzero(over).tolist())
        after_step()
    return observations, ended


class Tracer:
    """Keeps the last seed of each environment and the actions of all since the oldest of those.

    Args:
        action: the action space.
        wanted: which environments are to be brought back, `[N]`; only looked at.
    """

    def __init__(self, action: ActionSpec, wanted: NDArray[np.bool_]) -> None:
        if action.kind == "discrete":
            shape, dtype = wanted.shape, np.min_scalar_type(action.size - 1)
        else:
            shape, dtype = (wanted.size, action.size), np.dtype(np.float32)
        self._actions = np.zeros((_FIRST_STEPS, *shape), dtype)
        self._steps = 0
        self._wanted = wanted
        self._begin = np.zeros(wanted.size, np.int64)
        self._seeds = [0] * wanted.size

    def begin(self, rows: Sequence[int], seeds: Sequence[int]) -> None:
        """Notes that environments are given seeds."""
        for row, seed in zip(rows, seeds, strict=True):
            self._begin[row], self._seeds[row] = self._steps, seed

    def append(self, actions: np.ndarray) -> None:
        """Notes the actions of a step of all environments, `[N, ...]`."""
        if self._steps == len(self._actions):
            self._make_room()
        self._actions[self._steps] = actions
        self._steps += 1

    def ages(self) -> NDArray[np.int64]:
        """Returns how many steps ago each environment was given its seed, `[N]`."""
        return self._steps - self._begin

    def seeds(self, rows: Sequence[int]) -> list[int]:
        """Returns the last seeds of some environments."""
        return [self._seeds[row] for row in rows]

    def trace(self) -> Trace:
        """Returns how the environments that are wanted come back."""
        rows = np.flatnonzero(self._wanted)
        first = self._first()
        return Trace(
            tuple(rows.tolist()),
            tuple(self.seeds(rows.tolist())),
            tuple((self._begin[rows] - first).tolist()),
            self._actions[first : self._steps].copy(),
        )

    def take_over(self, trace: Trace) -> None:
        """Goes on from a trace of all environments."""
        self._actions = np.array(trace.actions, self._actions.dtype)
        self._steps = len(self._actions)
        self._begin[:], self._seeds[:] = trace.begin, trace.seeds

    def _first(self) -> int:
        """Returns the first step that an environment needs."""
        return int(self._begin[self._wanted].min(initial=self._steps))

    def _make_room(self) -> None:
        """Forgets what no environment needs; doubles the room if that is less than half."""
        kept = self._actions[self._first() : self._steps]
        larger = 2 if len(kept) > len(self._actions) // 2 else 1
        steps = larger * max(_FIRST_STEPS, len(self._actions))
        room = np.zeros((steps, *kept.shape[1:]), kept.dtype)
        room[: len(kept)] = kept
        self._begin -= self._steps - len(kept)
        self._actions, self._steps = room, len(kept)
