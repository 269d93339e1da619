"""`python -m diagnostics check`: what works, which mode each task gets, how to mend the rest."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from curriculum.config.schema import EnvConfig, TaskConfig
from curriculum.errors import ConfigError, ExitCode
from curriculum.mode import LADDER, Decision, TaskNeeds, decide
from curriculum.tasks import BUILTIN, needs_of
from diagnostics.cache import BY_NAME, ProbeCache, default_path, probe_all
from diagnostics.json_report import write_json
from diagnostics.probing.advice import advice
from diagnostics.probing.result import OnChange, ProbeResult

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

STYLES = {"ok": "green", "slow": "yellow", "missing": "yellow"}
MODE_STYLES = {str(mode): "green" if mode.uses_torch else "yellow" for mode in LADDER}


def main(args: argparse.Namespace) -> int:
    """Probes, shows the findings and returns the exit code.

    Args:
        args: `timeout`, `fresh`, `json`, `task` and `component`, as declared in `__main__`.

    Returns:
        0 if every task asked about can run in FULL (or, with `component`, if those are usable),
        else 4.

    Raises:
        ConfigError: a task or component is unknown.
        RunIOError: the JSON file cannot be written.
    """
    from rich.console import Console

    tasks = {name: _needs(name) for name in args.task or ([] if args.component else BUILTIN)}
    names = _components(args.component, tasks if args.task else {})
    # With `--json -` stdout carries the JSON alone.
    console = Console(stderr=args.json == "-", highlight=False, soft_wrap=False)
    cache = ProbeCache(default_path(), notice=lambda text: console.print(text, markup=False))
    probed: list[str] = []
    with _progress(console, names, probed) as (on_change, notice):
        results = probe_all(
            args.timeout, args.fresh, names, cache=cache, on_change=on_change, notice=notice
        )
    states = {name: str(result.state) for name, result in results.items()}
    details = {name: result.detail for name, result in results.items() if not result.usable}
    decisions = {name: decide(states, needs, details=details) for name, needs in tasks.items()}
    code = _exit_code(results, decisions)
    console.print(_component_table(results), "")
    remembered = [n for n, r in results.items() if r.probed and n not in probed]
    if remembered:
        console.print(f"{len(remembered)} of {len(names)} are remembered; --fresh probes again.")
    _show_unusable(console, [r for r in results.values() if not r.usable], args.timeout)
    if decisions:
        console.print("", _task_table(decisions))
    if args.json:
        write_json(args.json, _report(results, decisions, code, args.timeout))
    return code


def _needs(name: str) -> TaskNeeds:
    if name not in BUILTIN:
        raise ConfigError(_unknown(name, "task", BUILTIN))
    raw = dict(BUILTIN[name])
    env = EnvConfig(**raw.pop("env"))
    return needs_of(TaskConfig(name=name, env=env, **raw))


def _unknown(name: str, kind: str, choices: Iterable[str]) -> str:
    near = get_close_matches(name, choices, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{name!r} is not a {kind}.{hint} Expected one of: {', '.join(choices)}."


def _components(asked: Sequence[str] | None, tasks: Mapping[str, TaskNeeds]) -> list[str]:
    """Returns what to probe: what was asked for, else what the tasks need, else everything."""
    for name in asked or ():
        if name not in BY_NAME:
            raise ConfigError(_unknown(name, "component", BY_NAME))
    needed = [c for needs in tasks.values() for c in needs.of(LADDER[0])]
    chosen = {*(asked or ()), *needed}
    return [name for name in BY_NAME if name in chosen or not chosen]


def _exit_code(results: Mapping[str, ProbeResult], decisions: Mapping[str, Decision]) -> int:
    if decisions:
        whole = all(d.mode == LADDER[0] for d in decisions.values())
    else:
        whole = all(r.usable for r in results.values())
    return int(ExitCode.OK if whole else ExitCode.COMPONENT_MISSING)


@contextmanager
def _progress(
    console: Console, names: Sequence[str], probed: list[str]
) -> Iterator[tuple[OnChange, Callable[[str], None]]]:
    """Shows which probes run: one live line on a terminal, one plain line per result otherwise.

    What is about to be probed, and why it takes longer, is said in lines of their own, on stderr
    where there is no terminal to share.

    Args:
        console: where to show it.
        names: everything that is asked for.
        probed: filled with the names of the probes that were really started.
    """
    live = console.is_terminal and not console.no_color
    done: set[str] = set()

    def on_change(name: str, result: ProbeResult | None) -> None:
        if result is None:
            probed.append(name)
        else:
            done.add(name)
        if live:
            running = [p for p in probed if p not in done]
            status.update(f"probing {len(done)} of {len(names)}: {', '.join(running)}")
        elif result is not None and name in probed:
            console.print(f"{name}: {result.state} after {result.seconds:.1f} s", markup=False)

    def notice(text: str) -> None:
        if live:
            console.print(text, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)

    status = console.status("probing")
    if not live:
        yield on_change, notice
        return
    with status:
        yield on_change, notice


def _component_table(results: Mapping[str, ProbeResult]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("component", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("version", no_wrap=True, max_width=12)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("lost without it", overflow="fold")
    for name, result in results.items():
        table.add_row(
            name,
            Text(result.state, style=STYLES.get(result.state, "bold red")),
            Text(result.version or "-"),
            f"{result.seconds:.2f}",
            Text(BY_NAME[name].lost_without, style="dim" if result.usable else ""),
        )
    return table


def _show_unusable(console: Console, unusable: Sequence[ProbeResult], timeout_s: float) -> None:
    """Names the reason of each failure, and each fix once, whole, so that it can be copied."""
    from rich.text import Text

    fixes: dict[str, list[str]] = {}
    spared: dict[str, list[str]] = {}
    for result in unusable:
        if not result.probed:
            spared.setdefault(result.detail, []).append(result.name)
            continue
        line = Text.assemble((result.name, "bold"), f": {result.state}: {result.detail}")
        console.print(line, soft_wrap=True)
        fix = advice(result.name, result.state, timeout_s)
        fixes.setdefault(fix, []).append(result.name)
    for detail, names in spared.items():
        console.print(Text.assemble((", ".join(names), "bold"), f": {detail}"), soft_wrap=True)
    if fixes:
        console.print("To mend it:")
    for fix, names in fixes.items():
        console.print(Text(f"  {fix}    # {', '.join(names)}"), soft_wrap=True)


def _task_table(decisions: Mapping[str, Decision]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("task", no_wrap=True)
    table.add_column("mode", no_wrap=True)
    table.add_column("why not better", overflow="fold")
    for name, decision in decisions.items():
        mode = str(decision.mode or "none")
        reasons = "\n".join(decision.reasons) or "-"
        table.add_row(name, Text(mode, style=MODE_STYLES.get(mode, "bold red")), Text(reasons))
    return table


def _report(
    results: Mapping[str, ProbeResult],
    decisions: Mapping[str, Decision],
    code: int,
    timeout_s: float,
) -> dict[str, Any]:
    components = [
        {
            **result.to_json(),
            "title": BY_NAME[name].title,
            "usable": result.usable,
            "lost_without": BY_NAME[name].lost_without,
            "fix": None if result.usable else advice(name, result.state, timeout_s),
        }
        for name, result in results.items()
    ]
    tasks = [
        {"name": name, "mode": d.mode, "reasons": d.reasons, "missing": d.missing}
        for name, d in decisions.items()
    ]
    return {
        "schema": 1,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "components": components,
        "tasks": tasks,
        "exit_code": code,
    }
