"""The parent's side: a batch of environments that is spread over workers and outlives them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

from curriculum.envs.contract import Halves, SeedBook, checked_actions, checked_rows
from curriculum.envs.interface import EnvSpec, Step, VectorEnv
from curriculum.envs.workers.process import close_all
from curriculum.envs.workers.share import Event, Progress, Share, Terms
from curriculum.envs.workers.shared import map_step, new_memory, unmapped
from curriculum.errors import ConfigError, EnvironmentFault, StageFailure
from curriculum.pool.reference import reference_to

_UNKNOWN = -1
"""Stands where no seed is known that would follow."""


class WorkerVectorEnv:
    """N environments in worker processes (`curriculum.envs.interface.VectorEnv`).

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
        self._progress = Progress(new_memory(), unmapped(), np.zeros(0), live, cut)
        self._shares = [
            Share(number, rows, terms, self._progress)
            for number, rows in enumerate(_split(num_envs, min(workers, num_envs)))
        ]
        try:
            self.spec = self._start()
        except BaseException:
            self.close()
            raise
        self._seeds = SeedBook(num_envs)
        self._ahead = False
        self._begun = np.zeros(num_envs, np.bool_)
        self._halves = Halves(self.spec.env_id)

    def _start(self) -> EnvSpec:
        for share in self._shares:
            share.launch()
        specs = [share.start() for share in self._shares]
        if any(spec != specs[0] for spec in specs):
            raise ConfigError(
                f"the workers built different environments: {specs}; expected the same from the "
                "same arguments, whatever their number"
            )
        progress = self._progress
        progress.shared = map_step(progress.memory_fd, specs[0], self.num_envs)
        progress.shared.following[:] = _UNKNOWN
        progress.observations = progress.shared.observations.copy()
        return specs[0]

    def reset(
        self, seeds: Sequence[int] | None, indices: Sequence[int] | None = None
    ) -> np.ndarray:
        """Starts new episodes; see `VectorEnv.reset`.

        Raises:
            ValueError: seeds and indices do not fit.
            RuntimeError: a step is under way, or the batch is closed.
            StageFailure: a worker was replaced `max_restarts` times in vain; the batch is closed.
        """
        with self._at_work():
            self._halves.refuse_within_step("reset")
            rows = checked_rows(self.num_envs, seeds, indices)
            taken = np.asarray(self._seeds.take(rows, seeds), object)
            begun = self._begun[rows] & (seeds is None)
            self._begun[rows] = False
            self._progress.observations = self._progress.observations.copy()
            self._go_on(rows[begun], taken[begun])
            self._begin(rows[~begun], taken[~begun])
            self._look_ahead(rows, going_on=seeds is None)
        return self._progress.observations

    def _begin(self, rows: np.ndarray, seeds: np.ndarray) -> None:
        """Has workers begin episodes, all side by side."""
        concerned: list[tuple[Share, np.ndarray]] = []
        for share, own in self._owned(rows):
            concerned.append((share, own))
            share.begin_reset((rows[own] - share.rows.start).tolist(), seeds[own].tolist())
        for share, own in concerned:
            self._progress.observations[rows[own]] = share.end_reset()

    def _go_on(self, rows: np.ndarray, seeds: np.ndarray) -> None:
        """Shows episodes that workers have begun by themselves."""
        self._progress.observations[rows] = self._progress.shared.beginnings[rows]
        for share, own in self._owned(rows):
            share.go_on((rows[own] - share.rows.start).tolist(), seeds[own].tolist())

    def _owned(self, rows: np.ndarray) -> Iterator[tuple[Share, np.ndarray]]:
        """Yields each worker that is concerned, and which of the rows are its own."""
        for share in self._shares:
            own = (rows >= share.rows.start) & (rows < share.rows.stop)
            if own.any():
                yield share, own

    def _look_ahead(self, rows: np.ndarray, going_on: bool) -> None:
        """Tells workers the seeds that follow, as long as the caller keeps going on."""
        following = self._progress.shared.following
        if not going_on:
            following[:] = _UNKNOWN
            self._ahead = False
            return
        ahead = rows.tolist() if self._ahead else range(self.num_envs)
        for row in ahead:
            following[row] = self._seeds.following(row)
        self._ahead = True

    def send(self, actions: np.ndarray) -> np.ndarray:
        """Starts a step in all workers; see `VectorEnv.send`.

        Raises:
            ValueError: a wrong shape, or an action that does not exist.
            RuntimeError: a step is under way, or the batch is closed.
            StageFailure: a worker was replaced `max_restarts` times in vain; the batch is closed.
        """
        with self._at_work():
            chosen = self._halves.send(checked_actions(self.spec, self.num_envs, actions))
            shared = self._progress.shared
            shared.actions[:] = chosen
            shared.taken[:] = chosen
            self._begun[:] = False
            for share in self._shares:
                share.begin_step(chosen[share.rows])
            if not self.spec.replaces_actions:
                return chosen
            for share in self._shares:
                share.wait_for_taken()
            # A parked environment may have begun an episode that its caller did not want yet.
            live = self._progress.live.reshape(-1, *[1] * (chosen.ndim - 1))
            return np.where(live, shared.taken, chosen)

    def recv(self) -> Step:
        """Waits for the step of all workers; see `VectorEnv.recv`.

        Raises:
            RuntimeError: no step is under way, or the batch is closed.
            StageFailure: a worker was replaced `max_restarts` times in vain; the batch is closed.
        """
        with self._at_work():
            self._halves.recv()
            for share in self._shares:
                share.end_step()
            shared = self._progress.shared
            seen = (shared.observations, shared.rewards)
            flags = (shared.terminated, shared.truncated, shared.life_lost)
            step = Step(*(array.copy() for array in (*seen, *flags)))
            live = self._progress.live.copy()
            self._leave_parked(step)
            over = step.terminated | step.truncated
            self._begun = over & live & self._ahead
            self._progress.live &= ~over
            self._progress.observations = step.observations
        return step

    def step(self, actions: np.ndarray) -> Step:
        """Steps all environments; see `VectorEnv.step`."""
        self.send(actions)
        return self.recv()

    def close(self) -> None:
        """Ends the workers, waits for them and releases their memory; may be called twice."""
        close_all([share.process for share in self._shares if share.process is not None])
        self._shares.clear()
        self._progress.shared = unmapped()
        if not self._closed:
            os.close(self._progress.memory_fd)
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

    def _leave_parked(self, step: Step) -> None:
        """Shows parked environments as they were, and says which of them were cut."""
        if self._progress.live.all():
            return
        parked = ~self._progress.live
        step.observations[parked] = self._progress.observations[parked]
        step.rewards[parked] = 0.0
        for flags in (step.terminated, step.truncated, step.life_lost):
            flags[parked] = False
        step.truncated[self._progress.cut] = True
        self._progress.cut[:] = False


def _split(num_envs: int, workers: int) -> list[range]:
    """Returns the environments of each worker, the first ones getting what is left over."""
    size, left = divmod(num_envs, workers)
    starts = [number * size + min(number, left) for number in range(workers + 1)]
    return [range(a, b) for a, b in pairwise(starts)]
