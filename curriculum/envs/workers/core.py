"""The parent's side: environments that are spread over workers and outlive them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

from curriculum.envs.batch import Outcome, Rows, Slots
from curriculum.envs.interface import EnvSpec, VectorEnv
from curriculum.envs.workers.process import close_all
from curriculum.envs.workers.share import Board, Event, Share, Terms
from curriculum.envs.workers.shared import map_step, new_memory, unmapped
from curriculum.errors import ConfigError, EnvironmentFault, StageFailure
from curriculum.pool.reference import reference_to

_UNKNOWN = -1
"""Stands where no seed is known that would follow."""


class Workers:
    """N environments in worker processes (`curriculum.envs.batch.WorksAhead`).

    Episodes have to be functions of their seed and actions. Then nothing that a worker does can be
    seen from outside, except for episodes that cannot be continued: these are truncated with their
    last observation and reward 0.

    Args:
        make: builds a batch in a worker, from `args` and the number of environments, last; a
            module calls it by its name.
        args: picklable.
        num_envs: N.
        workers: processes; at most one per environment is started, and each gets consecutive
            environments, as equal in number as possible.
        deadline_s: time for a step or a reset of a worker's environments before it is replaced.
        start_s: time for a worker to start and build.
        max_restarts: how often a worker is replaced before one step came of it.
        recycle_growth_bytes: a worker whose memory has grown by more since it was ready is
            replaced at a reset, because environments leak.
        on_event: is told `env_worker_died`, `env_worker_hung`, `env_worker_raised`,
            `env_worker_replaced`, `env_worker_recycled` and `env_episodes_cut`, as JSON-compatible
            dictionaries with an `event`.

    Raises:
        Exception: whatever `make` raises.
        StageFailure: a worker could not be started.
        ValueError: there are no environments or no workers, or `make` cannot be sent by reference.
    """

    def __init__(
        self,
        make: Callable[..., VectorEnv],
        args: tuple[Any, ...],
        num_envs: int,
        workers: int,
        *,
        deadline_s: float = 60.0,
        start_s: float = 60.0,
        max_restarts: int = 3,
        recycle_growth_bytes: int = 512 << 20,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        if num_envs < 1 or workers < 1:
            raise ValueError(f"expected num_envs and workers >= 1, got {num_envs} and {workers}")
        emit: Callable[[Event], None] = on_event or (lambda event: None)
        self.num_envs = num_envs
        self._closed = False
        name = reference_to(make)
        terms = Terms(name, args, deadline_s, start_s, max_restarts, recycle_growth_bytes, emit)
        live, cut = np.zeros(num_envs, np.bool_), np.zeros(num_envs, np.bool_)
        self._board = Board(new_memory(), unmapped(), np.zeros(0), live, cut)
        self._shares = [
            Share(number, rows, terms, self._board)
            for number, rows in enumerate(_split(num_envs, min(workers, num_envs)))
        ]
        try:
            self.spec = self._start()
        except BaseException:
            self.close()
            raise
        self._ahead = False
        self._begun = np.zeros(num_envs, np.bool_)
        self._facts: np.ndarray | None = None

    def _start(self) -> EnvSpec:
        for share in self._shares:
            share.launch()
        specs = [share.start() for share in self._shares]
        if any(spec != specs[0] for spec in specs):
            raise ConfigError(
                f"the workers built different environments: {specs}; expected the same from the "
                "same arguments, whatever their number"
            )
        board = self._board
        board.shared = map_step(board.memory_fd, specs[0], self.num_envs)
        board.shared.following[:] = _UNKNOWN
        board.observations = board.shared.observations.copy()
        return specs[0]

    def begin(self, rows: Rows, seeds: list[int], slots: Slots) -> np.ndarray:
        """Has workers begin episodes; see `Core.begin`.

        Raises:
            StageFailure: a worker was replaced `max_restarts` times in vain; all are closed.
        """
        with self._at_work():
            self._begun[rows] = False
            self._board.observations = self._board.observations.copy()
            self._begin(rows, np.asarray(seeds, object))
            self._board.shared.following[:] = _UNKNOWN
            self._ahead = False
        return self._board.observations[rows]

    def go_on(
        self, rows: Rows, seeds: list[int], slots: Slots, following: Callable[[int], int | None]
    ) -> np.ndarray:
        """Shows what workers have begun by themselves, begins the rest; see `WorksAhead.go_on`.

        Raises:
            StageFailure: see `begin`.
        """
        with self._at_work():
            begun, taken = self._begun[rows], np.asarray(seeds, object)
            self._begun[rows] = False
            self._board.observations = self._board.observations.copy()
            self._take_over(rows[begun], taken[begun])
            self._begin(rows[~begun], taken[~begun])
            # Workers are told the seeds that follow as long as the caller keeps going on.
            for row in rows.tolist() if self._ahead else range(self.num_envs):
                seed = following(row)
                self._board.shared.following[row] = _UNKNOWN if seed is None else seed
            self._ahead = True
        return self._board.observations[rows]

    def _begin(self, rows: np.ndarray, seeds: np.ndarray) -> None:
        """Has workers begin episodes, all side by side."""
        concerned: list[tuple[Share, np.ndarray]] = []
        for share, own in self._owned(rows):
            concerned.append((share, own))
            share.begin_reset((rows[own] - share.rows.start).tolist(), seeds[own].tolist())
        for share, own in concerned:
            self._board.observations[rows[own]] = share.end_reset()

    def _take_over(self, rows: np.ndarray, seeds: np.ndarray) -> None:
        """Shows episodes that workers have begun by themselves."""
        self._board.observations[rows] = self._board.shared.beginnings[rows]
        for share, own in self._owned(rows):
            share.go_on((rows[own] - share.rows.start).tolist(), seeds[own].tolist())

    def _owned(self, rows: np.ndarray) -> Iterator[tuple[Share, np.ndarray]]:
        """Yields each worker that is concerned, and which of the rows are its own."""
        for share in self._shares:
            own = (rows >= share.rows.start) & (rows < share.rows.stop)
            if own.any():
                yield share, own

    def start(self, actions: np.ndarray, slots: Slots) -> np.ndarray:
        """Starts a step in all workers; see `WorksAhead.start`.

        Raises:
            StageFailure: see `begin`.
        """
        with self._at_work():
            shared = self._board.shared
            shared.actions[:] = actions
            shared.taken[:] = actions
            self._begun[:] = False
            for share in self._shares:
                share.begin_step(actions[share.rows])
            if not self.spec.replaces_actions:
                return actions
            for share in self._shares:
                share.wait_for_taken()
            # A parked environment may have begun an episode that its caller did not want yet.
            live = self._board.live.reshape(-1, *[1] * (actions.ndim - 1))
            return np.where(live, shared.taken, actions)

    def advance(self, actions: np.ndarray, slots: Slots) -> Outcome:
        """Waits for the step of all workers; see `Core.advance`.

        Raises:
            StageFailure: see `begin`.
        """
        with self._at_work():
            for share in self._shares:
                share.end_step()
            shared, board = self._board.shared, self._board
            seen = (shared.observations, shared.rewards)
            flags = (shared.terminated, shared.truncated, shared.life_lost)
            told = (shared.facts,) if self.spec.facts else ()
            outcome = Outcome(*(array.copy() for array in (*seen, *flags, *told)))
            over = board.live & (outcome.terminated | outcome.truncated)
            self._begun = over & self._ahead
            board.live &= ~over
            self._show_cut(outcome)
            board.observations = outcome.observations
            self._facts = outcome.facts
        return outcome

    def close(self) -> None:
        """Ends the workers, waits for them and releases their memory; may be called twice."""
        close_all([share.process for share in self._shares if share.process is not None])
        self._shares.clear()
        self._board.shared = unmapped()
        if not self._closed:
            os.close(self._board.memory_fd)
        self._closed = True

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        if self._closed:
            raise RuntimeError(f"{self.spec.env_id} is closed: build a new one")
        try:
            yield
        except (StageFailure, EnvironmentFault):
            self.close()
            raise

    def _show_cut(self, outcome: Outcome) -> None:
        """Shows episodes that could not be continued as truncated where they were."""
        cut = self._board.cut
        if not cut.any():
            return
        _, rewards, terminated, truncated, life_lost, facts = outcome
        outcome.observations[cut] = self._board.observations[cut]
        assert life_lost is not None
        rewards[cut], terminated[cut], truncated[cut], life_lost[cut] = 0.0, False, True, False
        if facts is not None:
            facts[cut] = 0.0 if self._facts is None else self._facts[cut]
        cut[:] = False


def _split(num_envs: int, workers: int) -> list[range]:
    """Returns the environments of each worker, the first ones getting what is left over."""
    size, left = divmod(num_envs, workers)
    starts = [number * size + min(number, left) for number in range(workers + 1)]
    return [range(a, b) for a, b in pairwise(starts)]
