"""What all simulated games share: random streams and frames of a step; a game is its physics.

A game keeps its numbers as `[V, N]` float64, one row per quantity, so that the environments that
stand still while others play are frozen in one assignment.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from curriculum.envs.batch import Mask, Outcome, Rows, Slots
from curriculum.envs.interface import EnvSpec

Numbers = NDArray[np.float64]


class Streams:
    """One random stream per environment, drawn from in batches.

    Drawing from Python once per environment would cost more than the physics, so each stream is
    read ahead in blocks; what an environment gets depends on its seed and its own draws alone.

    Args:
        num_envs: N.
        block: numbers read ahead.
    """

    def __init__(self, num_envs: int, block: int = 256) -> None:
        self._generators = [np.random.default_rng(0) for _ in range(num_envs)]
        self._ahead = np.zeros((num_envs, block))
        self._used = np.full(num_envs, block)

    def seed(self, row: int, seed: int) -> None:
        """Starts the stream of one environment anew."""
        self._generators[row] = np.random.default_rng(seed)
        self._used[row] = self._ahead.shape[1]

    def draw(self, rows: Rows, count: int) -> Numbers:
        """Returns uniform numbers in [0, 1), `[count, len(rows)]`, `count` <= block."""
        block = self._ahead.shape[1]
        for row in rows[self._used[rows] + count > block].tolist():
            self._ahead[row] = self._generators[row].random(block)
            self._used[row] = 0
        places = self._used[rows] + np.arange(count)[:, None]
        self._used[rows] += count
        return self._ahead[rows, places]


class Game(Protocol):
    """The physics of N games.

    Attributes:
        spec: what the game looks like from outside; `max_episode_steps` is its own time limit.
        numbers: `[V, N]` float64, everything that moves.
    """

    spec: EnvSpec
    numbers: Numbers

    def begin(self, rows: Rows) -> None:
        """Sets up new episodes in these rows, whatever was there before."""
        ...

    def frame(self, actions: np.ndarray, running: Mask) -> tuple[Numbers, Mask]:
        """Moves all games by one frame.

        Args:
            actions: `[N]` int64 or `[N, A]` float64, inside the action space.
            running: `[N]`, which games count. The numbers of the others are put back by the
                caller; anything kept outside `numbers` must be left alone by the game itself.

        Returns:
            Rewards `[N]` and whether the game ended `[N]`, meaningless where not running.
        """
        ...

    def observe(self, rows: Rows) -> np.ndarray:
        """Returns new observations of these rows, `[len(rows), ...]`."""
        ...


class Games:
    """A game as the core of a batch (`curriculum.envs.batch.Core`).

    Args:
        game: the physics, already of N games.
        streams: the random streams that the game draws from.
    """

    def __init__(self, game: Game, streams: Streams) -> None:
        self.spec = game.spec
        self.num_envs = game.numbers.shape[1]
        self.game = game
        self._streams = streams
        self._continuous = self.spec.action.kind == "continuous"

    def begin(self, rows: Rows, seeds: list[int], slots: Slots) -> np.ndarray:
        """Starts games; see `Core.begin`."""
        for row, seed in zip(rows.tolist(), seeds, strict=True):
            self._streams.seed(row, seed)
        self.game.begin(rows)
        return self.game.observe(rows)

    def advance(self, actions: np.ndarray, slots: Slots) -> Outcome:
        """Moves the games that are live by the frames of a step; see `Core.advance`."""
        chosen = actions.astype(np.float64) if self._continuous else actions
        running = slots.live.copy()
        rewards = np.zeros(self.num_envs)
        terminated = np.zeros(self.num_envs, np.bool_)
        for _ in range(self.spec.frames_per_step):
            if not running.any():
                break
            earned, ended = self._frame(chosen, running)
            rewards += np.where(running, earned, 0.0)
            terminated |= running & ended
            running &= ~ended
        seen = self._seen(np.flatnonzero(slots.live))
        return Outcome(seen, rewards, terminated, np.zeros_like(terminated))

    def close(self) -> None:
        """Has nothing to release."""

    def _frame(self, actions: np.ndarray, running: Mask) -> tuple[Numbers, Mask]:
        if running.all():
            return self.game.frame(actions, running)
        still = np.flatnonzero(~running)
        kept = self.game.numbers[:, still]
        result = self.game.frame(actions, running)
        self.game.numbers[:, still] = kept
        return result

    def _seen(self, rows: Rows) -> np.ndarray:
        """Returns observations of all, which are drawn only of these rows."""
        seen = self.game.observe(rows)
        if rows.size == self.num_envs:
            return seen
        everything = np.empty((self.num_envs, *self.spec.shape), seen.dtype)
        everything[rows] = seen
        return everything
