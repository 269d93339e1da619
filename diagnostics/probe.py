"""Probing: each component is imported *and used* in a fresh interpreter that cannot outstay.

A component that hangs, crashes, floods its output, exits early or leaves processes behind costs at
most its own timeout and is reported as a state with a reason. One that is slow because others use
the machine is given longer: see `probing.patience`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from diagnostics.components import Component
from diagnostics.cores import available_cores
from diagnostics.probing.batch import ProbeBatch
from diagnostics.probing.interruption import signals_held
from diagnostics.probing.orphans import orphans_adopted
from diagnostics.probing.patience import LOOK_S
from diagnostics.probing.result import NOT_PROBED, NOT_STARTED, OnChange, ProbeResult, ProbeState
from diagnostics.probing.usage import describe_load

POLL_S = 0.01
TOTAL = 4
"""All probes together may take this many timeouts, as long as nothing keeps them waiting."""

HARD_TOTAL = 4
"""However busy the machine is, all probes together take at most this many times that."""

WAITING = 0.25
"""Share of the wall time that probes spent waiting for a core from which the machine is busy."""


def run_probe(
    name: str, code: str, timeout_s: float = 15.0, slow_s: float | None = None
) -> ProbeResult:
    """Probes one component and blocks until it is over.

    Args:
        name: what it is called in the result.
        code: Python that imports and uses it; may set `version` and `detail`, and call
            `missing(reason)` and `expect(condition, otherwise)`.
        timeout_s: seconds of its own it may take; up to eight times as much on a busy machine.
        slow_s: seconds of its own from which it counts as `slow`; half the timeout if None.
    """
    component = Component(name, name, code, (), "", "")
    slow = timeout_s / 2 if slow_s is None else slow_s
    return run_probes([component], timeout_s, slow_s=slow)[name]


def run_probes(
    components: Iterable[Component],
    timeout_s: float = 15.0,
    total_s: float | None = None,
    max_parallel: int | None = None,
    *,
    slow_s: float | None = None,
    known: Mapping[str, ProbeResult] | None = None,
    on_change: OnChange | None = None,
    notice: Callable[[str], None] | None = None,
) -> dict[str, ProbeResult]:
    """Probes components side by side under one hard total; leaves no process behind.

    Those that rest on the same one share its interpreter, see `probing.batch`. A component whose
    requirement is unusable is not run and takes over its state, so a hanging torch costs one
    timeout. A requirement that is neither given nor known is not waited for.

    Args:
        components: what to probe, in the order of starting.
        timeout_s: seconds of its own that each may take, counted from its own start: on an idle
            machine these are seconds of wall time, on a busy one there are up to eight times more.
        total_s: seconds all together may take, four times that on a busy machine; four timeouts if
            None. So with the default of 15 s it is all over after 60 s, or 240 s on a busy machine.
        max_parallel: processes at once; one per core, at least two, if None.
        slow_s: seconds of its own from which one counts as `slow`; half the timeout if None.
        known: results that are already there, for requirements.
        on_change: told of every start and end.
        notice: told, in sentences, why it takes longer.

    Returns:
        One result for each component given, in that order.

    Raises:
        KeyboardInterrupt, SystemExit: SIGINT, SIGTERM or SIGHUP came; nothing is left running.
    """
    wanted = list(components)
    total = TOTAL * timeout_s if total_s is None else total_s
    session = _Session(
        timeout_s=timeout_s,
        slow_s=timeout_s / 2 if slow_s is None else slow_s,
        total_s=total,
        max_parallel=max_parallel or max(2, available_cores()),
        on_change=on_change or (lambda name, result: None),
        notice=notice or (lambda text: None),
        waiting=wanted.copy(),
        results=dict(known or {}),
    )
    with signals_held() as stopped, orphans_adopted():
        session.run(stopped)
    return {c.name: session.results[c.name] for c in wanted}


@dataclass
class _Session:
    """The state of one `run_probes`."""

    timeout_s: float
    slow_s: float
    total_s: float
    max_parallel: int
    on_change: OnChange
    notice: Callable[[str], None]
    waiting: list[Component]
    results: dict[str, ProbeResult]
    running: list[ProbeBatch] = field(default_factory=list)
    alone: set[str] = field(default_factory=set)
    shown: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    began: float = field(default_factory=time.monotonic)
    spent_s: float = 0.0
    waited_s: float = 0.0
    over: bool = False
    next_look: float = 0.0

    def run(self, stopped: Callable[[], bool]) -> None:
        try:
            while (self.waiting or self.running) and not stopped():
                self._start_ready()
                self._collect()
                if self._total_is_over():
                    self._give_up()
                time.sleep(POLL_S)
        finally:
            for batch in self.running:
                batch.process.close()

    def _start_ready(self) -> None:
        for component in list(self.waiting):
            if component not in self.waiting or self._unsettled() & set(component.requires):
                continue
            blocker = self._blocker(component)
            if blocker is not None:
                self.waiting.remove(component)
                self._settle(_not_probed(component.name, blocker))
            elif len(self.running) < self.max_parallel:
                self._start(self._batch(component))

    def _unsettled(self) -> set[str]:
        return {c.name for c in self.waiting} | {c.name for b in self.running for c in b.components}

    def _batch(self, first: Component) -> list[Component]:
        """Returns a component and those that can share its interpreter."""
        batch = [first]
        if first.name in self.alone:
            return batch
        shared, unsettled = {first.name, *first.requires}, self._unsettled()
        for component in self.waiting:
            requires, there = set(component.requires), {c.name for c in batch}
            ready = not (requires & unsettled) - there and self._blocker(component) is None
            free = component.name not in self.alone | there
            if ready and free and requires & shared:
                batch.append(component)
        return batch

    def _blocker(self, component: Component) -> ProbeResult | None:
        found = [self.results[r] for r in component.requires if r in self.results]
        return next((r for r in found if not r.usable), None)

    def _start(self, components: list[Component]) -> None:
        for component in components:
            self.waiting.remove(component)
        try:
            self.running.append(ProbeBatch(components, self.timeout_s, self.slow_s))
        except OSError as error:
            detail = f"{NOT_STARTED}{error}"
            self._show(components)
            for component in components:
                self._settle(ProbeResult(component.name, ProbeState.BROKEN, None, 0.0, detail))
            return
        self._show(components[:1])

    def _collect(self) -> None:
        for batch in list(self.running):
            over = batch.poll()
            self._show(batch.begun)
            self._tell(batch)
            if not over:
                continue
            batch.process.close()
            self.running.remove(batch)
            self.spent_s += batch.process.age_s
            self.waited_s += batch.waited_s
            for result in batch.results:
                self._settle(result)
            self._again(batch)

    def _again(self, batch: ProbeBatch) -> None:
        self.waiting[:0] = [*batch.alone, *batch.left]
        for component in batch.alone:
            self.alone.add(component.name)
            self.notice(f"{component.name} failed beside others and is tried again alone")

    def _tell(self, batch: ProbeBatch) -> None:
        patience, name = batch.process.patience, batch.begun[-1].name
        if patience.extended and name not in self.told:
            self.told.add(name)
            self.notice(
                f"{name} is kept waiting by other work ({describe_load()}): it is given up to "
                f"{patience.hard_s:g} s"
            )

    def _show(self, begun: Iterable[Component]) -> None:
        for component in begun:
            if component.name not in self.shown:
                self.shown.add(component.name)
                self.on_change(component.name, None)

    def _total_is_over(self) -> bool:
        now = time.monotonic()
        elapsed = now - self.began
        if self.over or elapsed < self.total_s or now < self.next_look:
            return self.over
        self.next_look = now + LOOK_S
        waited = self.waited_s + sum(b.waited_s for b in self.running)
        spent = self.spent_s + sum(b.process.age_s for b in self.running)
        return elapsed >= HARD_TOTAL * self.total_s or waited < WAITING * spent

    def _give_up(self) -> None:
        self.over = True
        for component in self.waiting:
            detail = f"{NOT_PROBED}the time for all probes together was over; {describe_load()}"
            self._settle(ProbeResult(component.name, ProbeState.TIMEOUT, None, 0.0, detail))
        self.waiting.clear()
        for batch in self.running:
            batch.process.stop("total")

    def _settle(self, result: ProbeResult) -> None:
        self.results[result.name] = result
        self.on_change(result.name, result)


def _not_probed(name: str, blocker: ProbeResult) -> ProbeResult:
    detail = f"{NOT_PROBED}{blocker.name} is {blocker.state}"
    return ProbeResult(name, blocker.state, None, 0.0, detail)
