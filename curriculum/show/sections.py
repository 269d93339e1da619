"""The sections of a run's report, as Markdown."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from curriculum.errors import ExitCode
from curriculum.mode import LADDER
from curriculum.records.evaluation import LOOPING_STEPS, Evaluation
from curriculum.records.events import known
from curriculum.show.insights import driving_section, world_model
from curriculum.show.markdown import bullets, code, escape, pictures, table
from curriculum.show.summary import CheckRow, Event, RunSummary, StageRow
from curriculum.show.view import transfer_line
from curriculum.show.words import (
    NOTHING,
    count,
    duration,
    finite,
    interval,
    number,
    outcome,
    plain,
    short,
    tried,
)

CURVE_POINTS = 40
"""Checks per task that the report lists at most; the ledger has all of them."""

(_STOPPED,) = known("run_stopped")

EXIT_MEANING = {
    int(ExitCode.OK): "all targets met",
    int(ExitCode.TARGET_MISSED): "a target missed",
    int(ExitCode.ENVIRONMENT): "an environment or plugin of yours raised",
    int(ExitCode.RESUMABLE): "stopped, resumable",
    int(ExitCode.INTERRUPTED): "stopped by Ctrl-C, resumable",
    int(ExitCode.TERMINATED): "stopped by SIGTERM, resumable",
}


def report_of(summary: RunSummary, curves: Sequence[str] = ()) -> str:
    """Returns the report of a run as Markdown.

    Args:
        summary: of the run.
        curves: paths of pictures of what was learned, inside the run directory.
    """
    parts = [
        f"# Report of run {escape(summary.name)}\n",
        f"{escape(ending(summary))}. {escape(_when(summary))}\n",
        "## Results\n",
        _verdicts(summary) + _attempts(summary),
        "## Games of the evaluations\n",
        _games(summary.stages),
        "## Modes and why\n",
        _decisions(summary),
        "## Degradations and replacements\n",
        _degradations(summary),
        "## Stages\n",
        _stages(summary.stages)
        + _learned_from(summary.stages)
        + _begun_from(summary)
        + _forks(summary),
        "## Checks during the search\n",
        *([pictures(curves)] if curves else []),
        _curve(summary.checks),
        *driving_section(summary.stages),
        "## World model\n",
        world_model(summary.stages) + _unseen(summary),
        "## Pictures\n",
        pictures(summary.media),
        "## Machine\n",
        _hardware(summary),
        "## How to make it again\n",
        _commands(summary),
    ]
    return "\n".join(parts)


def ending(summary: RunSummary) -> str:
    """Says how a run ended, or that it did not say."""
    if summary.ended is None:
        return "no ending recorded: it still runs, or it was killed and can be resumed"
    if summary.ended["event"] == _STOPPED:
        reason = plain(summary.ended.get("reason"))
        return f"{reason}; go on with: {plain(summary.ended.get('resume'))}"
    exit_code = summary.ended.get("exit_code")
    meaning = EXIT_MEANING.get(exit_code, "") if isinstance(exit_code, int) else ""
    return f"finished, exit code {plain(exit_code)}" + (f" ({meaning})" if meaning else "")


def _when(summary: RunSummary) -> str:
    if summary.first_s is None or summary.last_s is None:
        return "Its ledger holds no event."
    start = datetime.fromtimestamp(summary.first_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    between = duration(summary.last_s - summary.first_s)
    resumed = f", started {summary.starts} times" if summary.starts > 1 else ""
    return f"Begun {start}, {between} from the first event to the last{resumed}."


def _verdicts(summary: RunSummary) -> str:
    header = ["task", "mode", "verdict", "score", "interval", "target", "environment"]
    header += ["episodes", "policy", "otherwise", "env steps", "dream steps", "time"]
    return (
        table(header, (_verdict_row(v) for v in summary.verdicts))
        + (
            "\nSteps and time are what was used until the verdict, V and M's data included, "
            "evaluation episodes not. A score is the mean of full episodes with true rewards.\n"
            if summary.verdicts
            else ""
        )
        + _not_run(summary)
    )


def _not_run(summary: RunSummary) -> str:
    """Says why tasks have no score."""
    told = [
        f"{plain(v.get('task'))}: {plain(v['reasons'][-1])}"
        for v in summary.verdicts
        if v.get("score") is None and v.get("reasons")
    ]
    return f"\nNot run:\n\n{bullets(told)}" if told else ""


def _verdict_row(v: Mapping[str, Any]) -> list[str]:
    return [
        plain(v.get("task")),
        plain(v.get("mode")) or "none",
        ", ".join(filter(None, (outcome(v.get("verdict"), v.get("mode")), tried(v)))),
        number(v.get("score")),
        interval(v.get("interval")),
        number(v.get("target")),
        plain(v.get("env_id")),
        count(v.get("episodes")),
        plain(v.get("policy")),
        _otherwise(v),
        count(v.get("env_steps")),
        count(v.get("dream_steps")),
        duration(v.get("seconds")),
    ]


def _games(stages: Sequence[StageRow]) -> str:
    """Says what the means of the evaluations do not: how far and how different their games are."""
    header = ["task", "mode", "round", "policy", "episodes", "mean", "std", "median", "worst"]
    header += ["best", "distinct scores", "distinct games", "lives", "cut by a limit", "looping"]
    rows = [
        [r.task, r.mode, r.round + 1, *_game_cells(told)]
        for r in stages
        if r.stage == "evaluate" and r.evaluation
        for told in r.evaluation.both
        if told.scores
    ]
    return (
        f"{table(header, rows)}\nGames are distinct by score and length; looping ones had no "
        f"reward for more than {LOOPING_STEPS:,} steps; lives are the mean of those played.\n"
    )


def _game_cells(told: Evaluation) -> list[str]:
    spread = (told.score, told.std, told.median, told.lowest, told.highest)
    return [
        plain(told.policy),
        count(len(told.scores)),
        *(number(value) for value in spread),
        *(count(value) for value in (told.distinct_scores, told.distinct_games)),
        number(told.lives_played),
        *(count(value) for value in (told.cut, told.looping)),
    ]


def _attempts(summary: RunSummary) -> str:
    """Says how each of several attempts ended, and which one counts."""
    counting = {
        (plain(v.get("task")), plain(v.get("mode"))): v.get("attempt")
        for v in summary.verdicts
        if v.get("attempts")
    }
    rows = []
    for e in summary.attempts:
        where = plain(e.get("task")), plain(e.get("mode"))
        counts = "yes" if counting.get(where) == e.get("attempt") else ""
        scores = number(e.get("score")), interval(e.get("interval")), number(e.get("target"))
        used = count(e.get("env_steps")), duration(e.get("seconds"))
        word = plain(e.get("verdict")).replace("_", " ")
        rows.append(
            [
                *where,
                short(e.get("attempt")),
                _from_one(e.get("round")),
                word,
                *scores,
                *used,
                counts,
            ]
        )
    if not rows:
        return ""
    header = ["task", "mode", "attempt", "round", "verdict", "score", "interval", "target"]
    header += ["env steps so far", "time so far", "counts"]
    return (
        f"\nAttempts, each anew and with other seeds:\n\n{table(header, rows)}\nThe one that "
        "passed counts, else the best; the best of several flatters. Steps and time of a result "
        "are those of all attempts; rounds are counted on through them.\n"
    )


def _from_one(number: Any) -> str:
    """Counts as people do what a ledger counts from zero."""
    known = finite(number)
    return NOTHING if known is None else str(int(known) + 1)


def _otherwise(v: Mapping[str, Any]) -> str:
    """Returns the score of the other way of acting, on the same seeds."""
    if v.get("other_score") is None:
        return ""
    score, between = number(v.get("other_score")), interval(v.get("other_interval"))
    return f"{plain(v.get('other_policy'))} {score} {between}"


def _decisions(summary: RunSummary) -> str:
    rows = []
    for task, event in summary.decisions.items():
        asked, mode = plain(event.get("requested")), plain(event.get("mode"))
        default = "it was asked for" if asked == mode else "everything it needs works"
        reasons = "; ".join(map(plain, event.get("reasons") or ())) or default
        missing = ", ".join(map(plain, event.get("missing") or ())) or "none"
        rows.append([task, asked, mode or "not runnable", reasons, missing])
    return table(["task", "asked for", "mode at start", "reasons", "unusable components"], rows)


def _degradations(summary: RunSummary) -> str:
    words = ("mode", "component", "reason", "replacement", "consequence")
    replaced = [[", ".join(e["tasks"]), *(e[w] for w in words)] for e in summary.replacements]
    parts = ["Replacements:\n", table(["tasks", *words], replaced)]
    parts += ["Steps down:\n", bullets(_step_down(e) for e in summary.step_downs)]
    if summary.moves:
        moved = (
            "Resumed on other versions or another machine: results are as good, but do not equal "
            "an uninterrupted run's to the last bit.\n"
        )
        parts += [moved, bullets(summary.moves)]
    if summary.refusals:
        ended = [f"{plain(e.get('task'))}: {plain(e.get('reason'))}" for e in summary.refusals]
        parts += ["Tasks that ended by an error of their environment or configuration:\n"]
        parts += [bullets(ended)]
    parts += ["Failed stages:\n", bullets(_failure(e) for e in summary.failures)]
    healed = [f"{name.replace('_', ' ')}: {times} times" for name, times in summary.trouble.items()]
    parts += ["Healed while it ran:\n", bullets(healed)]
    if summary.unreadable:
        parts += ["Lines of the ledger that cannot be read:\n", bullets(summary.unreadable)]
    if summary.notices:
        said = [plain(e.get("text")) for e in summary.notices]
        parts += ["Notices:\n", bullets(said)]
    return "\n".join(parts)


def _step_down(e: Event) -> str:
    return (
        f"{plain(e.get('task'))}: {e.get('mode')} → {e.get('to')}, because {plain(e.get('reason'))}"
    )


def _failure(e: Event) -> str:
    place = f"{plain(e.get('task'))} {e.get('mode')} {e.get('stage')}"
    attempt = short(e.get("attempt", 0) + 1 if isinstance(e.get("attempt"), int) else None)
    return f"{place}, attempt {attempt}, {short(e.get('left'))} left: {plain(e.get('reason'))}"


def _stages(stages: Sequence[StageRow]) -> str:
    rows = []
    for r in stages:
        used = duration(r.seconds), count(r.env_steps), count(r.dream_steps)
        rows.append([r.task, r.mode, r.round + 1, r.stage, *used, r.result])
    header = ["task", "mode", "round", "stage", "time", "env steps", "dream steps", "result"]
    return table(header, rows) + _spent(stages) + _committing(stages)


def _forks(summary: RunSummary) -> str:
    """Says what was taken over from another run, and what differs from it."""
    told = []
    for e in summary.forks:
        taken = ", ".join(map(plain, e.get("taken") or ())) or "nothing"
        different = "; ".join(map(plain, e.get("changes") or ())) or "nothing"
        told.append(f"{plain(e.get('source'))}: {taken}. What differs from it: {different}")
    return f"\nTaken over from another run:\n\n{bullets(told)}" if told else ""


def _learned_from(stages: Sequence[StageRow]) -> str:
    """Says what learning was told where that was more than the score."""
    told = [
        f"{r.task} {r.mode}, round {r.round + 1}, learned from: {plain(r.facts['learned_from'])}"
        for r in stages
        if r.facts.get("learned_from")
    ]
    heading = "Beyond the score (of which all scores, checks and evaluations are):"
    return f"\n{heading}\n\n{bullets(told)}" if told else ""


def _begun_from(summary: RunSummary) -> str:
    """Says which models began from another task's weights, and why others did not."""
    told = bullets(map(transfer_line, summary.transfers)) if summary.transfers else ""
    return f"\nWhat V and M began from:\n\n{told}" if told else ""


