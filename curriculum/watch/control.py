"""Stops and resumes runs for whoever has the token; a run never depends on the page."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from curriculum.errors import ConfigError
from curriculum.records.lock import holder_of
from diagnostics.probing.processes import import_path


def stop(directory: Path) -> str:
    """Asks the process that works in a run to stop after a commit, and returns what was done.

    Raises:
        ConfigError: none does, or not on this machine.
    """
    process = worker(directory)
    if process is None:
        raise ConfigError("no process of this machine works in this run")
    process.send_signal(signal.SIGTERM)
    return f"process {process.pid} was asked to stop after a commit"


def resume(directory: Path, plugins: Sequence[str] = ()) -> str:
    """Starts a process that goes on with a run, on its own, and returns what was done.

    Args:
        directory: of the run.
        plugins: modules that it may import.

    Raises:
        ConfigError: one works in it already.
    """
    process = worker(directory)
    if process is not None:
        raise ConfigError(f"process {process.pid} works in this run already")
    agreed = ["--plugins", ",".join(plugins)] if plugins else []
    started = subprocess.Popen(
        [sys.executable, "-m", "curriculum", "resume", str(directory), "--quiet", *agreed],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": import_path()},
    )
    return f"process {started.pid} goes on with it"


def worker(directory: Path) -> psutil.Process | None:
    """Returns the process that holds a run's lock, if it is one of ours on this machine."""
    holder = holder_of(directory)
    if holder is None or holder.host != socket.gethostname():
        return None
    try:
        process = psutil.Process(holder.pid)
        # The number may be another's by now, who began later.
        ours = process.create_time() <= holder.started + 2 and _speaks_of_us(process)
        return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, ValueError, OverflowError):
        return None


def _speaks_of_us(process: psutil.Process) -> bool:
    return any("curriculum" in word or word.endswith("wmc") for word in process.cmdline())
