"""What a configuration or a run directory holds, and whether it can be trusted and gone on with."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from curriculum.config.plugins import code_of, refuse_inside_run
from curriculum.config.schema import Config
from curriculum.datasets.episodes import Dataset
from curriculum.errors import ConfigError, CurriculumError, RunIOError
from curriculum.records.commit import LEFT_COMMIT, CommitStore
from curriculum.records.ledger import read_events
from curriculum.records.rundir import RunDir
from curriculum.tasks import load_config
from diagnostics.vetting.findings import Finding
from diagnostics.vetting.reporting import Part

OWN = ("run.json", "config.yaml", "events.jsonl", "lock")
CODE = frozenset({".py", ".pyc", ".pyo", ".pyd", ".pyx", ".pth", ".so", ".dylib", ".dll"})
MAX_NAMED = 20
"""Strange files that are named one by one."""


def irregular(path: Path) -> str:
    """Returns what a path is if it is neither a regular file nor a folder, else ""."""
    kinds = {
        stat.S_ISFIFO: "a FIFO",
        stat.S_ISSOCK: "a socket",
        stat.S_ISCHR: "a device",
        stat.S_ISBLK: "a device",
        stat.S_ISLNK: "a link to itself",
    }
    try:
        mode = path.stat().st_mode
    except OSError as e:
        return f"nothing that can be looked at ({e.strerror})"
    return next((name for is_kind, name in kinds.items() if is_kind(mode)), "")


def configuration(path: Path) -> Iterator[Finding]:
    """Reads a configuration whole, and tells what is wrong with it and which keys have moved."""
    notices: list[str] = []
    config = _config(path, notices.append)
    yield from (Finding("warning", str(path), text) for text in notices)
    yield _valid(path, config)


def parts(path: Path, fix: bool) -> list[Part]:
    """Returns the parts of the review of a run directory.

    Args:
        path: of the run.
        fix: whether leftovers of killed writers are removed.
    """
    events = path / "events.jsonl"
    found: list[Part] = [
        ("what lies in it", lambda: _strangers(path)),
        ("run.json", lambda: _regular(path / "run.json", lambda: _identity(path))),
        ("config.yaml", lambda: _run_configuration(path / "config.yaml")),
        ("events.jsonl", lambda: _regular(events, lambda: _ledger(events))),
    ]
    for commits in sorted((path / "tasks").rglob("commits")):
        found.append((str(commits), lambda stage=commits.parent: _commits(stage, fix)))
    for data in sorted((path / "tasks").rglob("episodes.bin")):
        found.append((str(data), lambda file=data: _regular(file, lambda: _data(file.parent))))
    return found


def _config(path: Path, notice: Callable[[str], None] = lambda text: None) -> Config | Finding:
    if what := irregular(path):
        return Finding("error", str(path), f"is {what}, expected a YAML file")
    try:
        return load_config(path, notice=notice)
    except ConfigError as e:
        return Finding("error", str(path), str(e))


def _valid(path: Path, config: Config | Finding) -> Finding:
    if isinstance(config, Finding):
        return config
    return Finding("ok", str(path), f"valid: {', '.join(task.name for task in config.tasks)}")


def _regular(path: Path, act: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Reviews a file that can be read without waiting for anybody."""
    if what := irregular(path):
        yield Finding("error", str(path), f"is {what}, expected a regular file")
    else:
        yield from act()


def _strangers(path: Path) -> Iterator[Finding]:
    """Code, links in place of a run's own files, and what is neither file nor folder."""
    named = 0
    for folder, _, names in os.walk(path):
        for name in names:
            if named == MAX_NAMED:
                yield Finding("error", str(path), "there may be more such files: these are enough")
                return
            found = _stranger(Path(folder, name), of_its_own=Path(folder) == path and name in OWN)
            if found is not None:
                named += 1
                yield found
    if not named:
        yield Finding("ok", str(path), "holds data only")


def _stranger(file: Path, of_its_own: bool) -> Finding | None:
    away = "take it away: a run writes no such file"
    if file.suffix in CODE:
        text = "is code inside a run directory, which could be run in place of a plugin"
        return Finding("error", str(file), text, away)
    if file.is_symlink():
        if of_its_own:
            return Finding("error", str(file), "is a link in place of a file of the run", away)
        return None if file.exists() else Finding("warning", str(file), "is a link to nothing")
    what = irregular(file)
    return Finding("error", str(file), f"is {what}, expected a file", away) if what else None


def _identity(path: Path) -> Iterator[Finding]:
    try:
        RunDir.open(path)
    except CurriculumError as e:
        yield Finding("error", str(path / "run.json"), str(e))


def _run_configuration(path: Path) -> Iterator[Finding]:
    config = _config(path)
    yield _valid(path, config)
    if isinstance(config, Finding):
        return
    for name in code_of(config):
        try:
            refuse_inside_run(name)
        except ConfigError as e:
            yield Finding("error", str(path), str(e), "do not go on with this run")
        else:
            text = f"wants {name} to be imported where the run is gone on with"
            advice = f"go on only if you know this code: name it yourself with --plugins {name}"
            yield Finding("warning", str(path), text, advice)


def _ledger(path: Path) -> Iterator[Finding]:
    events = list(read_events(path))
    damaged = [e["line"] for e in events if e["event"] == "unreadable_line"]
    if damaged:
        yield Finding("error", str(path), f"lines {damaged} cannot be read")
    else:
        yield Finding("ok", str(path), f"{len(events)} events")


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
    left = (p for p in (stage / "commits").iterdir() if LEFT_COMMIT.fullmatch(p.name))
    for leftover in sorted(left):
        if fix:
            shutil.rmtree(leftover)
            yield Finding("fixed", str(leftover), "a leftover of a killed writer was removed")
        else:
            yield Finding("warning", str(leftover), "is a leftover of a killed writer", "vet --fix")


def _data(directory: Path) -> Iterator[Finding]:
    try:
        data = Dataset([directory])
    except RunIOError as e:
        yield Finding("error", str(directory), str(e))
        return
    yield Finding("ok", str(directory), f"{data.num_episodes} episodes, {data.num_steps} steps")
