"""The table of events: what a ledger may hold, what of it is trouble, and who shows it.

Whoever records an event that is not here, or with other fields, is told so at once. Readers take
old ledgers as they are: an event or a field that a later version dropped changes nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

_Handler = TypeVar("_Handler")

LIVE, REPORT, TENSORBOARD, BASELINES = "live", "report", "tensorboard", "baselines"
"""Who shows events: lines and dashboard of a run, its report, its curves; lines of a baseline."""

_PLACE = "task mode round stage "
_NUMBER = float | str | None
"""A number, or what the ledger writes for one that is not finite."""

_OF_PLACE = {"task": str, "mode": str, "round": int, "stage": str}

_OF_A_VERDICT = {
    "task": str,
    "verdict": str | None,
    "score": _NUMBER,
    "interval": list[_NUMBER] | None,
    "target": _NUMBER,
    "env_steps": int | None,
    "dream_steps": int | None,
    "seconds": float | None,
    "reasons": list[str] | None,
}


class WrongEvent(ValueError):
    """An event is recorded, or asked for, that the table does not hold like this."""


@dataclass(frozen=True)
class EventKind:
    """One kind of event.

    Attributes:
        fields, optional: names of the facts that it has, and of those that it may have.
        shown_by: some of `LIVE`, `REPORT`, `TENSORBOARD`, `BASELINES`.
        trouble: whether something went wrong that the run healed by itself.
        durable: whether it is on the disk when it has been recorded; others may be lost when the
            power fails.
        read: types of the facts that somebody computes with; a file that holds others there is
            damaged. The others are only shown.
    """

    fields: frozenset[str]
    optional: frozenset[str]
    shown_by: tuple[str, ...]
    trouble: bool
    durable: bool
    read: Mapping[str, Any]


def _kind(
    fields: str,
    *shown_by: str,
    optional: str = "",
    trouble: bool = False,
    durable: bool = False,
    read: Mapping[str, Any] = MappingProxyType({}),
) -> EventKind:
    names = frozenset(fields.split()), frozenset(optional.split())
    return EventKind(*names, shown_by, trouble, durable, read)


def _trouble(fields: str, optional: str = "", durable: bool = False) -> EventKind:
    return _kind(fields, LIVE, REPORT, optional=optional, trouble=True, durable=durable)


_OF_A_RUN = {
    "run_started": _kind(
        "name seed mode config_hash plugins run_dir versions hardware resumed command",
        *(LIVE, REPORT),
        durable=True,
        read={
            "versions": dict[str, Any] | None,
            "hardware": dict[str, Any] | None,
            "plugins": list[str] | None,
        },
    ),
    "forked": _kind("source source_id changes taken", REPORT),
    "resume_inexact": _kind(
        "differences",
        *(LIVE, REPORT),
        optional=_PLACE + "env_id steps",
        read={"differences": list[str] | None},
    ),
    "probe": _kind("component state", REPORT),
    "decision": _kind(
        "task mode requested reasons missing",
        *(LIVE, REPORT),
        durable=True,
        read={
            "task": str,
            "requested": str | None,
            "reasons": list[str] | None,
            "missing": list[str] | None,
        },
    ),
    "replacement": _kind(
        "task mode component reason replacement consequence", LIVE, REPORT, durable=True
    ),
    "stepped_down": _kind(
        "task mode to reason",
        *(LIVE, REPORT),
        durable=True,
        read={"task": str, "mode": str, "to": str, "reason": str | None},
    ),
    "notice": _kind("text", LIVE, REPORT, optional=_PLACE),
    "environment_fault": _kind("task mode reason evidence", LIVE, REPORT),
    "task_refused": _kind("task mode reason evidence", LIVE, REPORT),
    "verdict": _kind(
        "task verdict mode env_id score interval target episodes policy env_steps dream_steps "
        "seconds reasons other_policy other_score other_interval fault round attempt attempts",
        *(LIVE, REPORT, TENSORBOARD),
        durable=True,
        read={**_OF_A_VERDICT, "attempt": int | None, "attempts": list[dict[str, Any]] | None},
    ),
    "attempt_over": _kind(
        "task verdict mode env_id score interval target episodes policy env_steps dream_steps "
        "seconds reasons other_policy other_score other_interval fault round attempt attempts "
        "allowed",
        *(LIVE, REPORT),
        durable=True,
        read={**_OF_A_VERDICT, "mode": str, "attempt": int, "allowed": int},
    ),
    "run_stopped": _kind("reason exit_code resume", LIVE, REPORT, durable=True),
    "run_finished": _kind("exit_code", LIVE, REPORT, durable=True),
}

_OF_A_STAGE = {
    "stage_started": _kind(
        _PLACE + "attempt resumed_at", LIVE, read={"resumed_at": dict[str, int] | None}
    ),
    "stage_skipped": _kind(_PLACE + "seconds result", LIVE, REPORT),
    "stage_failed": _kind(
        _PLACE + "attempt reason evidence left",
        *(LIVE, REPORT),
        durable=True,
        read={**_OF_PLACE, "reason": str, "evidence": dict[str, Any] | None},
    ),
    "stage_done": _kind(
        _PLACE + "seconds result env_steps dream_steps metrics facts committing spent",
        *(LIVE, REPORT),
        durable=True,
        read={
            **_OF_PLACE,
            "seconds": _NUMBER,
            "metrics": dict[str, Any] | None,
            "facts": dict[str, Any] | None,
            "committing": dict[str, Any] | None,
            "spent": dict[str, Any] | None,
        },
    ),
    "transferred": _kind(
        _PLACE + "source source_round taken reason",
        *(LIVE, REPORT),
        durable=True,
        read={**_OF_PLACE, "source": str | None, "source_round": int | None, "taken": bool},
    ),
    "metrics": _kind(_PLACE + "step values", TENSORBOARD),
    "check": _kind(
        _PLACE + "generation score target",
        *(LIVE, REPORT, TENSORBOARD),
        optional="episodes median lowest highest std distinct_scores distinct_games",
    ),
    "media": _kind(_PLACE + "paths", REPORT, read={"paths": list[str]}),
    "insight_failed": _kind(_PLACE + "reason", LIVE, REPORT),
}

_TROUBLE = {
    "commit_rejected": _trouble(_PLACE + "reason", durable=True),
    "update_refused": _trouble(_PLACE + "step reason in_a_row"),
    "rolled_back": _trouble(
        _PLACE + "step at reason learning_rate in_a_row rollbacks", optional="part then"
    ),
    "batch_halved": _trouble(_PLACE + "step parts reason", optional="part"),
    "moved_to_cpu": _trouble(_PLACE + "reason", optional="step parts part"),
    "memory_low": _trouble("floor available total limited_by"),
    "engine_died": _trouble("how importing last_words", optional=_PLACE),
    "component_broken": _trouble("component reason", optional="task mode"),
    "worker_not_started": _trouble("reason"),
    "worker_died": _trouble("how unit log"),
    "worker_hung": _trouble("how unit log"),
    "worker_recycled": _trouble("grown_bytes"),
    "env_worker_died": _trouble("worker environments how traceback log", optional=_PLACE),
    "env_worker_hung": _trouble("worker environments how traceback log", optional=_PLACE),
    "env_worker_raised": _trouble("worker environments how traceback log", optional=_PLACE),
    "env_worker_replaced": _trouble("worker environments seeds steps", optional=_PLACE),
    "env_worker_recycled": _trouble("worker environments seeds steps grown_bytes", optional=_PLACE),
    "env_episodes_cut": _trouble("worker environments seeds reason", optional=_PLACE),
    "unit_failed": _trouble("unit function reason attempt"),
    "pool_serial": _trouble("reason"),
    # What stands in for a line that cannot be read; it is never in a file.
    "unreadable_line": _kind("line reason", REPORT, trouble=True),
}

_OF_A_BASELINE = {
    "baseline_started": _kind(
        "algo task env_id playing env seed machine", BASELINES, optional="episodes settings setting"
    ),
    "baseline_resumed": _kind("steps", BASELINES),
    "claim_made": _kind("name hash", BASELINES),
    "episode": _kind("score steps", BASELINES, optional="number steps_in_episodes"),
    "evaluation": _kind("step score scores", BASELINES, optional="seconds"),
    "baseline_done": _kind(
        "env_steps seconds score interval iqm iqm_interval confidence episodes", BASELINES
    ),
}

EVENTS: Mapping[str, EventKind] = MappingProxyType(
    _OF_A_RUN | _OF_A_STAGE | _TROUBLE | _OF_A_BASELINE
)
"""All events by name."""

TROUBLE = tuple(name for name, kind in EVENTS.items() if kind.trouble)
"""Events that tell of something that went wrong and was healed."""


def require_recordable(event: str, facts: Iterable[str]) -> EventKind:
    """Returns the kind of an event that is about to be recorded.

    Args:
        event: its name.
        facts: the names of its facts.

    Raises:
        WrongEvent: there is no such event, or it has other fields.
    """
    (name,) = known(event)
    kind, given = EVENTS[name], frozenset(facts)
    missing, foreign = kind.fields - given, given - kind.fields - kind.optional
    if missing or foreign:
        parts = [f"lacks {', '.join(sorted(missing))}"] * bool(missing)
        parts += [f"has no field {', '.join(sorted(foreign))}"] * bool(foreign)
        raise WrongEvent(
            f"event {event} {' and '.join(parts)}: it has {', '.join(sorted(kind.fields))} and may "
            f"have {', '.join(sorted(kind.optional)) or 'nothing else'}; give it these, or change "
            f"the table in {__name__}"
        )
    return kind


def known(*names: str) -> tuple[str, ...]:
    """Returns names of events as they are given.

    Raises:
        WrongEvent: there is no event of that name.
    """
    for name in names:
        if name not in EVENTS:
            close = difflib.get_close_matches(name, EVENTS, n=1)
            meant = f"; did you mean {close[0]}?" if close else ""
            raise WrongEvent(f"there is no event {name!r}: the table in {__name__} has all{meant}")
    return names


def handlers(by_name: Mapping[str, _Handler]) -> Mapping[str, _Handler]:
    """Returns what is done at which event; raises WrongEvent like `known`."""
    known(*by_name)
    return MappingProxyType(dict(by_name))
