"""Probing: each component is imported *and used* in a fresh interpreter that cannot outstay.

A component that hangs, crashes, floods its output, exits early or leaves processes behind costs at
most its own timeout and is reported as a state with a reason.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from diagnostics.components import Component
from diagnostics.cores import available_cores
from diagnostics.processes import OUTPUT_LIMIT_BYTES, GuardedProcess, import_path

POLL_S = 0.01
NOT_PROBED = "not probed: "
OUTCOME_LIMIT_BYTES = 65536
CHILD = Path(__file__).with_name("probe_child.py")
DEFAULTS = {"OMP_NUM_THREADS": "1", "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}


class ProbeState(StrEnum):
    """What a probe found."""

    OK = "ok"
    SLOW = "slow"
    MISSING = "missing"
    BROKEN = "broken"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    LIED = "lied"


@dataclass(frozen=True)
class ProbeResult:
    """The outcome of one probe.

    Attributes:
        name: the component.
        state: what was found.
        version: the version the component reports, None if it has none or never said.
        seconds: wall time of the probe, interpreter start included; 0 if it was not run.
        detail: one line for a person.
        signal: name of the signal that killed it, e.g. `SIGSEGV`.
    """

    name: str
    state: ProbeState
    version: str | None
    seconds: float
    detail: str
    signal: str | None = None

    @property
    def usable(self) -> bool:
        """Whether the component can be relied on."""
        return self.state in (ProbeState.OK, ProbeState.SLOW)

    @property
    def probed(self) -> bool:
        """Whether a probe was run at all, rather than spared because it could not succeed."""
        return not self.detail.startswith(NOT_PROBED)

    def to_json(self) -> dict[str, Any]:
        """Returns the result as JSON-compatible data."""
        return {**asdict(self), "state": str(self.state), "seconds": round(self.seconds, 3)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ProbeResult:
        """Inverts `to_json`.

        Raises:
            ValueError: the data is not such a result.
        """
        try:
            result = cls(**{**data, "state": ProbeState(data["state"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a probe result: {error}; expected the fields of one") from error
        texts = (result.version or "", result.signal or "", result.name, result.detail)
        right = all(isinstance(t, str) for t in texts) and isinstance(result.seconds, int | float)
        if not right:
            raise ValueError(f"not a probe result: {dict(data)!r} has a field of the wrong type")
        return result


OnChange = Callable[[str, ProbeResult | None], None]
"""Called with a component's name when its probe starts (None) and ends (its result)."""


