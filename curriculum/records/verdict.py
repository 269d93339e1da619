"""The verdict on a task: one score, where it was earned, and which target it is held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from curriculum.config.schema import TaskConfig
from curriculum.errors import RunIOError
from curriculum.mode import LADDER, Decision
from curriculum.records.evaluation import Evaluation
from curriculum.records.facts import WrongFact

VerdictWord = Literal["passed", "missed", "degraded", "not_run"]


@dataclass(frozen=True)
class Attempt:
    """One of several attempts at a task.

    Attributes:
        number: counted from 1.
        round: whose agent was evaluated; None if none was.
        verdict: what it alone would have been worth.
        score, interval: as in `Verdict`.
        reason: why it came to no score.
    """

    number: int
    round: int | None
    verdict: VerdictWord
    score: float | None
    interval: tuple[float, float] | None
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """How a task ended.

    Attributes:
        task: its name.
        verdict: `passed`; `missed`; `degraded` (it reached the target of a mode lower than the one
            that was wanted, which never counts as passed); `not_run`.
        mode: where the score was earned; None if nothing ran.
        env_id: what was really played.
        score: mean over the evaluation episodes; None if there were none.
        interval: bootstrap interval of that mean.
        target: the score it is held against, which belongs to `mode`'s environment.
        episodes, policy: how many full episodes, and whether greedy or sampled.
        env_steps, dream_steps, seconds: used until this verdict, in all attempts, evaluation steps
            not included.
        reasons: why the mode is not a better one, or why nothing ran.
        other_policy, other_score, other_interval: of the other way of acting, where it was asked
            for; the verdict does not depend on it.
        fault: what an environment or plugin of the user's raised that ended the task.
        round: whose agent earned the score; None if there is none.
        attempt: which attempt the score is of, counted from 1.
        attempts: all of them, where there were several.
    """

    task: str
    verdict: VerdictWord
    mode: str | None
    env_id: str
    score: float | None
    interval: tuple[float, float] | None
    target: float
    episodes: int
    policy: str
    env_steps: int
    dream_steps: int
    seconds: float
    reasons: tuple[str, ...]
    other_policy: str = ""
    other_score: float | None = None
    other_interval: tuple[float, float] | None = None
    fault: str = ""
    round: int | None = None
    attempt: int = 1
    attempts: tuple[Attempt, ...] = ()

    @property
    def met(self) -> bool:
        """Whether the wanted target was reached where it was wanted."""
        return self.verdict == "passed"


def judge(
    task: TaskConfig, decision: Decision, played: Evaluation, used: Mapping[str, Any]
) -> Verdict:
    """Holds an evaluation against the target of the mode it was earned in.

    Args:
        task: the task.
        decision: the mode; with `auto`, anything below the best mode is a degradation.
        played: the evaluation, and the other policy's where there is one.
        used: env_steps, dream_steps and seconds of the task.
    """
    other = played.other
    simulated = decision.mode is LADDER[-1]
    target = task.target_of(simulated=simulated)
    wanted = decision.requested in (str(decision.mode), "auto") and (
        decision.requested != "auto" or decision.mode is LADDER[0]
    )
    reached = played.score >= target
    outcome: VerdictWord = "missed" if not reached else "passed" if wanted else "degraded"
    return Verdict(
        task=task.name,
        verdict=outcome,
        mode=str(decision.mode),
        env_id=f"simulation/{task.env.simulation}" if simulated else task.env_id,
        score=played.score,
        interval=played.interval,
        target=target,
        episodes=len(played.scores),
        policy=played.policy,
        reasons=decision.reasons,
        other_policy=other.policy if other else "",
        other_score=other.score if other else None,
        other_interval=other.interval if other else None,
        **used,
    )


def evaluation_of(task: TaskConfig, facts: Mapping[str, Any]) -> Evaluation:
    """Returns the evaluation that a finished stage left.

    Raises:
        RunIOError: the facts are not those of an evaluation.
    """
    try:
        return Evaluation.from_facts(facts)
    except WrongFact as e:
        raise RunIOError(
            f"the result of the evaluation of {task.name} cannot be used: {e}; remove its "
            f"result.json to have it done again, or put it back as it was"
        ) from e


def not_run(task: TaskConfig, decision: Decision, fault: str = "") -> Verdict:
    """Returns the verdict of a task without a score, with the reasons."""
    mode = str(decision.mode) if decision.mode else None
    return Verdict(
        task=task.name,
        verdict="not_run",
        mode=mode,
        env_id=task.env_id,
        score=None,
        interval=None,
        target=task.target,
        episodes=0,
        policy="",
        env_steps=0,
        dream_steps=0,
        seconds=0.0,
        reasons=decision.reasons,
        fault=fault,
    )


def counting(made: Sequence[Verdict]) -> Verdict:
    """Returns the verdict on a task that was attempted several times.

    The score is that of the attempt that passed, else the best one, the first of equals. What was
    used is what all of them used, because nobody knew before which one would count.

    Args:
        made: the verdicts on single attempts in one mode, oldest first, at least one; what each
            used includes what those before it used.
    """
    scored = [verdict for verdict in made if verdict.score is not None]
    best = max(scored or made[:1], key=lambda v: (v.met, v.score or 0.0))
    last = made[-1]
    used = {name: getattr(last, name) for name in ("env_steps", "dream_steps", "seconds")}
    several = tuple(map(_attempt, made)) if len(made) > 1 else ()
    return replace(best, **used, attempts=several)


def _attempt(verdict: Verdict) -> Attempt:
    reason = verdict.reasons[-1] if verdict.score is None and verdict.reasons else ""
    return Attempt(
        number=verdict.attempt,
        round=verdict.round,
        verdict=verdict.verdict,
        score=verdict.score,
        interval=verdict.interval,
        reason=reason,
    )