def _spent(stages: Sequence[StageRow]) -> str:
    """Says what the time of a practice went into, most of it first."""
    told = []
    for r in stages:
        whole = sum(r.spent_s.values())
        if whole:
            largest = sorted(r.spent_s.items(), key=lambda item: -item[1])
            shares = ", ".join(f"{plain(name)} {seconds / whole:.0%}" for name, seconds in largest)
            told.append(
                f"{plain(r.task)} round {r.round + 1}, {r.stage} ({duration(whole)}): {shares}"
            )
    return f"\nWhere the time of practice went:\n\n{bullets(told)}" if told else ""


def _committing(stages: Sequence[StageRow]) -> str:
    """Says what being able to resume cost."""
    counted = [r for r in stages if r.committing_s is not None and r.seconds]
    used, whole = sum(r.committing_s or 0 for r in counted), sum(r.seconds or 0 for r in counted)
    if not whole:
        return ""
    return f"\nCommits took {used:.2f} s of {duration(whole)}: {used / whole:.2%} of the time.\n"


def _curve(checks: Sequence[CheckRow]) -> str:
    by_task: dict[tuple[str, str, int], list[CheckRow]] = {}
    for check in checks:
        by_task.setdefault((check.task, check.mode, check.round), []).append(check)
    shown = [check for curve in by_task.values() for check in _thin(curve)]
    rows = [
        [c.task, c.mode, c.round + 1, c.generation, number(c.score), number(c.target)]
        for c in shown
    ]
    return table(["task", "mode", "round", "update", "score", "target"], rows)


