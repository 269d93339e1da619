"""Reviews in guarded subprocesses: what hangs, crashes or leaves is a finding like any other."""

from __future__ import annotations

import json
import re
import secrets
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from diagnostics.probing.patience import STRETCH
from diagnostics.probing.processes import OUTPUT_LIMIT_BYTES, GuardedProcess, import_path
from diagnostics.vetting.findings import LEVELS, Finding

ORDER = "order.json"
MAX_PROCESSES = 20
"""For one review: a part that ends its process is left out and the rest is gone on with."""

_STACK_LINE = re.compile(r'^  File "(.+)", line (\d+) in ')


@dataclass
class Seen:
    """What one process told: findings, facts, parts that ended, and the one it did not end.

    Nothing of a review is left to another process where a part ends it that all others need.
    """

    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    open_part: str = ""
    needed: bool = False
    complete: bool = False


@dataclass
class Review:
    """What a whole review told.

    Attributes:
        findings: of all its processes, with one for each part that ended its process.
        facts: what was told beside findings.
        complete: whether no part ended its process.
    """

    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    complete: bool = True


class _Ending(NamedTuple):
    text: str
    timed_out: bool = False


def review(kind: str, place: str, timeout_s: float, **order: Any) -> Review:
    """Has `diagnostics.vetting.inside` do a review, in as many processes as it takes.

    A part that ran out of time behind others gets a process, and all the time, of its own; one
    that ended its process is a finding, and the parts behind it are reviewed by another process.

    Args:
        kind: of review, see `inside.REVIEWS`.
        place: of findings about the process.
        timeout_s: seconds for a process.
        **order: arguments of the review, as JSON.
    """
    whole, skip = Review(), list[str]()
    for _ in range(MAX_PROCESSES):
        seen, stopped = _look({"kind": kind, "place": place, "skip": skip, **order}, timeout_s)
        whole.findings += seen.findings
        whole.facts |= seen.facts
        skip += seen.ended
        if seen.complete:
            return whole
        if seen.ended and stopped.timed_out:
            continue
        whole.complete = False
        doing = f" while it reviewed {seen.open_part}" if seen.open_part else ""
        fix = "make it end by itself, or raise --timeout" if stopped.timed_out else ""
        whole.findings.append(Finding("error", place, f"{stopped.text}{doing}", fix))
        if seen.needed or not seen.open_part:
            return whole
        skip.append(seen.open_part)
    whole.findings.append(Finding("error", place, f"was given up after {MAX_PROCESSES} processes"))
    return whole


def _look(order: Mapping[str, Any], timeout_s: float) -> tuple[Seen, _Ending]:
    """Runs one process; returns what it told, and how it ended if that was not as it should."""
    token, hard_s = secrets.token_hex(16), STRETCH * timeout_s
    process = GuardedProcess(
        [sys.executable, "-m", "diagnostics.vetting.inside"],
        timeout_s,
        env={"PYTHONPATH": import_path()},
        files={ORDER: json.dumps({**order, "token": token, "hard_s": hard_s})},
    )
    try:
        process.wait()
        seen = _read(process.tail("stdout", OUTPUT_LIMIT_BYTES), token)
        return seen, _ending(process, timeout_s)
    finally:
        process.close()


def _read(told: str, token: str) -> Seen:
    seen = Seen()
    for line in told.splitlines():
        try:
            facts = json.loads(line)
        except ValueError:
            continue  # cut off by a crash, or printed by a stranger: nothing that was signed
        if not isinstance(facts, dict) or facts.pop("token", None) != token:
            continue
        _take(seen, facts)
    return seen


def _take(seen: Seen, facts: dict[str, Any]) -> None:
    if "finding" in facts and facts["finding"].get("level") in LEVELS:
        seen.findings.append(Finding(**facts["finding"]))
    elif "begin" in facts:
        seen.open_part, seen.needed = facts["begin"], facts.get("needed", False)
    elif "end" in facts:
        seen.open_part = ""
        seen.ended.append(facts["end"])
    elif facts.get("complete"):
        seen.complete = True
    else:
        seen.facts |= facts


def _ending(process: GuardedProcess, timeout_s: float) -> _Ending:
    if process.flooded:
        return _Ending(f"printed more than {OUTPUT_LIMIT_BYTES // 2**20} MiB and was ended")
    if process.stopped_by == "timeout":
        where = _standing_at(process.tail("stderr"))
        return _Ending(f"did not end within {timeout_s:g} s{where}", timed_out=True)
    code = process.returncode
    if code is not None and code < 0:
        return _Ending(f"crashed its process with {_signal_name(-code)}")
    return _Ending(f"ended its process, with exit code {code}, before the review was over")


def _standing_at(stderr: str) -> str:
    """Names the line that the stack on stderr ends in; its newest call stands first."""
    stack = stderr.rpartition("most recent call first")[2].splitlines()[1:]
    found = next((match for line in stack if (match := _STACK_LINE.match(line))), None)
    return f", standing at {Path(found[1])}:{found[2]}" if found else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"  # a real-time signal has no name
