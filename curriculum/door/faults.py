"""What becomes of a command whose engine died: again, without what was to blame, or the end."""

from __future__ import annotations

import re
import signal
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

TRIES = 3
"""Deaths in a row, without a commit between them, after which a mode is given up."""

TRIES_OF_AN_IMPORT = 2
TRIES_FROM_OUTSIDE = 30
"""The same for ends that say nothing about the work: the kernel out of memory, a person."""

MOST_DEATHS = 200

PACKAGES = {
    "torch": "torch",
    "gymnasium": "gymnasium",
    "ale_py": "ale_py",
    "Box2D": "box2d",
    "pygame": "pygame",
    "cma": "cma",
}
"""Installed packages to the components that they are."""


@dataclass(frozen=True)
class Death:
    """How an engine ended that gave no result.

    Attributes:
        how: half a sentence, e.g. `died of SIGSEGV`.
        by_signal: the signal's number; 0 if it ended otherwise, or the door ended it.
        importing: the component it was importing, or empty.
        place: `task`, `mode`, `round`, `stage` as far as they are known.
        words: the stack that it left.
        kept: whether it had committed anything since it started.
    """

    how: str
    by_signal: int = 0
    importing: str = ""
    place: dict[str, Any] = field(default_factory=dict)
    words: str = ""
    kept: bool = False

    @property
    def from_outside(self) -> bool:
        """Whether it was killed as no fault of its own kills."""
        return self.by_signal == signal.SIGKILL

    @property
    def where(self) -> str:
        """Says what it was doing, and where its stack ended."""
        place = [str(self.place[k]) for k in ("task", "mode", "stage") if self.place.get(k)]
        doing = f"importing {self.importing}" if self.importing else " ".join(place)
        frame = re.search(r'File "([^"<]+)", line (\d+)', self.stack)
        parts = [f"while {doing}" if self.importing else f"in {doing}"] if doing else []
        return ", ".join([*parts, f"at {frame[1]}:{frame[2]}"] if frame else parts)

    @property
    def stack(self) -> str:
        """Returns the stack of the thread that died, or of the main thread, innermost first."""
        mark = "Current thread" if "Current thread" in self.words else "Thread 0x"
        return self.words.rpartition(mark)[2]

    @property
    def component(self) -> str:
        """Returns the component in whose code the thread that died was; empty if in none."""
        found = re.search(r'File "[^"]*?(?:site|dist)-packages/(\w+)', self.stack)
        return PACKAGES.get(found[1], "") if found else ""

    def facts(self) -> dict[str, Any]:
        """Returns what the ledger keeps."""
        place = {name: value for name, value in self.place.items() if value is not None}
        return {**place, "how": self.how, "importing": self.importing, "last_words": self.words}


@dataclass
class Faults:
    """Remembers deaths and decides.

    Attributes:
        deaths: facts of those that are not in the ledger yet.
        broken: components that are out, and why.
        given_up: modes that are out, and why.
        end: why there is to be no other engine; empty while there is.
    """

    deaths: list[dict[str, Any]] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)
    given_up: list[dict[str, str]] = field(default_factory=list)
    end: str = ""
    _total: int = 0
    _in_a_row: Counter[str] = field(default_factory=Counter)

    def add(self, death: Death) -> str:
        """Takes a death; returns what follows from it, as half a sentence."""
        self.deaths.append(death.facts())
        self._total += 1
        if death.kept:
            self._in_a_row.clear()
        kind, limit = _kind(death)
        self._in_a_row[kind] += 1
        count = self._in_a_row[kind]
        if self._total >= MOST_DEATHS:
            self.end = f"it died {MOST_DEATHS} times"
        if count < limit:
            return f"started again from the last commit ({count} of {limit - 1})"
        self._in_a_row.clear()
        return self._blame(death, f"the engine {death.how} {death.where}, {count} times".strip())

    def _blame(self, death: Death, reason: str) -> str:
        task, mode = death.place.get("task"), death.place.get("mode")
        if death.importing.startswith("plugin "):
            self.end = f"{death.importing} cannot be imported"
            return self.end
        if death.importing:
            self.broken[death.importing] = reason
            return f"{death.importing} counts as broken from now on"
        if task and mode:
            within = f" ({death.component})" if death.component else ""
            reason = f"{reason}{within}"
            self.given_up.append({"task": str(task), "mode": str(mode), "reason": reason})
            return f"{task} gives up {mode}"
        self.end = "nothing can be named that is to blame"
        return self.end


def _kind(death: Death) -> tuple[str, int]:
    """Returns what a death is counted with, and how many of these are too many."""
    if death.from_outside:
        return "outside", TRIES_FROM_OUTSIDE
    if death.importing:
        return f"importing {death.importing}", TRIES_OF_AN_IMPORT
    return "inside", TRIES