def _thin(curve: list[CheckRow]) -> list[CheckRow]:
    """Keeps evenly spaced checks, the last one always."""
    step = -(-len(curve) // CURVE_POINTS)
    kept = curve[::-1][::step] if step else []
    return kept[::-1]


def _unseen(summary: RunSummary) -> str:
    """Says what of V and M could not be looked at, and why."""
    told = [
        f"{plain(e.get('task'))} {e.get('mode')} {e.get('stage')}: {plain(e.get('reason'))}"
        for e in summary.unseen
    ]
    return f"\nWhat could not be looked at:\n\n{bullets(told)}" if told else ""


def machine(summary: RunSummary) -> str:
    """Says on what a run ran last."""
    hardware = summary.started.get("hardware") or {}
    return ", ".join(
        f"{plain(k).replace('_', ' ')} {plain(v)}" for k, v in hardware.items() if v is not None
    )


def _hardware(summary: RunSummary) -> str:
    versions = summary.started.get("versions") or {}
    rows = [["hardware", machine(summary)]]
    rows += [[name, version] for name, version in versions.items()]
    bad = [f"{n} is {plain(e.get('state'))}" for n, e in summary.probes.items() if not _usable(e)]
    rows.append(["components that could not be used", ", ".join(bad) or "none of those probed"])
    return table(["what", "which"], rows)


def _usable(probe: Event) -> bool:
    return probe.get("state") in ("ok", "slow")


def _commands(summary: RunSummary) -> str:
    run_dir = plain(summary.started.get("run_dir")) or "RUN"
    config = shlex.quote(f"{run_dir}/config.yaml")
    plugins = ",".join(map(plain, summary.started.get("plugins") or ()))
    agreed = f" --plugins {shlex.quote(plugins)}" if plugins else ""
    again = shlex.quote(f"{run_dir.rstrip('/')}-again")
    lines = [
        *summary.commands,
        f"python -m curriculum run {config} --run-dir {again}{agreed}",
        f"python -m curriculum report {shlex.quote(run_dir)}",
    ]
    facts = {"seed": summary.started.get("seed"), "config_hash": summary.started.get("config_hash")}
    note = f"Best mode is {LADDER[0]}. Seed and configuration: {json.dumps(facts)}."
    return code(lines) + f"\n{escape(note)}\n"
