"""A run directory: where everything of a run lies, and the lock that keeps it to one process.

run.json  config.yaml  events.jsonl  lock
pipeline_summary.csv  evaluation_results.json  report.md  now.json (while it goes on)
tasks/<task>/<mode>/round-00/<stage>/{commits/, data/, result.json}
media/  tensorboard/

Rounds are counted on through the attempts at a task: with two rounds each, the second attempt has
round-02 and round-03.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shlex
import shutil
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from curriculum.config.loading import changes, load_config
from curriculum.config.schema import Config
from curriculum.errors import ConfigError, RunIOError
from curriculum.records.commit import LEFT_COMMIT
from curriculum.records.facts import shown
from curriculum.records.files import (
    kind_of,
    read_json,
    refused,
    write_bytes,
    write_json,
)
from curriculum.records.lock import DirectoryLock

SCHEMA = 1
_LEFT_FILE = re.compile(r"\.(.+)\.tmp-\d+")
_FILES = frozenset(
    {
        "run.json",
        "config.yaml",
        "events.jsonl",
        "lock",
        "pipeline_summary.csv",
        "evaluation_results.json",
        "report.md",
        "now.json",
    }
)
MEDIA = "media"
"""The directory in a run that pictures and films are in."""

_FOLDERS = frozenset({"tasks", MEDIA, "metrics", "tensorboard"})
"""What this program makes in a run directory; whatever else a user keeps there is left alone."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class RunDir:
    """The paths of a run; as a context manager it holds the run's lock.

    Use `create` or `open`. Reading needs no lock; whoever writes works inside `with rundir:`.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self.given = Path(path)
        """As the user named it, for sentences."""
        # A plugin may change the working directory; the run stays where it is.
        self.path = self.given.absolute()
        self.facts = dict(facts)
        """What run.json says: `schema`, `created` (unix seconds), `id` and the creator's facts."""
        self._lock = DirectoryLock(self.path, self.given)

    @classmethod
    def exists(cls, path: Path) -> bool:
        """Tells whether a directory holds a run."""
        return (path / "run.json").is_file()

    @classmethod
    def create(cls, path: Path, config_yaml: str, facts: Mapping[str, Any] = _NOTHING) -> RunDir:
        """Makes a new run directory and leaves it to whoever locks it; see `begin`."""
        rundir = cls.begin(path, config_yaml, facts)
        rundir.release()
        return rundir

    @classmethod
    def begin(cls, path: Path, config_yaml: str, facts: Mapping[str, Any] = _NOTHING) -> RunDir:
        """Makes a new run directory whose lock this process holds from before there is a run in it.

        Args:
            path: of the run; its parents are created. An empty directory may be there, or the
                beginnings of a run that was killed while it was being created.
            config_yaml: the whole resolved configuration, as text.
            facts: to keep in run.json, e.g. versions.

        Raises:
            ConfigError: there is a run already, or something else.
            RunLocked: another process is making one there.
            RunIOError: the disk refused.
        """
        rundir = cls(path, {})
        if cls.exists(rundir.path):
            raise ConfigError(f"{path} holds a run already: resume it, or choose another directory")
        _refuse_foreign(rundir.path)
        try:
            rundir.path.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise refused(e, "write the run", rundir.path) from e
        rundir.lock()
        try:
            rundir._write(config_yaml, facts)
        except BaseException:
            rundir.release()
            raise
        return rundir

    def _write(self, config_yaml: str, facts: Mapping[str, Any]) -> None:
        if self.exists(self.path):
            raise ConfigError(
                f"{self.given} holds a run since a moment ago: the same command goes on with it"
            )
        entries = {
            "schema": SCHEMA,
            "created": round(time.time(), 3),
            "id": secrets.token_hex(8),
            **facts,
        }
        write_bytes(self.path / "config.yaml", config_yaml.encode())
        # Last, because a directory with run.json counts as a run.
        write_json(self.path / "run.json", entries)
        self.facts = entries

    @classmethod
    def open(cls, path: Path) -> RunDir:
        """Opens a run directory that is there.

        Raises:
            ConfigError: there is none, or a newer program wrote it.
            RunIOError: it cannot be read.
        """
        path = Path(path)
        if not path.is_dir():
            raise ConfigError(
                f"there is no run directory {path}: give the directory that `run` named when it "
                f"started, e.g. runs/<name>"
            )
        facts = read_json(path / "run.json")
        if facts is None and not (path / "run.json").exists():
            inner = next((p.parent for p in sorted(path.glob("*/run.json"))), None)
            meant = f"; {inner} is one" if inner is not None else ""
            raise ConfigError(f"{path} is not a run directory: expected a run.json in it{meant}")
        if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
            found = facts.get("schema") if isinstance(facts, dict) else facts
            raise ConfigError(
                f"{path}/run.json has format {shown(found)}, this program reads {SCHEMA}: use the "
                f"version that wrote it"
            )
        return cls(path, facts)

    @property
    def id(self) -> str:
        """A name no other run has; empty for a run that was begun before runs had one."""
        return str(self.facts.get("id", ""))

    def require_there(self) -> None:
        """Refuses to go on in a directory that was removed: writing would bring it back half-made.

        Raises:
            RunIOError: there is no run any more.
        """
        if not self.exists(self.path):
            gone = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
            raise refused(gone, "go on with the run", self.path)

    @property
    def config_path(self) -> Path:
        return self.path / "config.yaml"

    @property
    def ledger_path(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def media_dir(self) -> Path:
        return self.path / MEDIA

    @property
    def tensorboard_dir(self) -> Path:
        return self.path / "tensorboard"

    def stage_dir(self, task: str, mode: str, round: int, stage: str) -> Path:
        """Returns where a stage keeps its commits and data; whoever writes there creates it."""
        return self.path / "tasks" / task / mode / f"round-{round:02d}" / stage

    def identity(self, directory: Path) -> str:
        """Returns what the commits of a stage carry, so that none is taken that belongs elsewhere.

        It is empty for a run that was begun before runs had a name of their own.
        """
        return f"{self.id}/{directory.relative_to(self.path).as_posix()}" if self.id else ""

    def config(self) -> Config:
        """Returns the configuration the run was created with.

        Raises:
            ConfigError: it was edited, and wrongly.
        """
        return load_config(self.config_path)

    def require_same_config(self, config: Config) -> None:
        """Refuses to continue with a configuration that would give other results.

        Keys that cannot change a result (workers, deadlines, what is shown, which of the tasks are
        walked) may differ.

        Raises:
            ConfigError: naming every key that differs.
        """
        different = changes(self.config(), config)
        if different:
            listed, quoted = "\n  ".join(different[:20]), shlex.quote(str(self.given))
            more = f"\n  and {len(different) - 20} more" if len(different) > 20 else ""
            raise ConfigError(
                f"{self.given} was begun with another configuration:\n  {listed}{more}\n"
                f"resume it as it was with `python -m curriculum resume {quoted}`, or start a "
                f"new run from it with `--fork {quoted} --run-dir DIR`"
            )

    def finished_rounds(self, task: str, mode: str, stage: str) -> list[int]:
        """Returns the rounds in which a stage came to its end, in their order."""
        rounds = self.stage_dir(task, mode, 0, "").parent
        names = (p.parts[-3].removeprefix("round-") for p in rounds.glob(f"*/{stage}/result.json"))
        return sorted(int(name) for name in names if name.isdecimal())

    def lock(self) -> None:
        """Takes the run for this process; the system gives it back when the process ends.

        Whatever a killed holder left under a temporary name is removed. It is harmless if this
        process holds the run already.

        Raises:
            RunLocked: another process has it.
            RunIOError: the disk refused, or a link is in the place of something of the run.
        """
        if self._lock.held:
            return
        self._lock.take()
        try:
            _tidy(self.path)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Gives the run back; harmless if it is not held."""
        self._lock.release()

    def __enter__(self) -> RunDir:
        self.lock()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def _refuse_foreign(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is a file: give a directory for the run")
    if not path.is_dir():
        return
    beginnings = ("config.yaml", "run.json", "lock")
    foreign = sorted(
        p.name
        for p in path.iterdir()
        if p.name not in beginnings and _written_as(p.name) not in beginnings
    )
    if foreign:
        raise ConfigError(
            f"{path} is no run directory but holds {foreign[0]}: give an empty or a new directory"
        )


def _tidy(path: Path) -> None:
    """Refuses links and removes what a killed holder left under a temporary name.

    Only what this program makes is removed, and only where it makes it: a task may be called
    `x.tmp-1`.

    Raises:
        RunIOError: something of the run is a link, or a pipe or a device is in its place.
    """
    for folder, folders, files in os.walk(path):
        inside = Path(folder).relative_to(path).parts
        if not inside:
            folders[:] = [name for name in folders if name in _FOLDERS]
            files = [name for name in files if name in _FILES or _written_as(name) in _FILES]
        for name in [*folders, *files]:
            _require_own(Path(folder, name))
        for name in filter(_written_as, files):
            Path(folder, name).unlink(missing_ok=True)
        if len(inside) == 6 and inside[0] == "tasks" and inside[-1] == "commits":
            for name in filter(LEFT_COMMIT.fullmatch, list(folders)):
                shutil.rmtree(Path(folder, name), ignore_errors=True)
                folders.remove(name)


def _require_own(path: Path) -> None:
    mode = path.lstat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise RunIOError(
            f"{path} is {kind_of(mode)}: a run holds plain files and directories only, and writes "
            f"through nothing else; put back what belongs there, then resume"
        )


def _written_as(name: str) -> str:
    """Returns the name of the file that a temporary one was to become; empty if it is none."""
    found = _LEFT_FILE.fullmatch(name)
    return found[1] if found else ""
