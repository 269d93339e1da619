"""What all simulated games share: episodes, seeds, time limits, parking; a game is its physics.

A game keeps its numbers as `[V, N]` float64, one row per quantity, so that the environments that
stand still while others play are frozen in one assignment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from curriculum.envs.contract import Halves, SeedBook, checked_actions, checked_rows
from curriculum.envs.interface import EnvSpec, Step

Rows = NDArray[np.intp]
Mask = NDArray[np.bool_]
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


class SimulatedEnv:
    """A game as a batch of environments (`curriculum.envs.interface.VectorEnv`).

    Args:
        game: the physics, already of N games.
        streams: the random streams that the game draws from.
    """

    def __init__(self, game: Game, streams: Streams) -> None:
        self.spec = game.spec
        self.num_envs = game.numbers.shape[1]
        self._game = game
        self._streams = streams
        self._limit = game.spec.max_episode_steps or np.iinfo(np.int64).max
        self._live = np.zeros(self.num_envs, np.bool_)
        self._steps = np.zeros(self.num_envs, np.int64)
        dtype = np.uint8 if self.spec.observation == "pixels" else np.float32
        self._observations = np.zeros((self.num_envs, *self.spec.shape), dtype)
        self._seeds = SeedBook(self.num_envs)
        self._halves = Halves(self.spec.env_id)

    def reset(
        self, seeds: Sequence[int] | None, indices: Sequence[int] | None = None
    ) -> np.ndarray:
        """Starts new episodes; see `VectorEnv.reset`.

        Raises:
            ValueError: seeds and indices do not fit.
        """
        self._halves.refuse_within_step("reset")
        rows = checked_rows(self.num_envs, seeds, indices)
        for row, seed in zip(rows.tolist(), self._seeds.take(rows, seeds), strict=True):
            self._streams.seed(row, seed)
        if rows.size:
            self._game.begin(rows)
            self._steps[rows] = 0
            self._live[rows] = True
            self._look(np.sort(rows))
        return self._observations

    def send(self, actions: np.ndarray) -> np.ndarray:
        """Notes the actions; see `VectorEnv.send`.

        Raises:
            ValueError: actions of the wrong shape, outside the action space or not finite.
        """
        return self._halves.send(checked_actions(self.spec, self.num_envs, actions))

    def recv(self) -> Step:
        """Steps all environments; see `VectorEnv.recv`."""
        chosen = self._halves.recv()
        if self.spec.action.kind == "continuous":
            chosen = chosen.astype(np.float64)
        running = self._live.copy()
        rewards = np.zeros(self.num_envs)
        terminated = np.zeros(self.num_envs, np.bool_)
        for _ in range(self.spec.frames_per_step):
            if not running.any():
                break
            earned, ended = self._frame(chosen, running)
            rewards += np.where(running, earned, 0.0)
            terminated |= running & ended
            running &= ~ended
        self._steps += self._live
        truncated = running & (self._steps >= self._limit)
        self._look(np.flatnonzero(self._live))
        self._live = running & ~truncated
        no_lives = np.zeros(self.num_envs, np.bool_)
        return Step(self._observations, rewards.astype(np.float32), terminated, truncated, no_lives)

    def step(self, actions: np.ndarray) -> Step:
        """Steps all environments; see `VectorEnv.step`."""
        self.send(actions)
        return self.recv()

    def close(self) -> None:
        """Has nothing to release."""

    def _frame(self, actions: np.ndarray, running: Mask) -> tuple[Numbers, Mask]:
        if running.all():
            return self._game.frame(actions, running)
        still = np.flatnonzero(~running)
        kept = self._game.numbers[:, still]
        result = self._game.frame(actions, running)
        self._game.numbers[:, still] = kept
        return result

    def _look(self, rows: Rows) -> None:
        """Renews these rows (ascending) in a new array: callers keep the old observations."""
        if not rows.size:
            return
        seen = self._game.observe(rows)
        if rows.size < self.num_envs:
            everything = self._observations.copy()
            everything[rows] = seen
            seen = everything
        self._observations = seen
