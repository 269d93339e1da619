"""What the ledger says about a task's past: modes, failed attempts, verdicts, what was used.

A resumed run is the same run, so what was decided when it began holds: a task goes on in its mode,
or not at all until its mode can be had again. Stepping down on a resume is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curriculum.config.schema import Config, TaskConfig
from curriculum.errors import ComponentMissing
from curriculum.mode import (
    LADDER,
    NO_DETAILS,
    Decision,
    Mode,
    decide,
    lowered,
    rank,
    root_causes,
    step_down,
    told,
)
from curriculum.records.facts import WrongFact, entry
from curriculum.records.finished import Finished, Used
from curriculum.records.ledger import Event, Ledger
from curriculum.records.rundir import RunDir
from curriculum.records.verdict import Verdict, counting
from curriculum.tasks import needs_of

StageKey = tuple[Any, ...]
"""Task, mode, round and stage."""

_SHORTAGE = re.compile(
    r"\[Errno (?:11|12|23|24|28|122)\]|MemoryError|memory is short|out of memory|"
    r"can't start new thread"
)
"""How a failure tells that the machine was short of something; earlier versions recorded these."""


@dataclass(frozen=True)
class Start:
    """How a task is gone on with.

    Attributes:
        decision: its mode.
        kept: what it was begun with; None where it begins now.
        given_up: why it goes on in a lesser mode than it was begun in, which was asked for.
        verdict: what it earned in a better mode: it stands, and the task is not walked.
    """

    decision: Decision
    kept: Decision | None = None
    given_up: str = ""
    verdict: Verdict | None = None


@dataclass(frozen=True)
class History:
    """Reads a run's past from its ledger and its directory.

    Attributes:
        config, rundir, ledger: of the run.
    """

    config: Config
    rundir: RunDir
    ledger: Ledger

    def starts(
        self,
        states: Mapping[str, str],
        may_step_down: bool = False,
        details: Mapping[str, str] = NO_DETAILS,
    ) -> dict[str, Start]:
        """Returns how each task is gone on with, or begun.

        Args:
            states: component name to probe state.
            may_step_down: whether a task may go on in a lesser mode than it was begun in.
            details: component name to what its probe said.

        Raises:
            ComponentMissing: a mode that a task was begun in cannot be had now; a sentence names
                the tasks, the components and the way out.
        """
        found, lost = {}, []
        for task in self.config.tasks:
            kept, needs = self.kept(task), needs_of(task)
            decision = kept or decide(states, needs, self.config.curriculum.mode, details)
            given_up = ""
            if kept is not None and kept.mode is not None:
                lacking = _lacking(decide(states, needs, str(kept.mode)), states, details)
                if lacking:
                    lost.append(f"{task.name} was begun in {kept.mode}: {lacking}")
                    given_up = f"{lacking} when the run was resumed with --step-down"
                    decision = step_down(kept, needs, states, given_up)
            verdict = self.standing(task, decision)
            found[task.name] = Start(decision, kept, given_up, verdict)
        if lost and not may_step_down:
            raise ComponentMissing(_waiting(self.rundir, lost))
        return found

    def kept(self, task: TaskConfig) -> Decision | None:
        """Returns the decision that a task was begun with, lowered as it was; None if there is
        none, or it could not run at all."""
        decision = self._first(task)
        if decision is None or decision.mode is None:
            return None
        for event in self._events("stepped_down", task):
            if event["mode"] == str(decision.mode) and not _was_short(event):
                to = Mode(event["to"]) if event["to"] in LADDER else None
                decision = lowered(decision, to, str(event.get("reason")))
        return decision

    def standing(self, task: TaskConfig, decision: Decision) -> Verdict | None:
        """Returns the verdict that was earned in a better mode than a task would go on in, be it
        on attempts that others were to follow."""
        below = rank(_text(decision.mode))
        told = [v for v in self._earned("verdict", task) if rank(v.mode) < below]
        if told:
            return told[-1]
        made = [v for v in self._earned("attempt_over", task) if rank(v.mode) < below]
        best = min((rank(v.mode) for v in made), default=0)
        of_best = {v.attempt: v for v in made if rank(v.mode) == best}
        return counting(list(of_best.values())) if of_best else None

    def told_attempts(self, task: TaskConfig, decision: Decision) -> set[int]:
        """Returns the numbers of the attempts in a mode whose ends are in the ledger."""
        told = self._events("attempt_over", task)
        return {e["attempt"] for e in told if e["mode"] == _text(decision.mode)}

    def begun_attempts(self, task: TaskConfig, decision: Decision) -> int:
        """Returns how many attempts at a task were begun in a mode."""
        begun = [
            e for e in self._events("stage_started", task) if e["mode"] == _text(decision.mode)
        ]
        last = max((int(e["round"]) for e in begun), default=-1)
        return last // self.config.curriculum.rounds + 1

    def finished_last(self, task: str, mode: str) -> tuple[str, int] | None:
        """Returns the other task that was finished last in a mode, and the round of its agent."""
        for event in reversed(self.ledger.events("verdict")):
            told = event.get("task"), event.get("round")
            if event.get("mode") == mode and told[0] != task and isinstance(told[1], int):
                return str(told[0]), told[1]
        return None

    def has_pictures(self, place: StageKey) -> bool:
        """Tells whether the pictures of a task's round were made, and are there."""
        told = [e for e in self.ledger.events("media") if key_of(e)[:3] == place[:3]]
        paths = [path for event in told for path in event["paths"]]
        return bool(paths) and all((self.rundir.path / path).is_file() for path in paths)

    def used_before(self, task: TaskConfig) -> Used:
        """Returns what a task used in modes that an earlier process of this run has given up."""
        used = Used()
        for event in self._events("stepped_down", task):
            for mode in ("REAL", event["mode"]):
                of_mode = self.rundir.stage_dir(task.name, mode, 0, "").parent
                for path in sorted(of_mode.glob("round-*/*/result.json")):
                    finished = Finished.read(path.parent)
                    if finished is not None:
                        used.add(path.parent, finished)
        return used

    def failures(self, here: StageKey) -> list[Event]:
        """Returns the failed attempts of a stage, oldest first; a shortage of a moment is none."""
        told = self.ledger.events("stage_failed")
        return [e for e in told if key_of(e) == here and not _was_short(e)]

    def _earned(self, name: str, task: TaskConfig) -> Iterator[Verdict]:
        """Yields the verdicts with a score that events tell of."""
        for event in self._events(name, task):
            with suppress(WrongFact):
                verdict = entry(Verdict, event)
                if verdict.score is not None:
                    yield verdict

    def _events(self, name: str, task: TaskConfig) -> Iterator[Event]:
        return (e for e in self.ledger.events(name) if e.get("task") == task.name)

    def _first(self, task: TaskConfig) -> Decision | None:
        """Returns the best decision that was recorded: every start records what it goes on in, and
        earlier versions suffered lesser ones when they were resumed."""
        best: Decision | None = None
        for event in self._events("decision", task):
            mode = event.get("mode")
            if mode not in LADDER or (best is not None and rank(mode) >= rank(_text(best.mode))):
                continue
            reasons, missing = (tuple(event.get(k) or ()) for k in ("reasons", "missing"))
            requested = str(event.get("requested") or "auto")
            best = Decision(Mode(mode), requested, reasons, missing)
        return best


