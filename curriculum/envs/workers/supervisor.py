"""The parent's side: a batch of environments that is spread over workers and outlives them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

from curriculum.envs.contract import Halves, SeedBook, checked_actions, checked_rows
from curriculum.envs.interface import EnvSpec, Step
from curriculum.envs.workers.process import close_all
from curriculum.envs.workers.share import Event, Progress, Share, Terms
from curriculum.envs.workers.shared import map_step, new_memory, unmapped
from curriculum.errors import ConfigError, StageFailure


class WorkerVectorEnv:
    """N environments in worker processes (`curriculum.envs.interface.VectorEnv`).

    Episodes have to be functions of their seed and actions. Then nothing that a worker does can be
    seen from outside, except for episodes that cannot be continued: these are truncated with their
    last observation and reward 0.

    Args:
        make: name of the function that builds a batch in a worker, `package.module:function`; it
            is called with `args` and the number of environments, last.
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
        ValueError: there are no environments or no workers.
    """

    def __init__(
        self,
        make: str,
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
        terms = Terms(make, args, deadline_s, start_s, max_restarts, recycle_growth_bytes, emit)
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
            concerned: list[tuple[Share, np.ndarray]] = []
            for share in self._shares:
                own = (rows >= share.rows.start) & (rows < share.rows.stop)
                if own.any():
                    concerned.append((share, own))
                    share.begin_reset((rows[own] - share.rows.start).tolist(), taken[own].tolist())
            observations = self._progress.observations.copy()
            for share, own in concerned:
                observations[rows[own]] = share.end_reset()
            self._progress.observations = observations
        return observations

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
            for share in self._shares:
                share.begin_step(chosen[share.rows])
            if not self.spec.replaces_actions:
                return chosen
            for share in self._shares:
                share.wait_for_taken()
            return shared.taken.copy()

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
            _, _, *seen = self._progress.shared
            step = Step(*(array.copy() for array in seen))
            self._leave_parked(step)
            self._progress.live &= ~(step.terminated | step.truncated)
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
        except StageFailure:
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
