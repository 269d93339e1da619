"""The walk: tasks in order, rounds in a task, stages in a round; only this file knows the order.

A failed stage is retried, then the task steps down one mode and goes on with what still fits. A
missed target is no failure: it is recorded, and the walk continues.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from curriculum.backends.backend import Backend, import_plugins, load_backend
from curriculum.config.schema import Config, TaskConfig
from curriculum.envs.interface import EnvSpec
from curriculum.errors import CurriculumError, ExitCode, StageFailure
from curriculum.mode import Decision, decide, step_down
from curriculum.pool import Pool
from curriculum.progress import Listener, silent
from curriculum.records.commit import read_json, write_json
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.records.verdict import Verdict, judge, not_run
from curriculum.stages import collect, controller, encode, evaluate, memory, vision
from curriculum.stages.stage import Stage, StageContext, StageResult
from curriculum.stops import Barrier
from curriculum.tasks import needs_of

STAGES: tuple[Stage, ...] = (collect, vision, encode, memory, controller, evaluate)
STAGE_NAMES = tuple(stage.NAME for stage in STAGES)


@dataclass(frozen=True)
class Machine:
    """What this machine can do: probe states, and where torch computes."""

    states: Mapping[str, str]
    device: str = "cpu"
    workers: int = 0


@dataclass
class Used:
    """What a task has used so far, over all its rounds."""

    env_steps: int = 0
    dream_steps: int = 0
    seconds: float = 0.0

    def add(self, result: StageResult, seconds: float) -> None:
        self.env_steps += result.env_steps
        self.dream_steps += result.dream_steps
        self.seconds += seconds


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
        after_task: is called with the context of a task's last round when its verdict is in.
    """

    config: Config
    rundir: RunDir
    ledger: Ledger
    machine: Machine
    barrier: Barrier
    listener: Listener = silent
    stages: Sequence[str] = STAGE_NAMES
    after_task: Callable[[StageContext], None] | None = None
    _pool: Pool = field(init=False)

    def __post_init__(self) -> None:
        import_plugins(self.config.curriculum.plugins)
        self._pool = self._new_pool()

    def close(self) -> None:
        """Ends the worker processes."""
        self._pool.close()

    def walk(self) -> list[Verdict]:
        """Walks all tasks and returns their verdicts, in order.

        Raises:
            Stopped: the run was asked to stop; everything is committed.
            RunIOError: the disk refused.
        """
        verdicts: list[Verdict] = []
        for task in self.config.tasks:
            verdict = self._task(task)
            self.ledger.append("verdict", **asdict(verdict))
            verdicts.append(verdict)
            if self.config.curriculum.stop_on_miss and not verdict.met:
                break
        return verdicts

    def context_of(self, task: TaskConfig, mode: str, number: int, stage: str) -> StageContext:
        """Returns a stage's context in a given mode, to look at what was learned there."""
        backend = load_backend(mode, self.machine.states, self.machine.device)
        return self._context(task, backend, self._look_at(task, backend), number).at(stage)

    def _task(self, task: TaskConfig) -> Verdict:
        needs = needs_of(task)
        decision = self._last_decision(task)
        self._record_decision(task, decision)
        used = Used()
        while decision.mode is not None:
            try:
                return self._in_mode(task, decision, used)
            except StageFailure as e:
                lower = step_down(decision, needs, self.machine.states, e.reason)
                self.ledger.append(
                    "stepped_down",
                    task=task.name,
                    mode=str(decision.mode),
                    to=str(lower.mode),
                    reason=e.reason,
                )
                decision = lower
                self._pool.close()
                self._pool = self._new_pool()
        return not_run(task, decision)

    def _last_decision(self, task: TaskConfig) -> Decision:
        """Decides the mode, but never above one that this run has already given up."""
        needs, states = needs_of(task), self.machine.states
        decision = decide(states, needs, self.config.curriculum.mode)
        for event in self.ledger.events("stepped_down"):
            given_up = event["task"] == task.name and event["mode"] == str(decision.mode)
            if given_up:
                decision = step_down(decision, needs, states, event["reason"])
        return decision

    def _in_mode(self, task: TaskConfig, decision: Decision, used: Used) -> Verdict:
        assert decision.mode is not None
        backend = self._load(task, decision)
        spec = self._look_at(task, backend)
        verdict = not_run(task, decision)
        for number in range(self.config.curriculum.rounds):
            ctx = self._context(task, backend, spec, number)
            results = {}
            for stage in STAGES:
                result = self._stage(stage, ctx, used)
                if result is not None:
                    results[stage.NAME] = result
            if evaluate.NAME not in results:
                continue
            verdict = judge(task, decision, results[evaluate.NAME].facts, asdict(used))
            if self.after_task is not None:
                self.after_task(ctx.at(evaluate.NAME))
            if verdict.met:
                break
        return verdict

    def _load(self, task: TaskConfig, decision: Decision) -> Backend:
        mode = str(decision.mode)
        try:
            backend = load_backend(mode, self.machine.states, self.machine.device)
        except ImportError as e:
            raise StageFailure(f"the backend of {mode} cannot be imported: {e}") from e
        for replacement in backend.replacements:
            self.ledger.append("replacement", task=task.name, mode=mode, **asdict(replacement))
        return backend

    def _look_at(self, task: TaskConfig, backend: Backend) -> EnvSpec:
        """Builds one environment to learn its shapes, and to hear its notices once."""

        def notice(text: str) -> None:
            self.ledger.append("notice", task=task.name, text=text)

        def look() -> EnvSpec:
            env = backend.make_env(task, 1, notice)
            env.close()
            return env.spec

        return _guarded(look, f"the environment {task.env_id} cannot be made")

    def _context(
        self, task: TaskConfig, backend: Backend, spec: EnvSpec, number: int
    ) -> StageContext:
        return StageContext(
            config=self.config,
            task=task,
            backend=backend,
            states=self.machine.states,
            spec=spec,
            round=number,
            stage=STAGE_NAMES[0],
            rundir=self.rundir,
            ledger=self.ledger,
            pool=self._pool,
            listener=self.listener,
            barrier=self.barrier,
        )

    def _stage(self, stage: Stage, ctx: StageContext, used: Used) -> StageResult | None:
        """Runs one stage, or takes what it did before; None if it is not among the chosen ones."""
        ctx = ctx.at(stage.NAME)
        done = read_json(ctx.directory / "result.json")
        if done is not None:
            ctx.record("stage_skipped", seconds=done["seconds"], result=done["result"]["summary"])
            result = StageResult(**done["result"])
            used.add(result, done["seconds"])
            return result
        if stage.NAME not in self.stages:
            return None
        started = time.monotonic()
        result = self._retried(stage, ctx)
        seconds = time.monotonic() - started
        used.add(result, seconds)
        write_json(ctx.directory / "result.json", {"seconds": seconds, "result": asdict(result)})
        ctx.record(
            "stage_done",
            seconds=seconds,
            result=result.summary,
            env_steps=result.env_steps,
            dream_steps=result.dream_steps,
            metrics=result.metrics,
            facts=result.facts,
        )
        return result

    def _retried(self, stage: Stage, ctx: StageContext) -> StageResult:
        retries = self.config.curriculum.max_retries
        for attempt in range(retries + 1):
            ctx.record("stage_started", attempt=attempt)
            self.barrier.start_stage(self.config.curriculum.stage_deadline_seconds)
            try:
                return _guarded(lambda: _run_verified(stage, ctx), f"stage {stage.NAME} failed")
            except StageFailure as e:
                ctx.record(
                    "stage_failed",
                    attempt=attempt,
                    reason=e.reason,
                    evidence=e.evidence,
                    left=retries - attempt,
                )
                if attempt == retries:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _record_decision(self, task: TaskConfig, decision: Decision) -> None:
        self.ledger.append(
            "decision",
            task=task.name,
            mode=str(decision.mode) if decision.mode else None,
            requested=decision.requested,
            reasons=list(decision.reasons),
            missing=list(decision.missing),
        )

    def _new_pool(self) -> Pool:
        def on_event(event: dict[str, Any]) -> None:
            facts = dict(event)
            self.ledger.append(facts.pop("event"), **facts)

        return Pool(
            self.machine.workers,
            initializer="curriculum.stages.work:build",
            deadline_s=self.config.curriculum.unit_deadline_seconds,
            on_event=on_event,
        )


def exit_code(verdicts: Sequence[Verdict], chosen: Sequence[str]) -> ExitCode:
    """Returns the exit code of a walk that came to its end."""
    if evaluate.NAME not in chosen and all(v.mode is not None for v in verdicts):
        return ExitCode.OK
    return ExitCode.OK if all(v.met for v in verdicts) else ExitCode.TARGET_MISSED


def _run_verified(stage: Stage, ctx: StageContext) -> StageResult:
    stage.verify_inputs(ctx)
    result = stage.run(ctx)
    stage.verify_outputs(ctx, result)
    return result


def _guarded(work: Callable[[], Any], what: str) -> Any:
    """Turns whatever a stage's libraries raise into a StageFailure that keeps the evidence."""
    try:
        return work()
    except CurriculumError:
        raise
    except Exception as e:
        text = "".join(traceback.format_exception(e))
        reason = f"{what}: {type(e).__name__}: {e}"
        raise StageFailure(reason, {"traceback": text[-4000:]}) from e
