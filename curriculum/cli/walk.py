"""From a validated configuration to a finished run: probing, walking, showing, reporting."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from curriculum.cli.probing import tell
from curriculum.config.loading import config_hash
from curriculum.config.plugins import code_of, flag
from curriculum.config.schema import Config
from curriculum.errors import ExitCode, Stopped
from curriculum.figures.pictures import write_illustrated
from curriculum.progress import STAGES, Listener, Progress, Watcher, printable, say
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.records.verdict import Verdict
from curriculum.resources import MemoryWatch, require_disk
from curriculum.runs.deaths import BROKEN, take_up
from curriculum.runs.endings import exit_code
from curriculum.runs.history import starts_in
from curriculum.runs.imports import Machine, announced_to
from curriculum.runs.machine import (
    hardware,
    inexact_because,
    machine_from,
    probe_names,
    refuse_impossible,
    versions,
)
from curriculum.runs.needs import disk_needs, lower_disk, require_memory
from curriculum.runs.preflight import look
from curriculum.runs.runner import Runner
from curriculum.show.dashboard import final_table, make_display
from curriculum.show.lines import LosableStream
from curriculum.sinks.opening import chosen, followed
from curriculum.stages.stage import StageContext
from curriculum.stops import Barrier, resume_command, signals_to
from curriculum.watch.present import Present
from diagnostics.cache import probe_all

_WHERE = frozenset({"stage_started", "stage_skipped", "stage_done", "verdict"})
"""Events that say where a run is."""


def probe(
    config: Config,
    directory: Path | None = None,
    quiet: bool = False,
    *,
    may_step_down: bool = False,
) -> Machine:
    """Probes what the configuration could use and refuses what this machine cannot do.

    Args:
        config: of the run.
        directory: of the run, if it is not where the configuration says.
        quiet: say nothing of what is being probed.
        may_step_down: whether a run that is there may go on in a lesser mode.

    Raises:
        ComponentMissing: a mode that is forced, or that a task was begun in, cannot be had.
        ConfigError: a task cannot be learned, or the run would not fit into memory.
        RunIOError: it would not fit onto the disk.
    """
    probes = probe_all(
        config.curriculum.timeout_seconds,
        names=probe_names(config),
        notice=None if quiet else tell,
    )
    machine = machine_from(config, probes)
    refuse_impossible(config, machine)
    there = directory or Path(config.run_dir) / config.name
    starts = starts_in(there, config, machine.states, may_step_down, machine.details)
    modes = {
        name: str(start.decision.mode)
        for name, start in starts.items()
        if start.decision.mode is not None and start.verdict is None
    }
    seen = look(config, modes)
    require_memory(config, modes, machine.workers, seen)
    written = disk_needs(config, modes, seen)
    require_disk(there, sum(need.bytes for need in written), lower_disk(written))
    return machine


def dry_run(
    args: argparse.Namespace,
    config: Config,
    machine: Machine,
    directory: Path,
    stages: tuple[str, ...],
) -> ExitCode:
    """Shows what would run, and writes nothing."""
    plan: dict[str, Any] = {
        "run_dir": str(directory),
        "seed": config.seed,
        "device": machine.device,
        "workers": machine.workers,
        "stages": list(stages),
        "tasks": [],
    }
    starts = starts_in(directory, config, machine.states, args.step_down, machine.details)
    for task in config.tasks:
        decision = starts[task.name].decision
        plan["tasks"].append(
            {
                "task": task.name,
                "env_id": task.env_id,
                "target": task.target_of(simulated=bool(decision.mode and decision.mode.simulates)),
                "mode": str(decision.mode),
                "reasons": list(decision.reasons),
            }
        )
    if args.json:
        print(json.dumps(plan, indent=2))
        return ExitCode.OK
    lines = [
        f"would run in {directory}, seed {config.seed}, {plan['workers']} workers, nothing written"
    ]
    if stages != STAGES:
        lines.append(f"  of the stages {', '.join(stages)} alone")
    for entry in plan["tasks"]:
        lines.append(
            f"  {entry['task']}: {entry['env_id']}, target {entry['target']:g}, {entry['mode']}"
        )
        lines += [f"    {reason}" for reason in entry["reasons"]]
    print(printable("\n".join(lines)))
    return ExitCode.OK


def walk(
    args: argparse.Namespace,
    config: Config,
    machine: Machine,
    rundir: RunDir,
    stages: tuple[str, ...],
) -> ExitCode:
    """Walks the tasks in a run directory that is locked, and returns the exit code.

    What is said while the display draws would be drawn over, and waits.
    """
    display = make_display(config, quiet=args.quiet, json=args.json)
    ledger = Ledger(rundir.ledger_path)
    watcher, barrier = args.watcher, _barrier(args, config, ledger)
    sinks = followed(_sinks(config, watcher), config, rundir, ledger, announced_to(watcher))
    with ExitStack() as to_say, signals_to(barrier), display, sinks:
        present = to_say.enter_context(closing(Present(rundir.path)))
        for listener in (display.on_event, _say_inexact, partial(_tell_where, watcher)):
            ledger.subscribe(listener)
        record_start(config, machine, rundir, ledger)
        take_up(watcher, config, machine, ledger, may_step_down=args.step_down)
        runner = Runner(
            config,
            rundir,
            ledger,
            machine,
            barrier,
            listener=_told_to(display.on_progress, present.on_progress),
            stages=stages,
            # What is out because it killed this command's processes has been stepped down from.
            may_step_down=args.step_down or bool(watcher.orders.broken),
            after_task=_media(config),
            watcher=watcher,
        )
        try:
            verdicts = runner.walk()
        except Stopped as e:
            to_say.callback(_say_resume, f"{e}; everything is committed", rundir)
            return _stopped(e, rundir, ledger)
        except KeyboardInterrupt:
            to_say.callback(_say_resume, "stopped at once; the last commit is valid", rundir)
            raise
        finally:
            runner.close()
        code = _exit_code(config, ledger, verdicts, stages)
        ledger.append("run_finished", exit_code=int(code))
        write_illustrated(rundir.path, ledger.events())
    watcher.tell("over")
    _print_result(args, rundir, verdicts, code)
    _say_faults(verdicts)
    return code


def _told_to(*listeners: Listener) -> Listener:
    def tell(progress: Progress) -> None:
        for listener in listeners:
            listener(progress)

    return tell


def _exit_code(
    config: Config, ledger: Ledger, verdicts: list[Verdict], stages: tuple[str, ...]
) -> ExitCode:
    code = exit_code(verdicts, stages)
    lost = code == ExitCode.TARGET_MISSED and _lost_what_was_forced(config, ledger, verdicts)
    return ExitCode.COMPONENT_MISSING if lost else code


def _say_faults(verdicts: list[Verdict]) -> None:
    for verdict in verdicts:
        if verdict.fault:
            say(f"error: {verdict.task}: {verdict.fault}")


def _lost_what_was_forced(config: Config, ledger: Ledger, verdicts: list[Verdict]) -> bool:
    """Tells whether a task did not run because a component of the forced mode broke since."""
    forced = config.curriculum.mode != "auto"
    return forced and any(v.mode is None for v in verdicts) and bool(ledger.events(BROKEN))


def _barrier(args: argparse.Namespace, config: Config, ledger: Ledger) -> Barrier:
    """Returns the run's barrier, as its orders change what was asked for."""
    watcher: Watcher = args.watcher
    orders, seconds = watcher.orders, config.curriculum.commit_seconds
    left = args.max_time if orders.left_s is None else orders.left_s
    commit = seconds if orders.commit_seconds is None else min(seconds, orders.commit_seconds)
    watcher.tell("walking", left_s=left)
    return Barrier(commit, left, watch=MemoryWatch(ledger.append), watcher=watcher)


