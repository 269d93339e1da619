"""What a ledger tells about a run, gathered once for every kind of report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from curriculum.mode import rank
from curriculum.records.evaluation import Evaluation
from curriculum.records.events import TROUBLE, known
from curriculum.records.ledger import effective
from curriculum.show.words import finite, plain, short

Event = Mapping[str, Any]
StageKey = tuple[str, str, int, str]
"""Task, mode, round and stage."""

_STARTED, _DONE = known("run_started", "stage_done")


@dataclass(frozen=True)
class StageRow:
    """One finished stage; steps and seconds are None where another mode did the work."""

    task: str
    mode: str
    round: int
    stage: str
    seconds: float | None
    env_steps: int | None
    dream_steps: int | None
    result: str
    metrics: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    committing_s: float | None = None
    spent_s: dict[str, float] = field(default_factory=dict)

    @property
    def evaluation(self) -> Evaluation | None:
        """What a finished evaluation tells; None of another stage, or of facts that are none."""
        return Evaluation.told(self.facts)


@dataclass(frozen=True)
class CheckRow:
    """One check of a search: fresh real episodes of its mean."""

    task: str
    mode: str
    round: int
    generation: int
    score: float | None
    target: float | None


@dataclass(frozen=True)
class RunSummary:
    """A run as its ledger tells it.

    Attributes:
        started: facts of the last `run_started`; starts: how many there were.
        commands: what was typed, each once, in order.
        ended: facts of `run_finished` or `run_stopped`, whichever came last after the last start;
            None while it runs or after it died.
        first_s, last_s: unix seconds of the first and last event.
        forks: from which runs something was taken over, as recorded.
        decisions: the last one per task in the best mode it was begun in.
        replacements: each once, with all its tasks under `tasks`.
        step_downs, failures, notices: as recorded.
        refusals: tasks that ended by an error of the user's or could not be learned as configured;
            the last one per task.
        moves: what was different where the run was resumed, each line once.
        trouble: events that the run healed by itself, by name, with how often they came.
        unreadable: what is wrong with lines of the ledger that were left out.
        unseen: what could not be looked at in V and M, as recorded.
        probes: the last one per component.
        attempts: how each of several attempts at a task ended; transfers: what a model began from,
            or why it did not; each once.
        stages, checks: in order, each place once.
        verdicts: the last one per task in the best mode that has a score: none of a lesser mode
            replaces one that was earned.
        media: paths of pictures and animations, inside the run directory.
    """

    started: dict[str, Any]
    starts: int
    commands: tuple[str, ...]
    ended: dict[str, Any] | None
    first_s: float | None
    last_s: float | None
    forks: tuple[dict[str, Any], ...]
    decisions: dict[str, dict[str, Any]]
    replacements: tuple[dict[str, Any], ...]
    step_downs: tuple[dict[str, Any], ...]
    failures: tuple[dict[str, Any], ...]
    notices: tuple[dict[str, Any], ...]
    refusals: tuple[dict[str, Any], ...]
    moves: tuple[str, ...]
    trouble: dict[str, int]
    unreadable: tuple[str, ...]
    unseen: tuple[dict[str, Any], ...]
    probes: dict[str, dict[str, Any]]
    attempts: tuple[dict[str, Any], ...]
    transfers: tuple[dict[str, Any], ...]
    stages: tuple[StageRow, ...]
    checks: tuple[CheckRow, ...]
    verdicts: tuple[dict[str, Any], ...]
    media: tuple[str, ...]

    @property
    def name(self) -> str:
        return plain(self.started.get("name")) or "run"

    def evaluations(self, task: str) -> list[StageRow]:
        """Returns a task's finished evaluations, oldest first."""
        return [row for row in self.stages if row.task == task and row.stage == "evaluate"]


def summarise(events: Iterable[Event]) -> RunSummary:
    """Gathers what a ledger tells.

    Args:
        events: of one run, oldest first; unknown ones change nothing.
    """
    told = _Told(events)
    starts, troubles = told.of(_STARTED), Counter(e["event"] for e in told.of(*TROUBLE))
    times = [t for t in (finite(e.get("t")) for e in told.events) if t]
    return RunSummary(
        started=starts[-1] if starts else {},
        starts=len(starts),
        commands=tuple(dict.fromkeys(plain(e["command"]) for e in starts if e.get("command"))),
        ended=_ended(told),
        first_s=min(times, default=None),
        last_s=max(times, default=None),
        forks=tuple(told.of("forked")),
        decisions=_best(told.of("decision")),
        replacements=_replacements(told.of("replacement")),
        step_downs=tuple(told.of("stepped_down")),
        failures=tuple(told.of("stage_failed")),
        notices=_notices(told.of("notice")),
        refusals=tuple(_last(told.of("environment_fault", "task_refused"), "task").values()),
        moves=_listed(told.of("resume_inexact"), "differences"),
        trouble={name: troubles[name] for name in TROUBLE if name in troubles},
        unreadable=tuple(
            f"line {short(e.get('line'))}: {plain(e.get('reason')) or 'it is no event'}"
            for e in told.of("unreadable_line")
        ),
        unseen=tuple(told.of("insight_failed")),
        probes=_last(told.of("probe"), "component"),
        attempts=_once(told.of("attempt_over"), "task", "mode", "attempt"),
        transfers=_once(told.of("transferred"), "task", "mode", "round", "stage"),
        stages=_stages(told.of(_DONE, "stage_skipped")),
        checks=_checks(told.of("check")),
        verdicts=tuple(_best(told.of("verdict")).values()),
        media=_listed(told.of("media"), "paths"),
    )


