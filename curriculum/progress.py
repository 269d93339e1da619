"""What work says while it goes on: progress to whoever shows it, signs of life to who watches."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

STAGES = ("collect", "vision", "encode", "memory", "controller", "evaluate")
"""The steps of the pipeline inside a task, in their order."""

SAYING_S = 0.5
"""How long a reader of stderr is waited for."""

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


@dataclass(frozen=True)
class Progress:
    """One sign of life of a stage.

    Attributes:
        task, mode, round, stage: where the run is.
        done, total: work finished and planned, in `unit`; total 0 means unknown.
        unit: what is counted, e.g. `episodes`, `updates`, `generations`.
        facts: numbers worth showing now, e.g. `{"loss": 0.12}`.
    """

    task: str
    mode: str
    round: int
    stage: str
    done: int
    total: int
    unit: str
    facts: dict[str, float] = field(default_factory=dict)


Listener = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class Orders:
    """What a process is told by the one that started it and watches it.

    Attributes:
        began: what an earlier process of the same command told when its run began (`run_dir`,
            `config`, `machine`); empty for the first.
        deaths: how earlier ones died, as far as the ledger does not know it yet.
        broken: components that killed or held up earlier ones, and how.
        given_up: `task`, `mode` and `reason` of modes in which they died again and again.
        commit_seconds: the longest time between commits, because another death may come.
        left_s: seconds of `--max-time` that are left.
    """

    began: dict[str, Any] = field(default_factory=dict)
    deaths: list[dict[str, Any]] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    given_up: list[dict[str, str]] = field(default_factory=list)
    commit_seconds: float | None = None
    left_s: float | None = None


class Watcher(Protocol):
    """The process that watches this one, as this one sees it."""

    @property
    def orders(self) -> Orders:
        """What it asked for when it started this process."""
        ...

    def tell(self, kind: str, **facts: Any) -> None:
        """Tells it, without ever waiting for it, what this process does or found."""
        ...


class Unwatched:
    """Nobody watches this process."""

    orders = Orders()

    def tell(self, kind: str, **facts: Any) -> None:
        """Is heard by nobody."""


def printable(text: str) -> str:
    """Returns text with its lines, but with every control character written as its escape.

    What a YAML, a ledger or a message quotes may hold anything; a terminal would obey it.
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(text: str) -> None:
    """Writes a line to stderr, as it can be printed, if somebody takes it within a moment.

    A stop waits for no reader.
    """
    text = printable(text)
    try:
        fd = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        # There is none, or it is not the system's: nobody can keep us waiting.
        print(text, file=sys.stderr)
        return
    line = f"{text}\n".encode(sys.stderr.encoding or "utf-8", "replace")
    writer = threading.Thread(target=_write, args=(fd, line), daemon=True)
    writer.start()
    writer.join(SAYING_S)


def _write(fd: int, data: bytes) -> None:
    with contextlib.suppress(OSError):  # whoever read has gone
        os.write(fd, data)