def _tell_where(watcher: Watcher, event: Mapping[str, Any]) -> None:
    """Tells the watcher where the run is."""
    if event["event"] in _WHERE:
        place = {name: event.get(name) for name in ("task", "mode", "round", "stage")}
        watcher.tell("at", event=event["event"], **place)


def _sinks(config: Config, watcher: Watcher) -> list[str]:
    """Returns what is told the run; what killed an earlier process of this command is not."""
    return [name for name in chosen(config) if name not in watcher.orders.broken]


def _media(config: Config) -> Callable[[StageContext], None] | None:
    if not config.curriculum.save_videos:
        return None
    from curriculum.films.media import save_media

    return lambda ctx: save_media(ctx.place, lambda: ctx.agent(ctx.learned()))


def record_start(config: Config, machine: Machine, rundir: RunDir, ledger: Ledger) -> None:
    started = ledger.events("run_started")
    facts = {"versions": versions(), "hardware": hardware(machine.device)}
    ledger.append(
        "run_started",
        name=config.name,
        seed=config.seed,
        mode=config.curriculum.mode,
        config_hash=config_hash(config),
        plugins=list(code_of(config)),
        run_dir=str(rundir.given),
        **facts,
        resumed=bool(started),
        command=shlex.join(["python", "-m", "curriculum", *sys.argv[1:]]),
    )
    different = inexact_because(started[0], facts) if started else []
    if different:
        ledger.append("resume_inexact", differences=different)
    for name, state in machine.states.items():
        ledger.append("probe", component=name, state=state)


def _say_inexact(event: Mapping[str, Any]) -> None:
    if event["event"] == "resume_inexact":
        say(
            f"this is not where the run began ({'; '.join(event['differences'])}): it goes on, and "
            "its results are as good, but they will not equal an uninterrupted run's to the last "
            "bit"
        )


def _stopped(stop: Stopped, rundir: RunDir, ledger: Ledger) -> ExitCode:
    command = _resume_command(rundir)
    ledger.append("run_stopped", reason=str(stop), exit_code=int(stop.exit_code), resume=command)
    write_illustrated(rundir.path, ledger.events())
    return stop.exit_code


def _resume_command(rundir: RunDir) -> str:
    return resume_command(rundir.path, flag(rundir.config()))


def _say_resume(what: str, rundir: RunDir) -> None:
    say(f"{what}. Go on with:\n  {_resume_command(rundir)}")


def _print_result(
    args: argparse.Namespace, rundir: RunDir, verdicts: list[Verdict], code: ExitCode
) -> None:
    if args.json:
        result = {
            "run_dir": str(rundir.given),
            "exit_code": int(code),
            "verdicts": [asdict(v) for v in verdicts],
        }
        print(json.dumps(result, indent=2), file=LosableStream(sys.stdout))
        return
    final_table(verdicts)
    print(f"report: {rundir.given / 'report.md'}", file=LosableStream(sys.stdout))
