"""What a run takes up from processes of it that died: its ledger learns how, and what was to blame.

Nobody may write into the ledger while no process holds the run, so it is told by the next one.
"""

from __future__ import annotations

from curriculum.config.schema import Config, TaskConfig
from curriculum.errors import ComponentMissing
from curriculum.mode import LADDER, Decision, Mode, step_down
from curriculum.progress import Orders, Watcher
from curriculum.records.ledger import Ledger
from curriculum.runs.history import record_step_down
from curriculum.runs.imports import Machine
from curriculum.tasks import needs_of

BROKEN = "component_broken"
"""The event that tells of a component which worked in its probe and not where it was used."""

CRASHED = "crashed"
"""The state of a component that ended a process or held it up for ever."""


def take_up(
    watcher: Watcher,
    config: Config,
    machine: Machine,
    ledger: Ledger,
    *,
    may_step_down: bool = False,
) -> None:
    """Records deaths and steps down where a component or a mode was to blame.

    Args:
        watcher: gave the orders; is told when the deaths are recorded.
        config: of the run.
        machine: learns which components are out.
        ledger: of the run, whose lock is held.
        may_step_down: whether a task that an earlier command began may go on in a lesser mode.

    Raises:
        ComponentMissing: it may not, and the component that is out is one of its mode's.
    """
    orders = watcher.orders
    for death in orders.deaths:
        ledger.append("engine_died", **death)
    watcher.tell("recorded", deaths=len(orders.deaths))
    told = {(e["component"], e["reason"]) for e in ledger.events(BROKEN)}
    for component, reason in orders.broken.items():
        machine.states[component] = CRASHED
        machine.details[component] = reason
        if (component, reason) not in told:
            ledger.append(BROKEN, component=component, reason=reason)
    for task in config.tasks:
        mode, over = _last_mode(task, ledger)
        if mode is None or over:
            continue
        blamed, given_up = _blamed(task, mode, orders), _given_up(task, mode, orders)
        if blamed and task.name in orders.began.get("tasks", ()) and not may_step_down:
            raise ComponentMissing(
                f"{task.name} was begun in {mode} and keeps it: {blamed}; mend that and resume, or "
                f"go on in a lesser mode with --step-down"
            )
        if blamed or given_up:
            _step_down(task, mode, blamed or given_up, config, machine, ledger)


def _step_down(
    task: TaskConfig, mode: str, reason: str, config: Config, machine: Machine, ledger: Ledger
) -> None:
    decision = Decision(Mode(mode), config.curriculum.mode, ())
    lower = step_down(decision, needs_of(task), machine.states, reason)
    record_step_down(ledger, task.name, decision, lower, reason)


def _last_mode(task: TaskConfig, ledger: Ledger) -> tuple[str | None, bool]:
    """Returns the mode that a task was in last, and whether its verdict is there."""
    mode, over = None, False
    for event in ledger.events():
        if event.get("task") != task.name:
            continue
        name = "to" if event["event"] == "stepped_down" else "mode"
        if event["event"] in ("decision", "stage_started", "verdict", "stepped_down"):
            mode = event.get(name) if event.get(name) in LADDER else None
        over = event["event"] == "verdict" or (over and event["event"] != "stage_started")
    return mode, over


def _blamed(task: TaskConfig, mode: str, orders: Orders) -> str:
    """Says which components of a mode are out."""
    needed = needs_of(task).of(Mode(mode))
    return "; ".join(f"{name}: {text}" for name, text in orders.broken.items() if name in needed)


def _given_up(task: TaskConfig, mode: str, orders: Orders) -> str:
    """Says why a mode is out that nothing in particular is to blame for."""
    here = (task.name, mode)
    return "; ".join(e["reason"] for e in orders.given_up if (e["task"], e["mode"]) == here)