def run_probe(
    name: str, code: str, timeout_s: float = 15.0, slow_s: float | None = None
) -> ProbeResult:
    """Probes one component and blocks until it is over, at most `timeout_s` and a short grace.

    Args:
        name: what it is called in the result.
        code: Python that imports and uses it; may set `version` and `detail`, and call
            `missing(reason)` and `expect(condition, otherwise)`.
        timeout_s: seconds it may take.
        slow_s: seconds from which it counts as `slow`; half the timeout if None.
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
) -> dict[str, ProbeResult]:
    """Probes components side by side under one hard total; leaves no process behind.

    A component whose requirement is unusable is not run and takes over its state, so a hanging
    torch costs one timeout. A requirement that is neither given nor known is not waited for.

    Args:
        components: what to probe, in the order of starting.
        timeout_s: seconds each may take, counted from its own start.
        total_s: seconds all together may take; four timeouts if None.
        max_parallel: probes at once; one per core, at least two, if None.
        slow_s: seconds from which one counts as `slow`; half the timeout if None.
        known: results that are already there, for requirements.
        on_change: told of every start and end.

    Returns:
        One result for each component given, in that order.
    """
    wanted = list(components)
    session = _Session(
        timeout_s=timeout_s,
        slow_s=timeout_s / 2 if slow_s is None else slow_s,
        deadline=time.monotonic() + (4 * timeout_s if total_s is None else total_s),
        max_parallel=max_parallel or max(2, available_cores()),
        on_change=on_change or (lambda name, result: None),
        waiting=wanted.copy(),
        running={},
        results=dict(known or {}),
    )
    session.run()
    return {c.name: session.results[c.name] for c in wanted}


@dataclass
class _Session:
    """The state of one `run_probes`."""

    timeout_s: float
    slow_s: float
    deadline: float
    max_parallel: int
    on_change: OnChange
    waiting: list[Component]
    running: dict[str, GuardedProcess]
    results: dict[str, ProbeResult]

    def run(self) -> None:
        try:
            while self.waiting or self.running:
                self._start_ready()
                self._collect()
                if time.monotonic() >= self.deadline:
                    self._give_up()
                time.sleep(POLL_S)
        finally:
            # Ctrl-C comes through here: nothing may outlive the prober.
            for process in self.running.values():
                process.close()

    def _start_ready(self) -> None:
        unsettled = {c.name for c in self.waiting} | set(self.running)
        for component in list(self.waiting):
            if unsettled & set(component.requires):
                continue
            blocker = self._blocker(component)
            if blocker is not None:
                self.waiting.remove(component)
                self._settle(_not_probed(component.name, blocker))
                unsettled.discard(component.name)
            elif len(self.running) < self.max_parallel:
                self.waiting.remove(component)
                self._start(component)

    def _blocker(self, component: Component) -> ProbeResult | None:
        found = [self.results[r] for r in component.requires if r in self.results]
        return next((r for r in found if not r.usable), None)

    def _start(self, component: Component) -> None:
        self.on_change(component.name, None)
        try:
            self.running[component.name] = _start_probe(component.code, self.timeout_s)
        except OSError as error:
            detail = f"the probe could not be started: {error}"
            self._settle(ProbeResult(component.name, ProbeState.BROKEN, None, 0.0, detail))

    def _collect(self) -> None:
        for name, process in list(self.running.items()):
            if process.poll():
                result = _classify(name, process, self.timeout_s, self.slow_s)
                process.close()
                del self.running[name]
                self._settle(result)

    def _give_up(self) -> None:
        for component in self.waiting:
            detail = f"{NOT_PROBED}the time for all probes together was over"
            self._settle(ProbeResult(component.name, ProbeState.TIMEOUT, None, 0.0, detail))
        self.waiting.clear()
        for process in self.running.values():
            process.stop("total")

    def _settle(self, result: ProbeResult) -> None:
        self.results[result.name] = result
        self.on_change(result.name, result)


def _start_probe(code: str, timeout_s: float) -> GuardedProcess:
    env = {k: v for k, v in DEFAULTS.items() if k not in os.environ}
    # -P keeps the probe's own folder off sys.path; import_path gives it what the prober sees.
    argv = [sys.executable, "-P", "-u", str(CHILD.resolve()), ".", str(timeout_s)]
    return GuardedProcess(
        argv, timeout_s, {**env, "PYTHONPATH": import_path()}, {"component.py": code}
    )


def _not_probed(name: str, blocker: ProbeResult) -> ProbeResult:
    detail = f"{NOT_PROBED}{blocker.name} is {blocker.state}"
    return ProbeResult(name, blocker.state, None, 0.0, detail)


def _classify(name: str, process: GuardedProcess, timeout_s: float, slow_s: float) -> ProbeResult:
    outcome = _outcome(process)
    version = outcome.get("version") if isinstance(outcome.get("version"), str) else None
    code = process.returncode

    def result(state: ProbeState, detail: str, number: str | None = None) -> ProbeResult:
        return ProbeResult(name, state, version, process.seconds, detail, number)

    if process.flooded:
        limit = OUTPUT_LIMIT_BYTES // 2**20
        return result(ProbeState.BROKEN, f"printed more than {limit} MiB while it was probed")
    if process.stopped_by is not None:
        return result(ProbeState.TIMEOUT, _timeout_detail(process, timeout_s, outcome))
    worked = outcome.get("state") == ProbeState.OK
    prefix = "worked, but " if worked else ""
    if code is not None and code < 0:
        signal_name = _signal_name(-code)
        where = _stack_top(process)
        return result(ProbeState.CRASHED, f"{prefix}died of {signal_name}{where}", signal_name)
    if code == 0 and not worked:
        return result(ProbeState.LIED, "exited with 0 before it had been used")
    if worked and code == 0:
        state = ProbeState.SLOW if process.seconds > slow_s else ProbeState.OK
        return result(state, str(outcome.get("detail", "")))
    if worked or "state" not in outcome:
        return result(ProbeState.BROKEN, f"{prefix}exited with {code}{_last_line(process)}")
    return result(ProbeState(outcome["state"]), str(outcome.get("detail", "")))


def _outcome(process: GuardedProcess) -> dict[str, Any]:
    """Returns what the child recorded; nothing if it is absent, damaged or not signed."""
    try:
        with (process.directory / "outcome.json").open("rb") as file:
            data = json.loads(file.read(OUTCOME_LIMIT_BYTES))
    except (OSError, ValueError):
        return {}  # the state `lied`, `crashed` or `timeout` then says what happened
    signed = isinstance(data, dict) and data.get("nonce") == process.nonce
    return data if signed and data.get("state") in ("ok", "missing", "broken") else {}


def _timeout_detail(process: GuardedProcess, timeout_s: float, outcome: Mapping[str, Any]) -> str:
    if process.stopped_by == "total":
        return "stopped: the time for all probes together was over"
    if outcome.get("state") == ProbeState.OK:
        return f"worked, but did not exit within {timeout_s:g} s"
    return f"no answer within {timeout_s:g} s{_stack_top(process)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # real-time signals have no name


def _stack_top(process: GuardedProcess) -> str:
    """Says where the child was, from the stack that faulthandler left on stderr."""
    dump = process.tail("stderr")
    # The thread that died is called current; among equals the main thread is listed last.
    thread = dump.rpartition("Current thread" if "Current thread" in dump else "Thread 0x")[2]
    stack = thread.partition("most recent call first")[2]
    frame = re.search(r'File "([^<"][^"]*)", line (\d+) in ', stack)
    return f"; it was in {frame[1]}, line {frame[2]}" if frame else ""


def _last_line(process: GuardedProcess) -> str:
    lines = process.tail("stderr").strip().splitlines()
    return f": {lines[-1][:300]}" if lines else ""
