"""The walk: tasks in order, rounds in a task, stages in a round; only this file knows the order.

A failed stage is retried, then the task steps down one mode and goes on with what still fits. A
missed target is no failure: the task may be attempted again with other seeds; then it is recorded,
and the walk continues or ends, as it was asked to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from curriculum.agent import work
from curriculum.backends.backend import (
    UNPLACED,
    Backend,
    fitted,
    import_plugins,
    needs_gradients,
    needs_key_points,
    searched,
)
from curriculum.backends.components import ImportFailed
from curriculum.config.schema import Config, TaskConfig
from curriculum.envs.interface import EnvSpec
from curriculum.errors import ComponentMissing, Shortage, StageFailure
from curriculum.mode import Decision, decide, step_down
from curriculum.place import Place
from curriculum.pool import Pool
from curriculum.progress import Listener, Unwatched, Watcher, silent
from curriculum.records.finished import Finished, StageResult, Used
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.records.verdict import Verdict, evaluation_of, judge, not_run
from curriculum.runs.attempts import Attempts
from curriculum.runs.endings import REFUSALS, refused, unsuitable
from curriculum.runs.history import (
    History,
    StageKey,
    Start,
    key_of,
    record_start,
    record_step_down,
)
from curriculum.runs.imports import Machine, announced_to, guarded, import_backend
from curriculum.stages import collect, controller, encode, evaluate, memory, vision
from curriculum.stages.stage import Stage, StageContext, reached
from curriculum.stages.transfer import Source, begun_from
from curriculum.stops import Barrier
from curriculum.tasks import needs_of

STAGES: tuple[Stage, ...] = (collect, vision, encode, memory, controller, evaluate)
STAGE_NAMES = tuple(stage.NAME for stage in STAGES)


@dataclass
class Runner:
    """Walks a configuration's tasks inside one run directory.

    Attributes:
        config: the whole, validated configuration.
        rundir: opened and locked by the caller.
        ledger: where every decision, metric and verdict goes.
        machine: probe states and resources.
        barrier: commits and stops.
        listener: is told progress.
        stages: names of the stages to run; all of them by default.
        may_step_down: whether a task that is gone on with may do so in a lesser mode.
        after_task: is called with the context of a task's last round when its verdict is in.
        watcher: is told what is imported.
    """

    config: Config
    rundir: RunDir
    ledger: Ledger
    machine: Machine
    barrier: Barrier
    listener: Listener = silent
    stages: Sequence[str] = STAGE_NAMES
    may_step_down: bool = False
    after_task: Callable[[StageContext], None] | None = None
    watcher: Watcher = field(default_factory=Unwatched)
    _pool: Pool = field(init=False)
    _history: History = field(init=False)
    _told: set[tuple[Any, ...]] = field(init=False, default_factory=set)
    """Places whose `stage_done` is in the ledger."""
    _begun: set[str] = field(init=False, default_factory=set)
    """Tasks that an earlier process began."""

    def __post_init__(self) -> None:
        import_plugins(self.config.curriculum.plugins, announced_to(self.watcher))
        self._pool = self._new_pool()
        self._history = History(self.config, self.rundir, self.ledger)

    def close(self) -> None:
        """Ends the worker processes."""
        self._pool.close()

    def walk(self) -> list[Verdict]:
        """Walks all tasks and returns their verdicts, in order.

        Raises:
            Stopped: the run was asked to stop; everything is committed.
            ComponentMissing: a mode that a task was begun in cannot be had now.
            RunIOError: the disk refused.
        """
        verdicts: list[Verdict] = []
        self._told = {key_of(event) for event in self.ledger.events("stage_done")}
        machine = self.machine
        starts = self._history.starts(machine.states, self.may_step_down, machine.details)
        self._begun = {name for name, start in starts.items() if start.kept is not None}
        # What an earlier process of this very command began may still step down.
        self._begun &= set(self.watcher.orders.began.get("tasks", self._begun))
        for task in self.config.tasks:
            record_start(self.ledger, task.name, starts[task.name])
        ended = ""
        for task in self.config.tasks:
            start = starts[task.name]
            verdict = self._not_reached(task, ended) if ended else self._task(task, start)
            self.ledger.append("verdict", **asdict(verdict))
            verdicts.append(verdict)
            ended = ended or self._end_after(verdict)
        return verdicts

    def _end_after(self, verdict: Verdict) -> str:
        """Says why the walk ends at a task; empty if it goes on."""
        asked = self.config.curriculum.advance == "on_success" and evaluate.NAME in self.stages
        if verdict.met or not asked:
            return ""
        word = verdict.verdict.replace("_", " ")
        return f"the walk ended at {verdict.task}: {word} (curriculum.advance is on_success)"

    def _not_reached(self, task: TaskConfig, reason: str) -> Verdict:
        """Returns the verdict on a task after the end of the walk; what it has earned stands."""
        ended = Decision(None, self.config.curriculum.mode, (reason,))
        return self._history.standing(task, ended) or not_run(task, ended)

    def _task(self, task: TaskConfig, start: Start) -> Verdict:
        if start.verdict is not None:
            return start.verdict
        decision, used = start.decision, self._history.used_before(task)
        while decision.mode is not None:
            try:
                return self._in_mode(task, decision, used)
            except REFUSALS as e:
                return refused(self.ledger, task, decision, e)
            except StageFailure as e:
                lower = step_down(decision, needs_of(task), self.machine.states, e.reason)
                standing = self._history.standing(task, lower)
                if standing is not None:
                    return standing
                record_step_down(self.ledger, task.name, decision, lower, e.reason)
                decision = lower
                self._renew_pool()
        return not_run(task, decision)

    def _in_mode(self, task: TaskConfig, decision: Decision, used: Used) -> Verdict:
        assert decision.mode is not None
        backend = self._load(task, decision)
        spec = self._look_at(task, backend)
        whole = set(STAGE_NAMES) <= set(self.stages)
        attempts = Attempts.at(task, decision, self._history, whole=whole)
        for first in attempts.first_rounds():
            ctx = self._context(task, backend, spec, first)
            try:
                attempts.over(self._attempt(task, decision, ctx, used))
            except REFUSALS as e:
                if not attempts.scored:
                    raise
                fault = refused(self.ledger, task, decision, e).fault
                return replace(attempts.verdict(), fault=fault)
            except StageFailure as e:
                if not attempts.scored:
                    raise
                attempts.failed(e.reason, used.totals())
                self._renew_pool()
        return attempts.verdict()

    def _attempt(
        self, task: TaskConfig, decision: Decision, start: StageContext, used: Used
    ) -> Verdict:
        """Walks the rounds of one attempt, from its first on."""
        verdict = not_run(task, decision)
        first = start.place.first_round
        for number in range(first, first + self.config.curriculum.rounds):
            ctx = start.at(STAGE_NAMES[0], number)
            results = {}
            for stage in STAGES:
                result = self._stage(stage, ctx, used)
                if result is not None:
                    results[stage.NAME] = result
            if evaluate.NAME not in results:
                continue
            played = evaluation_of(task, results[evaluate.NAME].facts)
            verdict = replace(judge(task, decision, played, used.totals()), round=number)
            self._show(ctx.at(evaluate.NAME))
            if verdict.met:
                break
        return verdict

    def _show(self, ctx: StageContext) -> None:
        """Calls `after_task`, unless what it makes was made before and is there."""
        if self.after_task is not None and not self._history.has_pictures(_here(ctx)):
            self.after_task(ctx)

    def _load(self, task: TaskConfig, decision: Decision) -> Backend:
        mode, machine = str(decision.mode), self.machine
        # What broke under an earlier task is out for this one as well.
        now = decide(machine.states, needs_of(task), mode, machine.details)
        if now.mode is None:
            raise StageFailure("; ".join(now.reasons))
        try:
            backend = self.barrier.breaking_off(partial(self._import, task, mode), _save_nothing)
        except (ImportFailed, StageFailure) as e:
            if task.name not in self._begun or self.may_step_down:
                raise StageFailure(f"{e}, though it worked when it was probed") from e
            raise ComponentMissing(
                f"{task.name} was begun in {mode} and keeps it: {e}; mend that and resume, or go "
                f"on in a lesser mode with --step-down"
            ) from e
        replacements = list(backend.replacements)
        if needs_gradients(task, backend):
            replacements.append(searched(task.controller.solver))
        if needs_key_points(task, backend):
            replacements.append(UNPLACED)
        for replacement in replacements:
            facts = asdict(replacement) | {"reason": replacement.reason or decision.because}
            self.ledger.append("replacement", task=task.name, mode=mode, **facts)
        return backend

    def _import(self, task: TaskConfig, mode: str) -> Backend:
        return import_backend(task, mode, self.machine, self.ledger, self.watcher)

    def _look_at(self, task: TaskConfig, backend: Backend) -> EnvSpec:
        """Builds one environment to learn its shapes, and to hear its notices once."""

        def notice(text: str) -> None:
            self.ledger.append("notice", task=task.name, text=text)

        def look() -> EnvSpec:
            with unsuitable(task):
                env = backend.make_env(task, 1, notice)
            env.close()
            return env.spec

        work = partial(guarded, look, f"the environment {task.env_id} cannot be made")
        return self.barrier.breaking_off(work, _save_nothing)

    def _context(
        self, task: TaskConfig, backend: Backend, spec: EnvSpec, first_round: int
    ) -> StageContext:
        place = Place(
            seed=self.config.seed,
            task=task.name,
            mode=backend.mode.value,
            round=first_round,
            stage=STAGE_NAMES[0],
            simulated=backend.environment == "simulation",
            rundir=self.rundir,
            ledger=self.ledger,
            barrier=self.barrier,
            listener=self.listener,
            first_round=first_round,
        )
        return StageContext(
            place=place,
            config=self.config,
            task=fitted(task, backend),
            backend=backend,
            states=self.machine.states,
            spec=spec,
            executor=self._pool,
        )

    def _stage(self, stage: Stage, ctx: StageContext, used: Used) -> StageResult | None:
        """Runs one stage, or takes what it did before; None if it is not among the chosen ones."""
        ctx = ctx.at(stage.NAME)
        mode = ctx.backend.mode.value
        finished = Finished.read(ctx.place.directory)
        if finished is not None:
            where = (ctx.task.name, finished.mode or mode, ctx.place.round, ctx.place.stage)
            if where in self._told:
                summary = finished.result.summary
                ctx.place.record("stage_skipped", seconds=finished.seconds, result=summary)
            else:
                # Its process died after the result was on the disk, before it could be told.
                self._tell(ctx, finished)
        elif stage.NAME not in self.stages:
            return None
        else:
            started = time.monotonic()
            result = self._retried(stage, begun_from(ctx, self._source(ctx)))
            barrier = self.barrier
            committing = {"commits": barrier.commits, "seconds": barrier.committing_s}
            spent = dict(barrier.stopwatch.seconds)
            finished = Finished(mode, time.monotonic() - started, result, committing, spent)
            finished.write(ctx.place.directory)
            self._tell(ctx, finished)
        used.add(ctx.place.directory, finished)
        return finished.result

    def _source(self, ctx: StageContext) -> Source | None:
        found = self._history.finished_last(ctx.task.name, ctx.place.mode)
        return Source(*found) if found else None

    def _tell(self, ctx: StageContext, finished: Finished) -> None:
        result = finished.result
        event = self.ledger.append(
            "stage_done",
            task=ctx.task.name,
            mode=finished.mode or ctx.backend.mode.value,
            round=ctx.place.round,
            stage=ctx.place.stage,
            seconds=finished.seconds,
            result=result.summary,
            env_steps=result.env_steps,
            dream_steps=result.dream_steps,
            metrics=result.metrics,
            facts=result.facts,
            committing=finished.committing,
            spent=finished.spent,
        )
        self._told.add(key_of(event))

    def _retried(self, stage: Stage, ctx: StageContext) -> StageResult:
        """Runs a stage; attempts that failed before the process was killed are not given again.

        Raises:
            StageFailure: of the last attempt.
            Shortage: the machine was short of something at the last attempt; it does not count.
        """
        retries = self.config.curriculum.max_retries
        before = self._history.failures(_here(ctx))
        if len(before) > retries:
            raise StageFailure(before[-1]["reason"], before[-1]["evidence"])
        for attempt in range(len(before), retries + 1):
            ctx.place.record("stage_started", attempt=attempt, resumed_at=_resumed_at(ctx))
            self.barrier.start_stage(self.config.curriculum.stage_deadline_seconds)
            try:
                return guarded(lambda: _run_verified(stage, ctx), f"stage {stage.NAME} failed")
            except (StageFailure, Shortage) as e:
                ctx.place.record(
                    "stage_failed",
                    attempt=attempt,
                    reason=e.reason,
                    evidence=e.evidence,
                    left=retries - attempt,
                )
                if attempt == retries:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _renew_pool(self) -> None:
        self._pool.close()
        self._pool = self._new_pool()

    def _new_pool(self) -> Pool:
        def on_event(event: dict[str, Any]) -> None:
            facts = dict(event)
            self.ledger.append(facts.pop("event"), **facts)

        return Pool(
            self.machine.workers,
            build=work.build,
            deadline_s=self.config.curriculum.unit_deadline_seconds,
            on_event=on_event,
            breakable=self.barrier.breakable,
        )


def _resumed_at(ctx: StageContext) -> dict[str, int] | None:
    """Returns how far the newest whole commit had come; damaged ones are for the stage to tell."""
    return reached(ctx.place.store.latest(lambda text: None))


def _run_verified(stage: Stage, ctx: StageContext) -> StageResult:
    stage.verify_inputs(ctx)
    result = stage.run(ctx)
    stage.verify_outputs(ctx, result)
    return result


def _here(ctx: StageContext) -> StageKey:
    place = ctx.place
    return place.task, place.mode, place.round, place.stage


def _save_nothing() -> None:
    """Between two stages everything is committed."""
