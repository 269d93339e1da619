"""What goes wrong inside a run's processes, by the names in the environment variable MISCHIEF.

A driver imports this before it starts the command line, or a configuration names it as a plugin so
that worker processes load it too. `MISCHIEF="commit_always;kill_at_save=3"` does both things.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import Any

import numpy as np

from curriculum.agent import work
from curriculum.records.commit import CommitStore
from curriculum.records.files import Disk
from curriculum.records.ledger import Ledger
from curriculum.stops import Barrier


def wrap(owner: Any, name: str, before: Callable[..., None]) -> None:
    """Has `before` called, with the same arguments, ahead of a function."""
    original = getattr(owner, name)

    @wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        before(*args, **kwargs)
        return original(*args, **kwargs)

    setattr(owner, name, wrapped)


def die(*args: Any, **kwargs: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(code: int, *args: Any, **kwargs: Any) -> None:
    raise OSError(code, os.strerror(code))


def nth(number: int, act: Callable[..., None]) -> Callable[..., None]:
    """Returns something that acts at its n-th call only, counted from 1."""
    calls = 0

    def called(*args: Any, **kwargs: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            act(*args, **kwargs)

    return called


def commit_always(argument: str) -> None:
    """Commits at every barrier instead of about once a minute."""
    wrap(Barrier, "reached", lambda barrier, save: setattr(barrier, "_commit_seconds", 0.0))


def at_search(number: int, act: Callable[..., None]) -> None:
    """Acts ahead of the n-th save of a search."""
    due = nth(number, act)

    def before(store: CommitStore, *args: Any, **kwargs: Any) -> None:
        if store.directory.parent.name == "controller":
            due(store)

    wrap(CommitStore, "save", before)


def kill_at_save(argument: str) -> None:
    at_search(int(argument), die)


def raise_at_save(argument: str) -> None:
    """Sends this process a signal ahead of a save of the search."""
    number, name = argument.split(",")
    at_search(int(number), lambda store: os.kill(os.getpid(), getattr(signal, name)))


def signal_in_stage(argument: str) -> None:
    """Sends this process a signal at the first barrier of a stage."""
    stage, name = argument.split(",")
    at_barrier_of(stage, lambda *args, **kwargs: os.kill(os.getpid(), getattr(signal, name)))


def exit_in_stage(argument: str) -> None:
    """Ends this process with 0 at the first barrier of a stage, as if all were well."""
    at_barrier_of(argument, lambda *args, **kwargs: os._exit(0))


def at_barrier_of(stage: str, act: Callable[..., None]) -> None:
    """Acts at the first barrier of a stage."""
    here, due = "", nth(1, act)

    def look(ledger: Ledger, event: str, /, **facts: Any) -> None:
        nonlocal here
        here = facts.get("stage", here) if event == "stage_started" else here

    def reach(*args: Any, **kwargs: Any) -> None:
        if here == stage:
            due()

    wrap(Ledger, "append", look)
    wrap(Barrier, "reached", reach)


def kill_in_save(argument: str) -> None:
    """Dies ahead of the n-th call to the disk within the search's first save."""

    def arm(store: CommitStore) -> None:
        due = nth(int(argument), die)
        for name in ("make_directory", "write", "replace", "sync_directory", "remove_tree"):
            wrap(Disk, name, due)

    at_search(1, arm)


def refuse_write(argument: str) -> None:
    """Lets the disk take half of the n-th file that is written durably, and then refuse."""
    code, number = argument.split(",")

    def half(disk: Disk, path: Path, data: bytes) -> None:
        path.write_bytes(data[: len(data) // 2])
        refuse(getattr(errno, code))

    wrap(Disk, "write", nth(int(number), half))


def refuse_sync(argument: str) -> None:
    wrap(os, "fsync", nth(int(argument), partial(refuse, errno.EIO)))


def refuse_directory(argument: str) -> None:
    """Finds the disk mounted read-only from the search's first save on."""
    at_search(1, lambda store: wrap(Disk, "make_directory", partial(refuse, errno.EROFS)))


def little_room(argument: str) -> None:
    """Lets the disk say at the search's first save that only so many bytes are free."""
    usage = shutil.disk_usage("/")._replace(free=int(argument))
    at_search(1, lambda store: setattr(shutil, "disk_usage", lambda path: usage))


def fill_disk(argument: str) -> None:
    """Fills the disk that the run lies on, to the last byte, at the search's first save."""

    def fill(store: CommitStore) -> None:
        with (store.directory.parents[6] / "filler").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError as e:
                assert e.errno == errno.ENOSPC

    at_search(1, fill)


def no_more_files(argument: str) -> None:
    """Takes the right to open files away at the search's first save."""

    def limit(store: CommitStore) -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))

    at_search(1, limit)


def small_files(argument: str) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(argument), resource.RLIM_INFINITY))


def remove_run(argument: str) -> None:
    """Removes the whole run directory ahead of the search's first save."""
    at_search(1, lambda store: shutil.rmtree(store.directory.parents[5]))


def jumping_clock(argument: str) -> None:
    """Lets the time of day jump a day forward, then back, again and again."""
    real, calls = time.time, 0

    def jumping() -> float:
        nonlocal calls
        calls += 1
        return real() + (86_400.0 if calls % 3 == 1 else -86_400.0)

    time.time = jumping
    Ledger.__init__.__defaults__ = (jumping,)  # it was bound as the class was made


def bad_fitness(how: str) -> None:
    """Returns fitness that cannot be used."""
    original = work.measure_fitness

    @wraps(original)
    def measured(bench: work.Workbench, unit: work.FitnessUnit) -> work.Fitness:
        fitness = original(bench, unit)
        if how == "nan":
            return replace(fitness, scores=np.full_like(fitness.scores, np.nan))
        return replace(fitness, scores=fitness.scores[:-1])

    work.measure_fitness = measured


def bad_worker(argument: str) -> None:
    """Goes wrong in a worker process, over its first work or, with `always`, over any."""
    how, mark, always = argument.split(",")
    if os.environ.setdefault("MISCHIEF_PARENT", str(os.getpid())) == str(os.getpid()):
        return

    def misbehave(*args: Any, **kwargs: Any) -> None:
        if always == "always" or not Path(mark).exists():
            Path(mark).touch()
            DEEDS[how]()

    wrap(work, "run_episodes", misbehave)


def other_interpreter(path: str) -> None:
    """Has child processes started by another program, which refuses to be a worker."""
    sys.executable = path


def _raise() -> None:
    raise ArithmeticError("the environment flew away")


DEEDS: dict[str, Callable[[], Any]] = {
    "kills itself": die,
    "stops itself": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "never ends": lambda: time.sleep(600),
    "raises": _raise,
    "exits": lambda: os._exit(0),
    "gets a real-time signal": lambda: os.kill(os.getpid(), signal.SIGRTMIN + 5),
}

for wish in filter(None, os.environ.get("MISCHIEF", "").split(";")):
    deed, _, given = wish.partition("=")
    globals()[deed](given)
