"""What the pool's tests let workers do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np


@dataclass
class Context:
    """A context that remembers how often it was used and says when it was closed."""

    scale: float
    closed_mark: str = ""
    uses: int = 0
    buffer: np.ndarray = field(default_factory=lambda: np.zeros(3))

    def close(self) -> None:
        if self.closed_mark:
            Path(self.closed_mark).touch()


def build(scale: float, closed_mark: str = "") -> Context:
    return Context(scale, closed_mark)


def scaled_normals(context: Context, seed: int) -> np.ndarray:
    time.sleep(0.01 * (seed % 3))
    return context.scale * np.random.default_rng(seed).standard_normal(5)


def reused_buffer(context: Context, number: int) -> np.ndarray:
    context.buffer[:] = number
    return context.buffer


def changes_its_unit(context: None, unit: list[int]) -> list[int]:
    unit.append(1)
    return unit


def uses(context: Context, number: int) -> tuple[float, int]:
    context.uses += 1
    return context.scale, context.uses


def once(unit: dict[str, Any]) -> bool:
    """True on the first attempt only, remembered on disk because the process may die."""
    mark = Path(unit["mark"])
    first = not mark.exists()
    mark.touch()
    return first


def misbehave(context: None, unit: dict[str, Any]) -> int:
    """Does what `unit["how"]` says, on the first attempt or, with `always`, on each."""
    if unit.get("how") and (unit.get("always") or once(unit)):
        _MISDEEDS[unit["how"]]()
    return unit["value"] * 10


def _kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop_self() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _sleep() -> None:
    time.sleep(10**6)


def _ignore_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(10**6)


def _raise() -> NoReturn:
    raise ArithmeticError("the lander flew away")


def _speak_and_abort() -> NoReturn:
    print("last words", flush=True)
    os.abort()


def _orphan() -> NoReturn:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(10**6)"])
    os.abort()


_MISDEEDS = {
    "killed": _kill_self,
    "stopped": _stop_self,
    "sleeps": _sleep,
    "ignores_sigterm": _ignore_sigterm,
    "raises": _raise,
    "exits_0": lambda: os._exit(0),
    "sys_exit": lambda: sys.exit(0),
    "aborts": _speak_and_abort,
    "orphan": _orphan,
}


def kill_worker_only(context: None, parent: int) -> int:
    """Dies wherever it is not in the parent; what a machine short of memory looks like."""
    if os.getpid() != parent:
        _kill_self()
    return os.getpid()


def echo(context: None, unit: np.ndarray) -> np.ndarray:
    return unit + 1


def where(context: None, unit: Any) -> tuple[int, dict[str, str]]:
    return os.getpid(), dict(os.environ)


def touch_and_sleep(context: None, mark: str) -> None:
    Path(mark).write_text(str(os.getpid()))
    time.sleep(10**6)


_KEPT: list[bytes] = []


def leaks(context: None, number: int) -> int:
    """Forgets nothing, as some compiled packages do."""
    _KEPT.append(b"x" * (16 << 20))
    return number * 10


def unpicklable(context: None, unit: Any) -> Any:
    return lambda: None
