"""Stops and resumes runs for whoever has the token; a run never depends on the page."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil

from curriculum.errors import ConfigError

_MOST_BYTES = 4096


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


def resume(directory: Path) -> str:
    """Starts a process that goes on with a run, on its own, and returns what was done.

    Raises:
        ConfigError: one works in it already.
    """
    process = worker(directory)
    if process is not None:
        raise ConfigError(f"process {process.pid} works in this run already")
    started = subprocess.Popen(
        [sys.executable, "-m", "curriculum", "resume", str(directory), "--quiet"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    return f"process {started.pid} goes on with it"


def worker(directory: Path) -> psutil.Process | None:
    """Returns the process that holds a run's lock, if it is one of ours on this machine."""
    path = directory / "lock"
    try:
        if path.is_symlink():
            return None
        with path.open("rb") as file:
            told = json.loads(file.read(_MOST_BYTES))
        if told["host"] != socket.gethostname():
            return None
        process = psutil.Process(int(told["pid"]))
        # The number may be another's by now, who began later.
        ours = process.create_time() <= float(told["started"]) + 2 and _speaks_of_us(process)
        return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None


def _speaks_of_us(process: psutil.Process) -> bool:
    return any("curriculum" in word or word.endswith("wmc") for word in process.cmdline())
