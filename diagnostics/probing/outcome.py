"""From what a probe's process left behind to a result: its answers, its end, its last words."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass
from typing import Any

from diagnostics.probing.processes import OUTPUT_LIMIT_BYTES, GuardedProcess
from diagnostics.probing.result import ProbeResult, ProbeState
from diagnostics.probing.usage import busy, describe_load

OUTCOME_LIMIT_BYTES = 65536
STATES = (ProbeState.OK, ProbeState.MISSING, ProbeState.BROKEN)


@dataclass(frozen=True)
class Answer:
    """What the child recorded of one step.

    Attributes:
        state, version, detail: what it found.
        cpu_s: seconds of CPU that the process had used by then.
        waited_s: seconds that it had been kept waiting for a core by then, None if unknown.
        last: whether the component failed in a way that ends the interpreter.
    """

    state: ProbeState
    version: str | None
    detail: str
    cpu_s: float
    waited_s: float | None
    last: bool = False


def read_answer(process: GuardedProcess, step: int) -> Answer | None:
    """Returns what the child recorded; None if it is absent, damaged or not signed."""
    try:
        with (process.directory / f"outcome{step}.json").open("rb") as file:
            data = json.loads(file.read(OUTCOME_LIMIT_BYTES))
    except (OSError, ValueError):
        return None  # the state `lied`, `crashed` or `timeout` then says what happened
    signed = isinstance(data, dict) and data.get("nonce") == process.nonce
    if not signed or data.get("state") not in STATES:
        return None
    version = data.get("version")
    return Answer(
        state=ProbeState(data["state"]),
        version=_one_line(version) if isinstance(version, str) else None,
        detail=_one_line(str(data.get("detail", ""))),
        cpu_s=_seconds(data.get("cpu_s")) or 0.0,
        waited_s=_seconds(data.get("waited_s")),
        last=bool(data.get("last")),
    )


def result_of(
    name: str, answer: Answer, before: Answer | None, seconds: float, slow_s: float
) -> ProbeResult:
    """Returns the result of a step that answered.

    Args:
        name: the component.
        answer: of the step.
        before: of the step before, None in the first one.
        seconds: wall time of the step.
        slow_s: seconds of its own, without what the machine kept it waiting, that make it slow.
    """
    state = answer.state
    if state == ProbeState.OK and _own_seconds(answer, before, seconds) > slow_s:
        state = ProbeState.SLOW
    return ProbeResult(name, state, answer.version, seconds, answer.detail)


def classify(
    name: str, process: GuardedProcess, step: int, seconds: float, slow_s: float
) -> ProbeResult:
    """Returns the result of the step in which a process ended, from its answer and its end."""
    answer = read_answer(process, step)
    code = process.returncode
    version = answer and answer.version
    worked = answer is not None and answer.state == ProbeState.OK
    prefix = "worked, but " if worked else ""

    def result(state: ProbeState, detail: str, number: str | None = None) -> ProbeResult:
        return ProbeResult(name, state, version, seconds, _one_line(detail), number)

    if process.flooded:
        limit = OUTPUT_LIMIT_BYTES // 2**20
        return result(ProbeState.BROKEN, f"printed more than {limit} MiB while it was probed")
    if process.stopped_by is not None:
        return result(ProbeState.TIMEOUT, _timeout_detail(process, worked))
    if code is not None and code < 0:
        signal_name = _signal_name(-code)
        return result(
            ProbeState.CRASHED, f"{prefix}died of {signal_name}{_stack_top(process)}", signal_name
        )
    if answer is None and code == 0:
        return result(ProbeState.LIED, "exited with 0 before it had been used")
    if answer is None or (worked and code != 0):
        return result(ProbeState.BROKEN, f"{prefix}exited with {code}{_last_line(process)}")
    return result_of(name, answer, read_answer(process, step - 1), seconds, slow_s)


def _own_seconds(answer: Answer, before: Answer | None, seconds: float) -> float:
    """Returns the wall time of a step without what the machine kept it waiting."""
    if answer.waited_s is not None:
        earlier = before.waited_s if before is not None and before.waited_s is not None else 0.0
        return seconds - (answer.waited_s - earlier)
    return answer.cpu_s - (before.cpu_s if before is not None else 0.0) if busy() else seconds


def _one_line(text: str) -> str:
    """Returns a component's own words without what would steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def _seconds(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _timeout_detail(process: GuardedProcess, worked: bool) -> str:
    if process.stopped_by == "total":
        return f"stopped: the time for all probes together was over{_crowd()}"
    patience = process.patience
    limit = f"{patience.limit_s:g} s"
    if worked:
        return f"worked, but did not exit within {limit}{_crowd()}"
    where = _stack_top(process)
    if patience.cpu_s >= patience.limit_s:
        return f"computed for {patience.cpu_s:.0f} s without an answer{where}{_crowd()}"
    if patience.extended:
        return (
            f"no answer within {patience.looked_at_s:.0f} s, of which other work kept it waiting "
            f"for {patience.waited_s:.0f} s{where}; {describe_load()}"
        )
    return f"no answer within {limit}{where}{_crowd()}"


def _crowd() -> str:
    return f"; {describe_load()}" if busy() else ""


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
