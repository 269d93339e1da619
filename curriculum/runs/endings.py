"""How a task ends that nothing helps, and what a run's end is worth to whoever started it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from curriculum.config.schema import TaskConfig
from curriculum.errors import ConfigError, EnvironmentFault, ExitCode, TaskUnsuitable
from curriculum.mode import Decision
from curriculum.records.ledger import Ledger
from curriculum.records.verdict import Verdict, not_run
from curriculum.stages import evaluate

REFUSALS = (EnvironmentFault, TaskUnsuitable)
"""What ends a task at once: neither another try nor another mode would help."""


@contextmanager
def unsuitable(task: TaskConfig) -> Iterator[None]:
    """Turns a refusal of a task's configuration into one that leaves the other tasks alone.

    Raises:
        TaskUnsuitable: in place of a ConfigError.
    """
    try:
        yield
    except ConfigError as e:
        raise TaskUnsuitable(f"{task.name}: {e}") from e


def refused(
    ledger: Ledger, task: TaskConfig, decision: Decision, error: EnvironmentFault | TaskUnsuitable
) -> Verdict:
    """Records why a task ended, and returns its verdict.

    Args:
        ledger: of the run.
        task: that ended.
        decision: the mode it was in.
        error: one of `REFUSALS`.
    """
    name, evidence, reason = "task_refused", {}, str(error)
    if isinstance(error, EnvironmentFault):
        name, evidence = "environment_fault", error.evidence
    mode = str(decision.mode)
    ledger.append(name, task=task.name, mode=mode, reason=reason, evidence=evidence)
    ended = replace(decision, mode=None, reasons=(*decision.reasons, reason))
    return not_run(task, ended, fault=reason if isinstance(error, EnvironmentFault) else "")


def exit_code(verdicts: Sequence[Verdict], chosen: Sequence[str]) -> ExitCode:
    """Returns the exit code of a walk that came to its end.

    A fault of the user's environment weighs more than a missed target: it is theirs to mend.
    """
    if any(v.fault for v in verdicts):
        return ExitCode.ENVIRONMENT
    if evaluate.NAME not in chosen and all(v.mode is not None for v in verdicts):
        return ExitCode.OK
    return ExitCode.OK if all(v.met for v in verdicts) else ExitCode.TARGET_MISSED
