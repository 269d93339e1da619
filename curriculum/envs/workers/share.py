"""One worker's share of a batch: its environments, what they do, and how they are brought back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curriculum.envs.interface import EnvSpec
from curriculum.envs.trace import Tracer
from curriculum.envs.workers.process import EnvProcess, Lost, close_all
from curriculum.envs.workers.shared import SharedStep
from curriculum.envs.workers.worker import REPLAY, REPLAYED, RESET, SHOWN, STEP, STEPPED, TAKEN
from curriculum.errors import EnvironmentFault, StageFailure
from curriculum.pool.channel import dumps, loads

Event = dict[str, Any]

_CHECK_RESETS = 256
_CHECK_S = 30.0
_NOT_DETERMINISTIC = (
    "replayed with the same seeds and actions they went another way: the environment is not "
    "deterministic"
)


@dataclass(frozen=True)
class Terms:
    """How workers build their environments and how they are supervised; see `Workers`."""

    make: str
    args: tuple[Any, ...]
    deadline_s: float
    start_s: float
    max_restarts: int
    recycle_growth_bytes: int
    emit: Callable[[Event], None]


@dataclass
class Board:
    """What all shares see of the whole batch.

    Attributes:
        memory_fd: the memory in which workers show their steps.
        shared: what is in it.
        observations: the last ones that were returned, `[N, ...]`.
        live: whose episode is in progress, `[N]`.
        cut: whose episode could not be continued, which the next step tells, `[N]`.
    """

    memory_fd: int
    shared: SharedStep
    observations: np.ndarray
    live: NDArray[np.bool_]
    cut: NDArray[np.bool_]


class Share:
    """Consecutive environments of a batch and the worker that plays them.

    A command (a step or a reset) is begun first and ended later, so that workers work side by
    side. Whatever goes wrong with the worker in between is put right here: it is replaced, its
    episodes in progress are played again, and the command is given again. An error of the user's
    environment that comes again is raised. One that fails twice otherwise loses its episodes in
    progress, as do its neighbours of the same worker, because the batch they form cannot be
    stepped without it.

    Args:
        number: of the worker.
        rows: which environments of the batch.
        terms: how it is built and supervised.
        board: of the whole batch, whose memory is mapped after `start` and before any command.
    """

    def __init__(self, number: int, rows: range, terms: Terms, board: Board) -> None:
        self.rows = slice(rows.start, rows.stop)
        self.process: EnvProcess | None = None
        self._number = number
        self._environments = rows
        self._terms = terms
        self._board = board
        self._live = board.live[self.rows]
        self._cut = board.cut[self.rows]
        self._failures = 0
        self._faults = 0
        self._step: np.ndarray | None = None
        self._reset: tuple[list[int], list[int]] | None = None
        self._resets = 0
        self._next_check = time.monotonic() + _CHECK_S

    def launch(self) -> None:
        """Starts the worker, and does not wait for it."""
        # Where that fails, `start` tries again and tells why.
        with contextlib.suppress(Lost):
            self._launch()

    def start(self) -> EnvSpec:
        """Waits for the worker's environments and returns what they look like.

        Raises:
            Exception: whatever the function that builds them raised.
            StageFailure: the worker did not come to building them.
        """
        while True:
            try:
                if self.process is None:
                    self._launch()
                self.spec = self._running.ready()
                self._tracer = Tracer(self.spec.action, self._live)
                return self.spec
            except Lost as lost:
                error = _raised(lost)
                if error is not None:
                    raise error from None
                self._clear_away(lost)

    def begin_step(self, actions: np.ndarray) -> None:
        """Starts a step, unless no episode is in progress.

        Args:
            actions: checked, `[n, ...]`, as they stand in the shared memory too.
        """
        self._faults = 0
        if self._live.any():
            self._step = actions
            self._command()

    def wait_for_taken(self) -> None:
        """Waits until the shared memory tells which actions are really taken.

        Raises:
            StageFailure: the worker was replaced as often as it may.
        """
        self._answer(TAKEN)

    def end_step(self) -> None:
        """Waits until the shared memory tells what came of the step to live environments.

        Raises:
            StageFailure: the worker was replaced as often as it may.
        """
        self._answer(STEPPED)
        if self._step is not None:
            self._tracer.append(self._step)
            self._step = None
            self._failures = 0

    def begin_reset(self, rows: list[int], seeds: list[int]) -> None:
        """Starts episodes with these seeds in these environments, counted from the first here."""
        self._faults = 0
        self._live[rows] = False
        self._cut[rows] = False
        self._recycle(len(rows))
        self._reset = (rows, seeds)
        self._command()

    def end_reset(self) -> np.ndarray:
        """Returns the first observations, in the order of the rows.

        Raises:
            StageFailure: the worker was replaced as often as it may.
        """
        self._answer(SHOWN)
        assert self._reset is not None
        rows, seeds = self._reset
        self._reset = None
        self._tracer.begin(rows, seeds)
        self._live[rows] = True
        return self._shown()[rows]

    def go_on(self, rows: list[int], seeds: list[int]) -> None:
        """Takes over the episodes that the worker has begun by itself; they are shown already."""
        self._tracer.begin(rows, seeds)
        self._live[rows] = True
        self._faults = 0
        self._recycle(len(rows))

    def _launch(self) -> None:
        num_envs = self._board.live.size
        build = (self._terms.make, self._terms.args, self.rows, num_envs)
        self.process = EnvProcess(build, self._board.memory_fd)
        self.process.begin(self._terms.start_s)

    @property
    def _running(self) -> EnvProcess:
        assert self.process is not None
        return self.process

    def _shown(self) -> np.ndarray:
        return self._board.shared.observations[self.rows]

    def _command(self) -> None:
        try:
            self._give()
        except Lost as lost:
            self._recover(lost)

    def _give(self) -> None:
        """Gives the worker what is under way, if anything is."""
        if self._step is not None:
            self._running.give(STEP, self._terms.deadline_s)
        elif self._reset is not None:
            self._running.give(RESET, self._terms.deadline_s, dumps(self._reset))

    def _answer(self, kind: bytes) -> None:
        """Waits for an answer to what is under way, as long as something is."""
        while self._step is not None or self._reset is not None:
            try:
                self._running.answer(kind)
                return
            except Lost as lost:
                self._recover(lost)

    def _recover(self, lost: Lost) -> None:
        """Replaces the worker until one has come to where the last one was.

        Raises:
            EnvironmentFault: the environments raise there again.
            StageFailure: the worker was replaced as often as it may.
        """
        while True:
            self._clear_away(lost)
            error = _raised(lost)
            if isinstance(error, EnvironmentFault) and (error.certain or self._faults > 1):
                raise error
            if self._faults > 1:
                rows = np.flatnonzero(self._live).tolist()
                self._give_up(rows, f"the environments failed again when replayed: {lost.how}")
            try:
                facts = self._facts()
                self._replace()
                self._tell("env_worker_replaced", **facts)
                self._give()
                return
            except Lost as e:
                lost = e

    def _clear_away(self, lost: Lost) -> None:
        """Ends what is left of a worker; raises StageFailure if that was one too many."""
        log = self._running.end() if self.process is not None else ""
        self.process = None
        self._tell(lost.event, how=lost.how, traceback=lost.trace, log=log)
        self._failures += 1
        self._faults += not lost.blameless
        if self._failures > self._terms.max_restarts:
            raise StageFailure(
                f"worker {self._number} of the environments was replaced "
                f"{self._terms.max_restarts} times and not one step came of it: {lost.how}",
                {
                    "worker": self._number,
                    "environments": list(self._environments),
                    "reason": lost.how,
                    "traceback": lost.trace,
                    "log": log,
                },
            )

    def _replace(self) -> None:
        """Starts a worker and plays the episodes in progress again."""
        self._launch()
        spec = self._running.ready()
        if spec != self.spec:
            raise Lost("env_worker_raised", f"built {spec}, where there was {self.spec} before")
        trace = self._tracer.trace()
        if not trace.rows:
            return
        self._running.give(REPLAY, self._terms.deadline_s, dumps(trace))
        ended = self._running.answer(REPLAYED)
        before, now = self._board.observations[self.rows], self._shown()
        wrong = [
            row for row in trace.rows if row in ended or now[row].tobytes() != before[row].tobytes()
        ]
        self._give_up(wrong, _NOT_DETERMINISTIC)

    def _give_up(self, rows: Sequence[int], reason: str) -> None:
        """Cuts episodes, and the step under way if there is none left to be stepped."""
        if rows:
            self._live[list(rows)] = False
            self._cut[list(rows)] = True
            seeds = self._tracer.seeds(rows)
            places = [self._environments[row] for row in rows]
            self._tell("env_episodes_cut", environments=places, seeds=seeds, reason=reason)
        if not self._live.any():
            self._step = None

    def _recycle(self, resets: int) -> None:
        """Replaces a worker that has grown too much; looks only now and then."""
        self._resets += resets
        now = time.monotonic()
        if self._resets < _CHECK_RESETS and now < self._next_check:
            return
        self._resets, self._next_check = 0, now + _CHECK_S
        self._running.trim_log()
        grown = self._running.grown_bytes()
        if grown <= self._terms.recycle_growth_bytes:
            return
        self._tell("env_worker_recycled", grown_bytes=grown, **self._facts())
        close_all([self._running])
        try:
            self._replace()
        except Lost as lost:
            self._recover(lost)

    def _facts(self) -> Event:
        """Returns what is to be played again."""
        trace = self._tracer.trace()
        return {
            "environments": [self._environments[row] for row in trace.rows],
            "seeds": list(trace.seeds),
            "steps": len(trace.actions),
        }

    def _tell(self, event: str, **facts: Any) -> None:
        about = {"worker": self._number, "environments": list(self._environments)}
        self._terms.emit({"event": event, **about, **facts})


def _raised(lost: Lost) -> BaseException | None:
    """Returns what a worker raised, if it could be sent and can be understood here."""
    if not lost.error:
        return None
    try:
        error: BaseException = loads(lost.error)
    except Exception:  # noqa: BLE001 - its class may exist in the worker only; its text is told
        return None
    error.add_note(f"The worker that built the environments says:\n{lost.trace}")
    return error
