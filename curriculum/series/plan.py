"""What a series is on the disk: its seeds, and where each of its runs lies.

series.json  config.yaml  lock  report.md  results.json
seed-0/  seed-0.log  seed-1/  seed-1.log  …

Every run is an ordinary run directory, which every command takes. The series adds nothing to a
result: it only says which runs there are to be, and with how many threads each.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curriculum.config.loading import changes, dump, load_config
from curriculum.config.schema import Config
from curriculum.errors import ConfigError, RunIOError
from curriculum.records.files import damaged, read_json, refused, write_bytes, write_json
from curriculum.records.lock import DirectoryLock
from curriculum.records.rundir import RunDir
from curriculum.series import FILE, exists
from diagnostics.cores import available_cores
from models.numeric.threads import threads_asked_for

SCHEMA = 1

_TYPES: Mapping[str, Any] = {"schema": int, "seeds": list, "threads": int, "options": list}


@dataclass(frozen=True)
class Series:
    """Runs of one configuration with several seeds.

    Attributes:
        given: its directory as the user named it, for sentences.
        path: the same, absolute.
        seeds: of the runs, in the order in which they are begun.
        threads: of each run; it belongs to what a run's last bits depend on.
        options: of the command line, that every run is given.
    """

    given: Path
    path: Path
    seeds: tuple[int, ...]
    threads: int
    options: tuple[str, ...]

    @classmethod
    def begin(
        cls,
        directory: Path,
        config: Config,
        seeds: Sequence[int],
        jobs: int,
        options: Sequence[str],
    ) -> Series:
        """Begins a series, or goes on with the one that is there, perhaps with more seeds.

        Args:
            directory: of the series.
            config: of every run but for the seed.
            seeds: without repetition.
            jobs: runs at the same time, which share the cores.
            options: see `Series`.

        Raises:
            ConfigError: the directory holds something else, or a series of other results.
            RunIOError: the disk refused.
        """
        path = directory.absolute()
        if exists(path):
            return cls.open(directory)._extended(config, seeds, options)
        _refuse_foreign(directory)
        threads = threads_asked_for() or max(1, available_cores() // min(jobs, len(seeds)))
        series = cls(directory, path, tuple(seeds), threads, tuple(options))
        series._write(config)
        return series

    @classmethod
    def open(cls, directory: Path) -> Series:
        """Opens a series that is there.

        Raises:
            ConfigError: there is none.
            RunIOError: its file cannot be read, or was not written by this program.
        """
        path = directory.absolute()
        if not exists(path):
            raise ConfigError(f"{directory} holds no series of runs: {FILE} is not there")
        facts = read_json(path / FILE)
        if not _is_ours(facts):
            raise RunIOError(damaged(path / FILE, "it is no series"))
        seeds, options = map(tuple, (facts["seeds"], facts["options"]))
        return cls(directory, path, seeds, facts["threads"], options)

    @property
    def config_path(self) -> Path:
        return self.path / "config.yaml"

    def config(self) -> Config:
        """Returns the configuration of every run, with the first one's seed.

        Raises:
            ConfigError: it was edited, and wrongly.
        """
        return load_config(self.config_path)

    def lock(self) -> DirectoryLock:
        """Returns what keeps the series to one process."""
        return DirectoryLock(self.path, self.given)

    def run_dir(self, seed: int) -> Path:
        """Returns where a run is kept."""
        return self.path / f"seed-{seed}"

    def ledger(self, seed: int) -> Path:
        """Returns the ledger of a run; it need not be there yet."""
        return RunDir(self.run_dir(seed), {}).ledger_path

    def log(self, seed: int) -> Path:
        """Returns the file that a run's own lines go to."""
        return self.path / f"seed-{seed}.log"

    def arguments(self, seed: int, config: Config, left_s: float | None) -> list[str]:
        """Returns what `python -m curriculum` is told, to begin a run or to go on with it.

        Args:
            seed: of the run.
            config: of the series. Where it leaves the number of processes to the cores, these are
                shared as threads are; no result depends on processes.
            left_s: seconds after which it commits and stops; None is never.
        """
        workers, asked = self.threads if self.threads > 1 else 0, config.curriculum
        counts = {"workers": asked.workers, "env_workers": asked.env_workers}
        left = [f"curriculum.{name}={workers}" for name, count in counts.items() if count < 0]
        shared = [word for key in left for word in ("--set", key)]
        limit = [] if left_s is None else ["--max-time", f"{max(left_s, 0.0):.3f}s"]
        where = ["--seed", str(seed), "--run-dir", str(self.run_dir(seed))]
        return ["run", str(self.config_path), *where, *self.options, *shared, *limit]

    def _extended(self, config: Config, seeds: Sequence[int], options: Sequence[str]) -> Series:
        different = changes(self.config(), replace(config, seed=self.seeds[0]))
        if tuple(options) != self.options:
            different.append(f"options: {' '.join(self.options)} -> {' '.join(options)}")
        if different:
            listed = "\n  ".join(different[:20])
            raise ConfigError(
                f"{self.given} was begun with another configuration:\n  {listed}\n"
                f"go on with it as it was by `python -m curriculum resume "
                f"{shlex.quote(str(self.given))}`, or choose another --run-dir"
            )
        more = tuple(seed for seed in seeds if seed not in self.seeds)
        series = replace(self, seeds=(*self.seeds, *more))
        series._write(config)
        return series

    def _write(self, config: Config) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise refused(e, "write the series", self.path) from e
        write_bytes(self.config_path, dump(replace(config, seed=self.seeds[0])).encode())
        facts = {"seeds": list(self.seeds), "threads": self.threads, "options": list(self.options)}
        # Last, because a directory with this file counts as a series.
        write_json(self.path / FILE, {"schema": SCHEMA, **facts})


def _is_ours(facts: Any) -> bool:
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        return False
    if not all(type(facts.get(name)) is kind for name, kind in _TYPES.items()):
        return False
    seeds, options = facts["seeds"], facts["options"]
    sound = bool(seeds) and all(type(seed) is int and seed >= 0 for seed in seeds)
    return sound and facts["threads"] > 0 and all(isinstance(option, str) for option in options)


def _refuse_foreign(directory: Path) -> None:
    if RunDir.exists(directory):
        raise ConfigError(
            f"{directory} holds a single run: choose another --run-dir for runs of several seeds"
        )
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"{directory} is a file: give a directory for the runs")
    ours = {"config.yaml", "lock"}
    foreign = sorted(p.name for p in directory.iterdir()) if directory.is_dir() else []
    foreign = [name for name in foreign if name not in ours]
    if foreign:
        raise ConfigError(
            f"{directory} holds {foreign[0]}: give an empty or a new directory for the runs"
        )
