"""What has to be equal, to the last bit, in two runs of one configuration: all but the clock."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curriculum.records.commit import CommitStore
from curriculum.records.files import read_json
from curriculum.records.ledger import effective_events

Fingerprint = dict[str, Any]

CLOCK = {"t", "seconds", "committing", "spent", "pid", "rate"}
CLOCK |= {"resumed_at", "run_dir", "resume", "command", "log"}
"""Facts that two runs may differ in."""

ONCE = {"probe", "decision", "replacement", "notice", "verdict", "media", "run_finished"}
"""Events that every life of a run tells again: equal ones count once."""

OF_A_LIFE = {
    "run_started",
    "run_stopped",
    "stage_skipped",
    "commit_rejected",
    "resume_inexact",
    "worker_died",
    "worker_not_started",
    "unit_failed",
    "pool_serial",
}
"""Events about one process, which another life of the run has no reason to repeat."""


def fingerprint(run: Path) -> Fingerprint:
    """Returns hashes and numbers of a finished run, by the file or the event they stand for.

    Args:
        run: the run's directory.

    Raises:
        AssertionError: a stage has no whole final commit.
    """
    found: Fingerprint = {}
    for result in sorted(run.glob("tasks/*/*/round-*/*/result.json")):
        stage = result.parent
        place = stage.relative_to(run / "tasks").as_posix()
        found[f"{place}/result"] = _without_clock(read_json(result))
        commit = CommitStore(stage).latest()
        assert commit is not None and commit.complete, f"{stage} has no final commit"
        found[f"{place}/meta"] = commit.meta
        found[f"{place}/appended"] = commit.appended
        for name, array in sorted(commit.arrays.items()):
            facts = f"{array.dtype} {array.shape} ".encode()
            found[f"{place}/arrays/{name}"] = _hash(facts + array.tobytes())
        for path in sorted([*(stage / "data").glob("*"), *(stage / "replay").glob("*")]):
            found[f"{place}/{path.parent.name}/{path.name}"] = _hash(path.read_bytes())
    found["evaluation"] = _without_clock(read_json(run / "evaluation_results.json"))
    found["events"] = _events(run / "events.jsonl")
    return found


def differences(one: Fingerprint, other: Fingerprint) -> list[str]:
    """Returns a sentence for every place where two fingerprints differ."""
    told = []
    for place in sorted({*one, *other} - {"events"}):
        here, there = one.get(place, "missing"), other.get(place, "missing")
        if here != there:
            told.append(f"{place}: {_short(here)} != {_short(there)}")
    here, there = one["events"], other["events"]
    told += [f"only the first tells {_short(e)}" for e in here if e not in there]
    told += [f"only the second tells {_short(e)}" for e in there if e not in here]
    if not told and here != there:
        told.append("events are told in another order, or more often")
    return told


def leftovers(run: Path) -> list[str]:
    """Returns the temporary files and directories that are still there."""
    return sorted(str(path.relative_to(run)) for path in run.rglob("*.tmp-*"))


def _events(ledger: Path) -> list[str]:
    told: list[str] = []
    for event in effective_events(ledger):
        if event["event"] in OF_A_LIFE:
            continue
        text = json.dumps(_without_clock(event), sort_keys=True)
        if event["event"] not in ONCE or text not in told:
            told.append(text)
    return told


def _without_clock(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_clock(v) for k, v in value.items() if k not in CLOCK}
    if isinstance(value, list):
        return [_without_clock(item) for item in value]
    return value


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 300 else text[:300] + "…"
