"""The executor of one machine: hands out units, watches deadlines, replaces the dead."""

from __future__ import annotations

import selectors
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from curriculum.pool.channel import dumps, loads
from curriculum.pool.executor import Result, Unit, UnitFailed
from curriculum.pool.interpreter import FROM_OUTSIDE, end_all
from curriculum.pool.process import WorkerProcess
from curriculum.pool.reference import reference_to
from curriculum.pool.worker import DONE, READY, Bench
from curriculum.stops import BrokenOff

Event = dict[str, Any]

_START_S = 60.0
_TICK_S = 1.0
_MAX_STARTS = 3


class Pool:
    """The executor (`curriculum.pool.executor.Executor`) of one machine: processes, or this one.

    Start the parent with the thread limits of the workers where serial results have to equal
    theirs to the last bit.

    Args:
        workers: processes; 0 does everything here, one after the other, and without deadline.
        build: builds the context; None leaves it None.
        args: its arguments; `refresh` replaces them.
        deadline_s: time for one unit, building the context included, before its worker is killed;
            time it waits for a processor does not count.
        max_attempts: how often a unit is tried before `UnitFailed`.
        on_event: is told `worker_died`, `worker_hung`, `worker_not_started`, `worker_recycled`,
            `unit_failed` and `pool_serial`, as JSON-compatible dictionaries with an `event`.
        threads_per_worker: limit for OpenMP and BLAS threads in a worker.
        recycle_growth_bytes: a worker whose memory has grown by more since its first unit was
            done is replaced before it gets another, because environments leak.
        breakable: around each unit that is done in this process; may raise `BrokenOff` in it, after
            which `on_wait` says whether the unit is done again.
    """

    def __init__(
        self,
        workers: int,
        build: Callable[..., Any] | None = None,
        args: tuple[Any, ...] = (),
        deadline_s: float = 600.0,
        max_attempts: int = 3,
        on_event: Callable[[Event], None] | None = None,
        threads_per_worker: int = 1,
        recycle_growth_bytes: int = 1 << 30,
        breakable: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        if workers < 0 or max_attempts < 1 or threads_per_worker < 1 or not deadline_s > 0:
            raise ValueError(
                "a pool needs workers >= 0, max_attempts >= 1, threads_per_worker >= 1 and "
                f"deadline_s > 0, got {workers}, {max_attempts}, {threads_per_worker}, {deadline_s}"
            )
        self._size = workers
        self._build = reference_to(build) if build else ""
        self._deadline_s = deadline_s
        self._max_attempts = max_attempts
        self._emit: Callable[[Event], None] = on_event or (lambda event: None)
        self._threads = threads_per_worker
        self._recycle_growth_bytes = recycle_growth_bytes
        self._breakable = breakable
        self._workers: list[WorkerProcess] = []
        self._selector = selectors.DefaultSelector()
        self._bench: Bench | None = None
        self._failed_starts = 0
        self._serial = workers == 0
        self._closed = False
        self.refresh(args)

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def refresh(self, args: tuple[Any, ...]) -> None:
        """Has contexts built anew; see `Executor.refresh`."""
        self._recipe = dumps((self._build, args))
        for worker in self._workers:
            worker.has_recipe = False
        if self._bench is not None:
            self._bench.close()
            self._bench = None

    def map(
        self,
        function: Callable[[Any, Unit], Result],
        units: Sequence[Unit],
        on_result: Callable[[int, Result], None] | None = None,
        *,
        on_wait: Callable[[], None] | None = None,
        keep: bool = True,
    ) -> list[Result]:
        """Does all units; see `Executor.map`.

        Raises:
            UnitFailed: a unit failed `max_attempts` times.
            EnvironmentFault: see `Executor.map`.
            ValueError: the function cannot be sent by reference.
            RuntimeError: the pool is closed.
        """
        if self._closed:
            raise RuntimeError("this pool is closed: make a new one")
        job = _Job(reference_to(function), units, on_result, keep)
        try:
            while job.unfinished and not self._serial:
                self._turn(job)
                if on_wait is not None:
                    on_wait()
        finally:
            self._stop([w for w in self._workers if self._serial or w.unit is not None])
        for number in sorted(job.unfinished):
            self._do_here(job, number, on_wait)
        return job.results

    def close(self) -> None:
        """Ends all workers and waits for them; may be called again."""
        self._closed = True
        self._stop(list(self._workers))
        if self._bench is not None:
            self._bench.close()
            self._bench = None
        self._selector.close()

    def _turn(self, job: _Job) -> None:
        """Hands out units, then waits for whatever comes first: data, an end, a deadline."""
        self._hand_out(job)
        ends = [worker.end.left() for worker in self._workers if worker.unit is not None]
        for key, mask in self._selector.select(min([_TICK_S, *ends])):
            self._exchange(key.data, mask, job)
        for worker in [w for w in self._workers if w.unit is not None]:
            if worker.end.left() <= 0.0:
                self._lost(job, worker, hung=True)
            elif worker.end.interpreter.process.poll() is not None:
                self._lost(job, worker, hung=False)

    def _hand_out(self, job: _Job) -> None:
        while job.waiting and not self._serial:
            worker = self._idle()
            if worker is None:
                return
            number = job.waiting.popleft()
            message = dumps((job.function, job.units[number]))
            wait = self._deadline_s if worker.ready else min(self._deadline_s, _START_S)
            worker.give(number, message, self._recipe, wait)
            self._watch(worker, sending=True)

    def _idle(self) -> WorkerProcess | None:
        """Returns a worker without a unit, started if need be; None if there is no room for one."""
        for worker in [w for w in self._workers if w.unit is None]:
            if worker.end.interpreter.process.poll() is not None:
                self._lost(None, worker, hung=False)
            elif not self._recycled(worker):
                return worker
        if len(self._workers) >= self._size:
            return None
        try:
            worker = WorkerProcess(self._threads)
        except OSError as e:
            self._not_started(f"{type(e).__name__}: {e}")
            return None
        self._workers.append(worker)
        self._selector.register(worker.end.socket, selectors.EVENT_READ, worker)
        return worker

    def _recycled(self, worker: WorkerProcess) -> bool:
        """Ends an idle worker that has grown too much; says whether it did."""
        grown = worker.end.grown_bytes()
        if grown <= self._recycle_growth_bytes:
            return False
        self._stop([worker])
        self._emit({"event": "worker_recycled", "grown_bytes": grown})
        return True

    def _watch(self, worker: WorkerProcess, sending: bool) -> None:
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if sending else 0)
        self._selector.modify(worker.end.socket, events, worker)

    def _exchange(self, worker: WorkerProcess, mask: int, job: _Job) -> None:
        try:
            if mask & selectors.EVENT_WRITE:
                self._watch(worker, sending=not worker.end.flush())
            if mask & selectors.EVENT_READ:
                worker.end.fill()
        except EOFError:
            # How it ended is read from the process, and reported, by _lost.
            self._lost(job, worker, hung=False)
            return
        while (message := worker.end.take()) is not None:
            self._take(job, worker, *message)

    def _take(self, job: _Job, worker: WorkerProcess, kind: bytes, content: bytes) -> None:
        if kind == READY:
            worker.ready = True
            worker.end.allow(self._deadline_s)
            self._failed_starts = 0
            return
        number, worker.unit = worker.unit, None
        assert number is not None
        if kind == DONE:
            job.finish(number, loads(content))
            return
        worker.has_recipe = False
        self._failed(job, number, *loads(content))

    def _lost(self, job: _Job | None, worker: WorkerProcess, hung: bool) -> None:
        """Clears away a worker that died or hangs, and decides what becomes of its unit."""
        self._stop([worker])
        end = worker.end.interpreter.describe_end()
        facts = {"unit": worker.unit, "log": worker.end.release()}
        if hung:
            seconds = self._deadline_s if worker.ready else min(self._deadline_s, _START_S)
            end = f"ran past its deadline of {seconds:g} s"
        self._emit({"event": "worker_hung" if hung else "worker_died", "how": end, **facts})
        if job is None or worker.unit is None:
            return
        if not worker.ready:
            job.again(worker.unit)
            self._not_started(end)
        elif not hung and -worker.end.interpreter.process.returncode in FROM_OUTSIDE:
            job.again(worker.unit)
            job.killed[worker.unit] += 1
            if job.killed[worker.unit] >= self._max_attempts:
                self._go_serial(f"unit {worker.unit} lost its worker {self._max_attempts} times")
        else:
            self._failed(job, worker.unit, f"its worker {end}", facts["log"])

    def _failed(self, job: _Job, number: int, reason: str, detail: str, fault: bytes = b"") -> None:
        error = loads(fault) if fault else None
        if error is not None and (error.certain or job.faults.get(number) == reason):
            raise error
        job.faults[number] = reason
        job.attempts[number] += 1
        attempt = job.attempts[number]
        facts = {"unit": number, "function": job.function, "reason": reason, "attempt": attempt}
        self._emit({"event": "unit_failed", **facts})
        if attempt >= self._max_attempts:
            raise UnitFailed(
                f"unit {number} of {job.function} failed {attempt} times: {reason}",
                {**facts, "detail": detail},
            )
        job.again(number)

    def _not_started(self, reason: str) -> None:
        self._emit({"event": "worker_not_started", "reason": reason})
        self._failed_starts += 1
        if self._failed_starts >= _MAX_STARTS:
            self._go_serial(f"{_MAX_STARTS} workers in a row did not start: {reason}")

    def _go_serial(self, reason: str) -> None:
        if not self._serial:
            self._serial = True
            self._emit({"event": "pool_serial", "reason": reason})

    def _do_here(self, job: _Job, number: int, on_wait: Callable[[], None] | None) -> None:
        """Does one unit in this process, by value and with retries, as a worker would."""
        while number in job.unfinished:
            try:
                with self._breakable():
                    kind, content = self._answer(job, number)
            except BrokenOff:
                # Its environments are anywhere: the unit begins anew, with new ones.
                self._bench = None
                if on_wait is not None:
                    on_wait()
                continue
            if kind == DONE:
                job.finish(number, loads(content))
            else:
                self._bench = None
                self._failed(job, number, *loads(content))

    def _answer(self, job: _Job, number: int) -> tuple[bytes, bytes]:
        if self._bench is None:
            self._bench = Bench(*loads(self._recipe))
        return self._bench.answer(job.function, loads(dumps(job.units[number])))

    def _stop(self, workers: list[WorkerProcess]) -> None:
        """Ends workers and forgets them."""
        end_all([worker.end.interpreter for worker in workers])
        for worker in workers:
            self._workers.remove(worker)
            self._selector.unregister(worker.end.socket)
            worker.end.release()


class _Job:
    """One map: what is waiting, what is done, what went wrong how often."""

    def __init__(
        self,
        function: str,
        units: Sequence[Any],
        on_result: Callable[[int, Any], None] | None,
        keep: bool,
    ) -> None:
        self.function = function
        self.units = units
        self.results: list[Any] = [None] * len(units) if keep else []
        self.waiting = deque(range(len(units)))
        self.unfinished = set(self.waiting)
        self.attempts: Counter[int] = Counter()
        self.killed: Counter[int] = Counter()
        self.faults: dict[int, str] = {}
        self._on_result = on_result
        self._keep = keep

    def again(self, number: int) -> None:
        self.waiting.appendleft(number)

    def finish(self, number: int, result: Any) -> None:
        self.unfinished.discard(number)
        if self._keep:
            self.results[number] = result
        if self._on_result is not None:
            self._on_result(number, result)
