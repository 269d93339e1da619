"""`python -m diagnostics vet`: reviews an installation, an extension, configs or run directories.

Each path is reviewed for what it is: a Python file or folder (lint, imports, the contracts of the
environments it registers), a YAML file (the configuration it holds), a run directory (every commit,
the ledger and the data it names). Without paths, this installation is reviewed.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from curriculum.envs.contract import MakeVectorEnv, check_vector_env
from curriculum.envs.simulation import SIMULATIONS, make_simulation
from curriculum.errors import ConfigError, CurriculumError, RunIOError
from curriculum.records.commit import CommitStore
from curriculum.records.data import Dataset
from curriculum.records.ledger import read_events
from curriculum.records.rundir import RunDir
from curriculum.tasks import load_config
from diagnostics.json_report import write_json

Level = Literal["ok", "fixed", "warning", "error"]
STYLES = {"ok": "green", "fixed": "cyan", "warning": "yellow", "error": "red"}
DISTRIBUTION = "world-models-curriculum"


@dataclass(frozen=True)
class Finding:
    """One thing that was reviewed: how grave, where, what was found, what to do about it."""

    level: Level
    place: str
    text: str
    fix: str = ""


def main(args: argparse.Namespace) -> int:
    """Runs `python -m diagnostics vet`; returns 1 if there is an error, else 0."""
    findings: list[Finding] = []
    for path in [Path(p) for p in args.paths]:
        findings += _review(path, args.fix)
    if not args.paths:
        findings += list(_installation())
    _show(findings, args.json)
    return 1 if any(f.level == "error" for f in findings) else 0


def _review(path: Path, fix: bool) -> list[Finding]:
    if not path.exists():
        raise ConfigError(f"there is no {path}: give a Python file, a YAML file or a run directory")
    if path.is_dir() and RunDir.exists(path):
        return list(_run_directory(path, fix))
    if path.suffix in (".yaml", ".yml"):
        return list(_configuration(path))
    if path.suffix == ".py" or path.is_dir():
        return list(_extension(path, fix))
    raise ConfigError(f"{path} is neither Python, YAML nor a run directory")


def _installation() -> Iterator[Finding]:
    """Pinned requirements that are not met, and the contracts of what ships with the project."""
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        required = []
        yield Finding(
            "warning", DISTRIBUTION, "it is not installed as a package", 'pip install -e ".[full]"'
        )
    for line in required:
        yield from _requirement(line)
    for name in SIMULATIONS:
        kind: Literal["state", "pixels"] = "state" if name == "lunarlander" else "pixels"
        yield _contract(f"simulation/{name}", lambda n, k=kind, m=name: make_simulation(m, n, k))


def _requirement(line: str) -> Iterator[Finding]:
    name = line.split(";")[0].strip()
    package = name
    for mark in "[<>=!~ ":
        package = package.partition(mark)[0]
    optional = "extra ==" in line
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        level: Level = "warning" if optional else "error"
        yield Finding(
            level, package, "is not installed", f'pip install -c constraints.txt "{name}"'
        )
        return
    yield Finding("ok", package, f"{version} is installed")


def _contract(name: str, make: MakeVectorEnv) -> Finding:
    try:
        broken = check_vector_env(make)
    except CurriculumError as e:
        return Finding("error", name, f"cannot be made: {e}")
    if broken:
        what = "; ".join(broken)
        return Finding(
            "error", name, f"breaks the contract: {what}", "see curriculum.envs.interface"
        )
    return Finding("ok", name, "keeps the environment contract")


def _configuration(path: Path) -> Iterator[Finding]:
    try:
        config = load_config(path)
    except ConfigError as e:
        yield Finding("error", str(path), str(e))
        return
    yield Finding("ok", str(path), f"valid: {', '.join(task.name for task in config.tasks)}")


def _extension(path: Path, fix: bool) -> Iterator[Finding]:
    yield from _lint(path, fix)
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
        try:
            ast.parse(file.read_text(encoding="utf-8"), str(file))
        except (SyntaxError, UnicodeDecodeError) as e:
            yield Finding("error", str(file), f"is no Python that can be read: {e}")
            continue
        if file.parent == path or file == path:
            yield from _registered_by(file)


def _lint(path: Path, fix: bool) -> Iterator[Finding]:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    if ruff is None:
        yield Finding(
            "warning", str(path), "was not linted: ruff is not installed", "pip install ruff"
        )
        return
    command = [ruff, "check", "--output-format", "json", *(["--fix"] if fix else []), str(path)]
    # Bounded, because ruff starts nothing that could hold its pipes.
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode not in (0, 1):
        yield Finding("error", str(path), f"ruff failed: {done.stderr.strip()[-500:]}")
        return
    problems = json.loads(done.stdout or "[]")
    for problem in problems:
        place = f"{problem['filename']}:{problem['location']['row']}"
        hint = "run vet --fix" if problem.get("fix") else ""
        yield Finding("warning", place, f"{problem['code']} {problem['message']}", hint)
    if not problems:
        yield Finding("ok", str(path), "ruff has no complaint")


def _registered_by(file: Path) -> Iterator[Finding]:
    """Imports a plugin and checks every environment that it registers."""
    from curriculum.envs.registry import make_env, registered

    before = set(registered())
    spec = importlib.util.spec_from_file_location(f"vetted_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except Exception as e:  # noqa: BLE001 - whatever a stranger's module raises is the finding
        yield Finding("error", str(file), f"cannot be imported: {type(e).__name__}: {e}")
        return
    found = sorted(set(registered()) - before)
    for env_id in found:
        yield _contract(env_id, lambda n, e=env_id: make_env(e, "state", n))
    if not found:
        yield Finding("ok", str(file), "imports, and registers no environment")


def _run_directory(path: Path, fix: bool) -> Iterator[Finding]:
    yield from _configuration(path / "config.yaml")
    events = list(read_events(path / "events.jsonl"))
    damaged = [e["line"] for e in events if e["event"] == "unreadable_line"]
    if damaged:
        yield Finding("error", str(path / "events.jsonl"), f"lines {damaged} cannot be read")
    else:
        yield Finding("ok", str(path / "events.jsonl"), f"{len(events)} events")
    for commits in sorted((path / "tasks").rglob("commits")):
        yield from _commits(commits.parent, fix)
    for data in sorted((path / "tasks").rglob("episodes.bin")):
        yield _data(data.parent)


def _commits(stage: Path, fix: bool) -> Iterator[Finding]:
    rejected: list[str] = []
    newest = CommitStore(stage).latest(rejected.append)
    for text in rejected:
        yield Finding("error", str(stage), text, "resume goes on with the commit before")
    if newest is None:
        yield Finding("error", str(stage), "no commit verifies", "resume does this stage again")
    else:
        state = "complete" if newest.complete else "in progress"
        yield Finding("ok", str(stage), f"commit {newest.number:06d} verifies, {state}")
    for leftover in sorted((stage / "commits").glob("*.tmp-*")):
        if fix:
            shutil.rmtree(leftover)
            yield Finding("fixed", str(leftover), "a leftover of a killed writer was removed")
        else:
            yield Finding("warning", str(leftover), "is a leftover of a killed writer", "vet --fix")


def _data(directory: Path) -> Finding:
    try:
        data = Dataset([directory])
    except RunIOError as e:
        return Finding("error", str(directory), str(e))
    return Finding("ok", str(directory), f"{data.num_episodes} episodes, {data.num_steps} steps")


def _show(findings: list[Finding], json_target: str | None) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="review", show_lines=False)
    for heading in ("state", "where", "what", "what to do"):
        table.add_column(heading, overflow="fold")
    for f in findings:
        state = f"[{STYLES[f.level]}]{f.level}[/]"
        table.add_row(state, escape(f.place), escape(f.text), escape(f.fix))
    console = Console(stderr=json_target == "-", highlight=False)
    console.print(table)
    counts = {level: sum(f.level == level for f in findings) for level in STYLES}
    console.print(", ".join(f"{count} {level}" for level, count in counts.items() if count))
    if json_target:
        write_json(json_target, {"findings": [asdict(f) for f in findings]})
