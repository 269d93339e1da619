"""The attempts at a task: how many there are, which one counts, and how that is told.

An attempt that missed its target is followed by another one with other seeds, in rounds of its own.
Everything here follows from the configuration and the ledger, so a run that is gone on with takes
up the attempt that it was in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from curriculum.config.schema import TaskConfig
from curriculum.mode import Decision
from curriculum.records.verdict import Verdict, counting, not_run
from curriculum.runs.history import History


@dataclass
class Attempts:
    """The attempts at one task in one mode.

    Attributes:
        task, decision: what is attempted, and in which mode.
        history: of the run.
        allowed: how many there may be. Those that were begun are among them whatever the
            configuration says now: what they used was used.
    """

    task: TaskConfig
    decision: Decision
    history: History
    allowed: int
    _made: list[Verdict] = field(default_factory=list)
    _failure: str = ""

    @classmethod
    def at(cls, task: TaskConfig, decision: Decision, history: History, *, whole: bool) -> Attempts:
        """Returns the attempts at a task.

        Args:
            task, decision, history: see the class.
            whole: whether all stages are walked; otherwise no attempt is begun after the first.
        """
        asked = history.config.curriculum.attempts if whole else 1
        begun = history.begun_attempts(task, decision)
        return cls(task, decision, history, max(asked, begun))

    @property
    def scored(self) -> bool:
        """Whether one of them has a score."""
        return any(verdict.score is not None for verdict in self._made)

    def first_rounds(self) -> Iterator[int]:
        """Yields the first round of each attempt while the one before it missed the target."""
        rounds = self.history.config.curriculum.rounds
        for number in range(self.allowed):
            yield number * rounds
            if self._made[-1].verdict != "missed" and not self._failure:
                return

    def over(self, verdict: Verdict) -> None:
        """Takes the verdict on the attempt that was made, and tells it where there may be more."""
        self._failure = ""
        self._keep(verdict)

    def failed(self, reason: str, used: Mapping[str, Any]) -> None:
        """Takes an attempt that came to no score, after one that did: it changes no mode.

        Args:
            reason: why.
            used: env_steps, dream_steps and seconds of the task so far.
        """
        self._failure = reason
        ended = replace(self.decision, reasons=(*self.decision.reasons, reason))
        self._keep(replace(not_run(self.task, ended), **used))

    def verdict(self) -> Verdict:
        """Returns the verdict on the task."""
        return counting(self._made)

    def _keep(self, verdict: Verdict) -> None:
        number = len(self._made) + 1
        verdict = replace(verdict, attempt=number)
        self._made.append(verdict)
        told = self.history.told_attempts(self.task, self.decision)
        if self.allowed > 1 and number not in told:
            facts = asdict(verdict)
            self.history.ledger.append("attempt_over", **facts, allowed=self.allowed)