class _Told:
    """What a ledger tells, by the names of its events."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.events = effective(events)

    def of(self, *names: str) -> list[dict[str, Any]]:
        """Returns the events of some names, oldest first; a name that no event has is an error."""
        wanted = known(*names)
        return [event for event in self.events if event.get("event") in wanted]


def _ended(told: _Told) -> dict[str, Any] | None:
    for event in told.of(_STARTED, "run_finished", "run_stopped")[-1:]:
        return None if event["event"] == _STARTED else event
    return None


def _listed(events: list[dict[str, Any]], field: str) -> tuple[str, ...]:
    """Returns the entries of one field of all events, each once."""
    return tuple(dict.fromkeys(plain(entry) for e in events for entry in e.get(field) or ()))


def _last(events: list[dict[str, Any]], by: str) -> dict[str, dict[str, Any]]:
    """Returns the last event per value of one fact, in the order of their first appearance."""
    return {plain(event.get(by)): event for event in events}


def _once(events: list[dict[str, Any]], *by: str) -> tuple[dict[str, Any], ...]:
    """Returns the first event of each combination of some facts, in order."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for event in events:
        found.setdefault(tuple(plain(event.get(name)) for name in by), event)
    return tuple(found.values())


def _best(events: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns the last event per task of those in its best mode; one without a score counts least,
    where events have scores."""
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        task = plain(event.get("task"))
        if task not in found or _worth(event) >= _worth(found[task]):
            found[task] = event
    return found


def _worth(event: Event) -> tuple[bool, int]:
    return event.get("score") is not None, -rank(event.get("mode"))


def _replacements(events: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for event in events:
        words = ("mode", "component", "reason", "replacement", "consequence")
        key = tuple(plain(event.get(word)) for word in words)
        entry = found.setdefault(key, {**dict(zip(words, key, strict=True)), "tasks": []})
        if plain(event.get("task")) not in entry["tasks"]:
            entry["tasks"].append(plain(event.get("task")))
    return tuple(found.values())


def _notices(events: list[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    seen = {(plain(e.get("task")), plain(e.get("text"))): e for e in events}
    return tuple(seen.values())


def _place(event: Event) -> StageKey:
    task, mode, stage = (plain(event.get(key)) for key in ("task", "mode", "stage"))
    return task, mode, int(finite(event.get("round")) or 0), stage


def _stages(over: list[dict[str, Any]]) -> tuple[StageRow, ...]:
    rows: dict[StageKey, StageRow] = {}
    for event in over:
        place = _place(event)
        if event["event"] == _DONE:
            rows[place] = _done(place, event)
        elif place not in rows:
            rows[place] = _skipped(place, event, rows)
    return tuple(rows.values())


def _done(place: StageKey, event: Event) -> StageRow:
    env_steps, dream_steps = finite(event.get("env_steps")), finite(event.get("dream_steps"))
    return StageRow(
        *place,
        seconds=finite(event.get("seconds")),
        env_steps=None if env_steps is None else int(env_steps),
        dream_steps=None if dream_steps is None else int(dream_steps),
        result=plain(event.get("result")),
        metrics=dict(event.get("metrics") or {}),
        facts=dict(event.get("facts") or {}),
        committing_s=finite((event.get("committing") or {}).get("seconds")),
        spent_s={k: s for k, v in (event.get("spent") or {}).items() if (s := finite(v))},
    )


def _skipped(place: StageKey, event: Event, rows: Mapping[StageKey, StageRow]) -> StageRow:
    """A stage that another mode did already costs nothing here; one whose end a crash kept out of
    the ledger has the time that its result remembers."""
    task, _, round_, stage = place
    other = any((r.task, r.round, r.stage) == (task, round_, stage) for r in rows.values())
    return StageRow(
        *place,
        seconds=None if other else finite(event.get("seconds")),
        env_steps=None,
        dream_steps=None,
        result=f"done before: {plain(event.get('result'))}",
    )


def _checks(events: list[dict[str, Any]]) -> tuple[CheckRow, ...]:
    """A check repeated after a resume is the same check."""
    rows: dict[tuple[StageKey, int], CheckRow] = {}
    for event in events:
        place = _place(event)
        generation = int(finite(event.get("generation")) or 0)
        rows[place, generation] = CheckRow(
            *place[:3],
            generation=generation,
            score=finite(event.get("score")),
            target=finite(event.get("target")),
        )
    return tuple(rows.values())