def record_start(ledger: Ledger, task: str, start: Start) -> None:
    """Records the mode in which a task begins or goes on; what stands is not begun again."""
    if start.verdict is not None:
        return
    decision, kept = start.decision, start.kept
    if start.given_up and kept is not None:
        record_step_down(ledger, task, kept, decision, start.given_up)
    ledger.append(
        "decision",
        task=task,
        mode=_text(decision.mode),
        requested=decision.requested,
        reasons=list(decision.reasons),
        missing=list(decision.missing),
    )


def record_step_down(
    ledger: Ledger, task: str, decision: Decision, lower: Decision, reason: str
) -> None:
    """Records that a task goes on in a lesser mode, or in none."""
    facts = {"mode": str(decision.mode), "to": str(lower.mode), "reason": reason}
    ledger.append("stepped_down", task=task, **facts)


def starts_in(
    directory: Path,
    config: Config,
    states: Mapping[str, str],
    may_step_down: bool = False,
    details: Mapping[str, str] = NO_DETAILS,
) -> dict[str, Start]:
    """Returns how each task of a run directory, which need not be there yet, is gone on with.

    Nothing is written. It raises as `History.starts` does.
    """
    if RunDir.exists(directory):
        rundir = RunDir.open(directory)
    else:
        rundir = RunDir(directory, {})
    history = History(config, rundir, Ledger(rundir.ledger_path))
    return history.starts(states, may_step_down, details)


def begun_in(directory: Path) -> list[str]:
    """Returns the tasks that were begun in a run directory, which need not be there yet."""
    events = Ledger(directory / "events.jsonl").events("decision")
    return sorted({str(e.get("task")) for e in events if e.get("mode") in LADDER})


def key_of(event: Mapping[str, Any]) -> StageKey:
    """Returns the task, mode, round and stage that an event tells of."""
    return tuple(event.get(key) for key in ("task", "mode", "round", "stage"))


def _waiting(rundir: RunDir, lost: Sequence[str]) -> str:
    listed = "\n  ".join(lost)
    return (
        f"the run in {rundir.given} keeps its mode, which cannot be had here now; nothing was "
        f"changed:\n  {listed}\nmend that and resume (`python -m diagnostics check` tells how; a "
        f"busy machine may need only a moment), or go on in a lesser mode with --step-down"
    )


def _lacking(decision: Decision, states: Mapping[str, str], details: Mapping[str, str]) -> str:
    """Says what a mode that cannot be had lacks; empty if it can be had."""
    if decision.mode is not None:
        return ""
    found = (told(name, states, details) for name in root_causes(decision.missing, details))
    return ", ".join(found) or "; ".join(decision.reasons)


def _was_short(event: Event) -> bool:
    evidence = event.get("evidence")
    told = isinstance(evidence, dict) and bool(evidence.get("shortage"))
    return told or _SHORTAGE.search(str(event.get("reason"))) is not None


def _text(mode: Mode | None) -> str | None:
    return None if mode is None else str(mode)
