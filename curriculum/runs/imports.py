"""What this machine can do, and the imports that may find that it can do less."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from curriculum.backends.backend import Announce, Backend, load_backend
from curriculum.backends.components import ImportFailed, components_of, import_component
from curriculum.config.schema import TaskConfig
from curriculum.errors import CurriculumError, Shortage, StageFailure
from curriculum.mode import USABLE_STATES, Mode
from curriculum.progress import Watcher
from curriculum.records.files import shortage
from curriculum.records.ledger import Ledger
from curriculum.tasks import needs_of


@dataclass
class Machine:
    """What this machine can do: probe states, what the probes said, and where torch computes.

    A component that fails after its probe is broken in `states` from then on.
    """

    states: dict[str, str]
    device: str = "cpu"
    workers: int = 0
    details: dict[str, str] = field(default_factory=dict)


def import_backend(
    task: TaskConfig, mode: str, machine: Machine, ledger: Ledger, watcher: Watcher
) -> Backend:
    """Imports what a task needs in a mode, component by component.

    Args:
        task, mode: what to import for.
        machine: learns what is broken.
        ledger: is told what is broken.
        watcher: is told too, and of each import ahead, because some never come to their end.

    Raises:
        ImportFailed: the mode cannot do without what is broken.
        StageFailure: something of ours cannot be imported.
        Shortage: the machine was short of something for a moment.
    """
    watcher.tell("at", event="", task=task.name, mode=mode, round=None, stage=None)
    for name in components_of(task, mode):
        if machine.states.get(name) not in USABLE_STATES:
            continue
        try:
            import_component(name, announced_to(watcher))
        except ImportFailed as e:
            refuse_shortage(e.error, str(e))
            facts = {"component": name, "reason": str(e)}
            watcher.tell("broken", **facts)
            ledger.append("component_broken", task=task.name, mode=mode, **facts)
            machine.states[name] = "broken"
            machine.details[name] = str(e)
            if name in needs_of(task).of(Mode(mode)):
                raise
    what = f"the backend of {mode} cannot be imported"
    return guarded(lambda: load_backend(mode, machine.states, machine.device), what)


def announced_to(watcher: Watcher) -> Announce:
    """Returns what tells a watcher which import comes next."""
    return lambda name: watcher.tell("importing", component=name)


def guarded(work: Callable[[], Any], what: str) -> Any:
    """Turns whatever libraries raise, a wish to end this process too, into a StageFailure.

    Args:
        work: what to do.
        what: what it means when that fails, half a sentence.

    Raises:
        StageFailure: with the traceback as evidence.
        Shortage: the machine was short of something; that is no failure of the stage.
    """
    try:
        return work()
    except CurriculumError as e:
        if isinstance(e, StageFailure):
            refuse_shortage(e, what)
        raise
    except (Exception, SystemExit) as e:
        refuse_shortage(e, what)
        text = "".join(traceback.format_exception(e))
        reason = f"{what}: {type(e).__name__}: {e}"
        raise StageFailure(reason, {"traceback": text[-4000:]}) from e


def refuse_shortage(error: BaseException, what: str) -> None:
    """Ends the run where it can be resumed if the machine is short of something for a moment.

    Raises:
        Shortage: it is.
    """
    short = shortage(error)
    if short is None and isinstance(error, StageFailure) and "memory" in error.evidence:
        short = "memory is short"
    if short is not None:
        evidence = error.evidence if isinstance(error, StageFailure) else {}
        reason = f"{what}: {error}: {short}; then resume: what is committed stays"
        raise Shortage(reason, evidence) from error
