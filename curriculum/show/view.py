"""What a display knows about a running run: events and progress, folded into one small view."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from curriculum.config.schema import Config
from curriculum.mode import LADDER
from curriculum.progress import Progress
from curriculum.records.events import TROUBLE, handlers
from curriculum.show.words import duration, finite, number, plain, short

MIN_WINDOW_S = 15.0
"""Seconds that a rate looks back at least."""

SCORES = {"controller": "check", "evaluate": "score"}
"""Where a stage's progress holds a score of the real environment."""

TRAINING = {"controller": ("score", "dream_score", "fitness")}
"""Where it holds the score of training, whose curve is drawn: the first of these."""

MOST_SCORES = 512
"""Scores that are kept for it at most."""

Event = Mapping[str, Any]


class Estimate:
    """Rate and remaining time of a stage from what was done in the last half of its time.

    The half forgets a slow start; units done before a resume are never counted as speed; and as
    time passes without news the rate falls, so a stall is seen.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque(maxlen=512)
        self._total = 0

    def update(self, done: int, total: int) -> None:
        """Takes a sign of life; a count that falls starts anew."""
        if self._samples and done < self._samples[-1][1]:
            self._samples.clear()
        self._total = total
        now = self._clock()
        if len(self._samples) > 1 and now - self._samples[-2][0] < 0.2:
            self._samples.pop()
        self._samples.append((now, done))

    @property
    def rate(self) -> float | None:
        """Units per second; None until something was done in at least a second."""
        if not self._samples:
            return None
        now, (first, _) = self._clock(), self._samples[0]
        horizon = now - max((now - first) / 2, MIN_WINDOW_S)
        old = [s for s in self._samples if s[0] <= horizon]
        start, base = old[-1] if old else self._samples[0]
        last, done = self._samples[-1]
        seen = len(self._samples) - max(len(old) - 1, 0) - 1
        span, silence = last - start, now - last
        if silence > 2 * span / max(seen, 1):
            span += silence
        if done <= base or span < 1.0:
            return None
        return (done - base) / span

    @property
    def remaining_s(self) -> float | None:
        """Seconds to go; None while nothing can be said."""
        rate = self.rate
        if rate is None or not self._total or not self._samples:
            return None
        return max(self._total - self._samples[-1][1], 0) / rate


@dataclass
class Rung:
    """One task of the ladder.

    Attributes:
        floor: a score that needs no skill, where the bar begins: what random play collected.
        score: the best confirmed check, or the running evaluation, or the verdict's.
        scored_by: what the score is: `check`, `evaluating` or `final`.
        stages: stage to `running`, `done` or `failed`, of the round and mode that runs.
    """

    task: str
    target: float
    simulation_target: float
    mode: str | None = None
    round: int = 0
    floor: float | None = None
    score: float | None = None
    scored_by: str = ""
    verdict: str = ""
    stages: dict[str, str] = field(default_factory=dict)

    @property
    def aim(self) -> float:
        """The target of the mode that runs."""
        return self.simulation_target if self.mode == str(LADDER[-1]) else self.target

    @property
    def share(self) -> float | None:
        """How much of the way from the floor to the target is made, in [0, 1]."""
        if self.score is None:
            return None
        if self.score >= self.aim:
            return 1.0
        floor = min(0.0, self.score) if self.floor is None else self.floor
        if self.aim <= floor:
            return 0.0
        return min(max((self.score - floor) / (self.aim - floor), 0.0), 1.0)

    def enter(self, mode: str | None, number: int) -> None:
        """Turns to another mode or round; a score never outlives the mode it was earned in."""
        if mode != self.mode:
            self.score, self.floor, self.scored_by, self.stages = None, None, "", {}
        elif number != self.round:
            self.stages = {}
        self.mode, self.round = mode, number


class RunView:
    """Everything that is shown, kept up to date by events and progress.

    Args:
        config: names the run, its tasks and their targets.
        clock: seconds that only grow.
    """

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self.name, self.seed = config.name, config.seed
        self.rounds, self.attempts = config.curriculum.rounds, config.curriculum.attempts
        self.rungs = {t.name: Rung(t.name, t.target, t.simulation_target) for t in config.tasks}
        self.run_dir = ""
        self.machine = ""
        self.progress: Progress | None = None
        """Of the unit that the running stage counts first, e.g. generations."""
        self.within: Progress | None = None
        """Of another unit counted inside it, e.g. the episodes of a check."""
        self.scores: list[float] = []
        """Of training so far, in the running stage; every second one once there are many."""
        self._told, self._thinned = 0, 1
        self.current: tuple[str, str | None, int, str] | None = None
        self.stage_began = self._began
        self.estimate = Estimate(clock)
        self.fallbacks: dict[str, list[str]] = {}
        """What stands in for something better, and the tasks that it concerns."""
        self.notices: deque[tuple[float, str]] = deque(maxlen=50)
        self.ending = ""

    @property
    def elapsed_s(self) -> float:
        """Seconds since this view was made."""
        return self._clock() - self._began

    @property
    def stage_s(self) -> float:
        """Seconds since the running stage began."""
        return self._clock() - self.stage_began

    def on_event(self, event: Event) -> None:
        """Takes one event of the ledger; events it does not know change nothing."""
        handler = _HANDLERS.get(str(event.get("event")))
        if handler is not None:
            handler(self, event)

    def on_progress(self, progress: Progress) -> None:
        """Takes one sign of life of the running stage."""
        here = (progress.task, progress.mode, progress.round, progress.stage)
        if self.current != here:
            self._enter(*here)
        if self.progress is None or self.progress.unit == progress.unit:
            self.progress, self.within = progress, None
            self.estimate.update(progress.done, progress.total)
            names = TRAINING.get(progress.stage, ())
            told = (finite(progress.facts.get(name)) for name in names)
            self._keep(next((score for score in told if score is not None), None))
        else:
            self.within = progress
        score = finite(progress.facts.get(SCORES.get(progress.stage, "")))
        rung = self._rung(progress.task)
        if score is not None:
            evaluating = progress.stage == "evaluate"
            rung.score, rung.scored_by = score, "evaluating" if evaluating else "check"

    def _keep(self, score: float | None) -> None:
        """Keeps a training score for the curve, in as little room however long it lasts."""
        self._told += score is not None
        if score is None or self._told % self._thinned:
            return
        self.scores.append(score)
        if len(self.scores) >= MOST_SCORES:
            self.scores, self._thinned = self.scores[1::2], 2 * self._thinned

    def _rung(self, task: Any) -> Rung:
        name = plain(task)
        return self.rungs.setdefault(name, Rung(name, 0.0, 0.0))

    def _enter(self, task: str, mode: str | None, number: int, stage: str) -> None:
        rung = self._rung(task)
        rung.enter(mode, number)
        rung.stages[stage] = "running"
        self.current = (task, mode, number, stage)
        self.progress, self.within = None, None
        self.scores, self._told, self._thinned = [], 0, 1
        self.stage_began = self._clock()
        self.estimate = Estimate(self._clock)

    def _notice(self, text: str) -> None:
        self.notices.append((self.elapsed_s, plain(text)))

    def _fallback(self, text: str, task: Any) -> None:
        tasks = self.fallbacks.setdefault(plain(text), [])
        if plain(task) not in tasks:
            tasks.append(plain(task))

    def _run_started(self, event: Event) -> None:
        self.run_dir = plain(event.get("run_dir"))
        hardware = event.get("hardware") or {}
        parts = [plain(hardware.get("device") or hardware.get("gpu"))]
        if hardware.get("cores"):
            parts.append(f"{hardware['cores']} cores")
        if hardware.get("memory_gib"):
            parts.append(f"{hardware['memory_gib']} GiB")
        self.machine = ", ".join(part for part in parts if part)
        if event.get("resumed"):
            self._notice("the run goes on where it stopped")

    def _decision(self, event: Event) -> None:
        mode = event.get("mode")
        self._rung(event.get("task")).enter(mode, 0)
        if mode == str(LADDER[0]):
            return
        reasons = "; ".join(map(str, event.get("reasons") or ())) or "it was asked for"
        self._fallback(f"{mode or 'not runnable'}: {reasons}", event.get("task"))

    def _replacement(self, event: Event) -> None:
        text = f"{event.get('component')} → {event.get('replacement')}: {event.get('consequence')}"
        self._fallback(text, event.get("task"))

    def _stage_started(self, event: Event) -> None:
        where = plain(event.get("task")), event.get("mode"), int(event.get("round") or 0)
        self._enter(*where, plain(event.get("stage")))

    def _stage_over(self, event: Event) -> None:
        rung = self._rung(event.get("task"))
        rung.enter(event.get("mode"), int(event.get("round") or 0))
        stage = plain(event.get("stage"))
        rung.stages[stage] = "done"
        random = finite((event.get("metrics") or {}).get("score_mean"))
        if stage == "collect" and rung.round == 0 and random is not None:
            rung.floor = random
        self.current, self.progress = None, None

    def _check(self, event: Event) -> None:
        rung, score = self._rung(event.get("task")), finite(event.get("score"))
        if score is not None and (rung.score is None or score > rung.score):
            rung.score, rung.scored_by = score, "check"

    def _stage_failed(self, event: Event) -> None:
        self._rung(event.get("task")).stages[plain(event.get("stage"))] = "failed"
        left = event.get("left") or 0
        then = f"{left} retries left" if left else "no retry left"
        self._notice(f"{_place(event)} failed, {then}: {event.get('reason')}")
        self.current, self.progress = None, None

    def _refused(self, event: Event) -> None:
        self._notice(f"{event.get('task')} ends: {event.get('reason')}")
        self.current, self.progress = None, None

    def _stepped_down(self, event: Event) -> None:
        text = f"{event.get('mode')} → {event.get('to')}: {event.get('reason')}"
        self._fallback(text, event.get("task"))
        self._notice(f"{event.get('task')} stepped down, {text}")

    def _attempt_over(self, event: Event) -> None:
        rung = self._rung(event.get("task"))
        self._notice(attempt_line(event))
        if event.get("verdict") != "passed":
            # The next one learned nothing of what this one has.
            rung.score, rung.scored_by = None, ""
        self.current, self.progress = None, None

    def _transferred(self, event: Event) -> None:
        self._notice(transfer_line(event))

    def _verdict(self, event: Event) -> None:
        rung = self._rung(event.get("task"))
        rung.enter(event.get("mode"), rung.round)
        rung.verdict = plain(event.get("verdict"))
        rung.score, rung.scored_by = finite(event.get("score")), "final"
        self.current, self.progress = None, None

    def _said(self, event: Event) -> None:
        task, text = plain(event.get("task")), plain(event.get("text"))
        self._notice(text if text.startswith(task) else f"{task}: {text}")

    def _healed(self, event: Event) -> None:
        self._notice(facts_line(event))

    def _run_stopped(self, event: Event) -> None:
        self.ending = f"{plain(event.get('reason'))}; go on with: {plain(event.get('resume'))}"

    def _run_finished(self, event: Event) -> None:
        self.ending = f"finished after {duration(self.elapsed_s)}"


_HANDLERS = handlers(
    {
        "run_started": RunView._run_started,
        "decision": RunView._decision,
        "replacement": RunView._replacement,
        "notice": RunView._said,
        "stage_started": RunView._stage_started,
        "stage_skipped": RunView._stage_over,
        "stage_done": RunView._stage_over,
        "stage_failed": RunView._stage_failed,
        "stepped_down": RunView._stepped_down,
        "environment_fault": RunView._refused,
        "task_refused": RunView._refused,
        "check": RunView._check,
        "attempt_over": RunView._attempt_over,
        "transferred": RunView._transferred,
        "verdict": RunView._verdict,
        "run_stopped": RunView._run_stopped,
        "run_finished": RunView._run_finished,
        "resume_inexact": RunView._healed,
        "insight_failed": RunView._healed,
        **dict.fromkeys(TROUBLE, RunView._healed),
    }
)


def facts_line(event: Event) -> str:
    """Writes an event that nobody has words for: where it happened, its name and its facts."""
    hidden = {"t", "event", "task", "mode", "round", "stage"}
    facts = ", ".join(f"{k} {plain(v, 120)}" for k, v in event.items() if k not in hidden)
    where = f"{_place(event)}: " if event.get("task") else ""
    return f"{where}{plain(event['event']).replace('_', ' ')}: {facts}"


def attempt_line(event: Event) -> str:
    """Says how one of several attempts at a task ended."""
    what = f"{plain(event.get('task'))} {plain(event.get('mode'))}"
    which = f"attempt {short(event.get('attempt'))} of at most {short(event.get('allowed'))}"
    if event.get("score") is None:
        reasons = event.get("reasons") or ()
        return f"{what}: {which} came to no score: {plain(reasons[-1] if reasons else '')}"
    score = f"{number(event.get('score'))} of {number(event.get('target'))}"
    return f"{what}: {which} {plain(event.get('verdict'))}, {score}"


def transfer_line(event: Event) -> str:
    """Says what a model began from."""
    source = plain(event.get("source"))
    if event.get("taken"):
        return f"{_place(event)} begins from the weights of {source}"
    of = f" and not from {source}" if source else ""
    return f"{_place(event)} begins anew{of}: {plain(event.get('reason'))}"


def _place(event: Event) -> str:
    """Names the task, mode, round and stage of an event; rounds are counted from one for people."""
    parts = [plain(event.get(k)) for k in ("task", "mode", "stage") if event.get(k)]
    if event.get("round"):
        parts.append(f"round {int(event['round']) + 1}")
    return " ".join(parts)
