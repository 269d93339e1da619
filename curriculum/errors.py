"""Errors as sentences with a way out, each tied to a documented exit code."""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """Process exit codes, documented in README and asserted in tests."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    TARGET_MISSED = 3
    COMPONENT_MISSING = 4
    NO_CHECKPOINT = 5
    LOCKED = 6
    IO = 7
    ENVIRONMENT = 8
    RESUMABLE = 75
    INTERRUPTED = 130
    TERMINATED = 143


class CurriculumError(Exception):
    """Base of every error that reaches a user; its text is a full sentence with a way out."""

    exit_code = ExitCode.INTERNAL


class ConfigError(CurriculumError):
    """The configuration or the command line cannot be used."""

    exit_code = ExitCode.USAGE


class TaskUnsuitable(ConfigError):
    """One task cannot be learned here as it is configured; the other tasks are not concerned."""


class EnvironmentFault(CurriculumError):
    """An environment or plugin of the user's raised, or returned what it does not declare.

    It is no failure of a stage: trying again, or a lower mode, would only show it again.

    Args:
        reason: One sentence for a person, with the file and line where there is one.
        evidence: JSON-compatible facts for the ledger: `file`, `line`, `traceback`.
        certain: it would come again whenever the same is played; an error may have been a moment's.
    """

    exit_code = ExitCode.ENVIRONMENT

    def __init__(
        self, reason: str, evidence: dict[str, Any] | None = None, *, certain: bool = True
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.evidence = evidence or {}
        self.certain = certain


class ComponentMissing(CurriculumError):
    """A mode was forced whose components this machine does not have."""

    exit_code = ExitCode.COMPONENT_MISSING


class NoCheckpoint(CurriculumError):
    """A run holds nothing that verifies and could be continued or evaluated."""

    exit_code = ExitCode.NO_CHECKPOINT


class RunLocked(CurriculumError):
    """Another process works in the same run directory."""

    exit_code = ExitCode.LOCKED


class RunIOError(CurriculumError):
    """The disk refused: full, read-only or failing."""

    exit_code = ExitCode.IO


class Shortage(RunIOError):
    """The machine was short of something for a moment: files, memory, processes or space.

    Args:
        reason: One sentence for a person.
        evidence: JSON-compatible facts for the ledger.
    """

    def __init__(self, reason: str, evidence: dict[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.evidence = {**(evidence or {}), "shortage": True}


class Stopped(CurriculumError):
    """The run stopped early by request, after a commit; `exit_code` says which request."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.RESUMABLE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class StageFailure(CurriculumError):
    """A stage cannot go on in this mode; the runner retries it, then steps down.

    Args:
        reason: One sentence for a person.
        evidence: JSON-compatible facts for the ledger.
    """

    def __init__(self, reason: str, evidence: dict[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.evidence = evidence or {}


def require(condition: bool, reason: str, **evidence: Any) -> None:
    """Raises a StageFailure with a reason and its evidence unless the condition holds."""
    if not condition:
        raise StageFailure(reason, evidence)
