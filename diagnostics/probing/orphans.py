"""Finds what a probe's descendants leave behind, however they hide.

A daemon that forks twice, opens a session of its own and clears its environment has no tie to who
started it. Linux lets a process become the parent of all such orphans among its descendants, a
child subreaper: then they are found as its children.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from diagnostics.probing.usage import stat_fields

_SET_CHILD_SUBREAPER, _GET_CHILD_SUBREAPER = 36, 37
ROUNDS, PAUSE_S = 50, 0.02


@contextmanager
def orphans_adopted() -> Iterator[None]:
    """Ends, on leaving, every orphan that descends from what was started inside.

    Children that this process had before are left alone, and so are those that share its session:
    no descendant of a process with a session of its own can come back into this one. Where there
    are no subreapers nothing is changed.
    """
    before = _children()
    was = _subreaper()
    if was is None:
        yield
        return
    _be_subreaper(True)
    try:
        yield
    finally:
        _end_orphans(before)
        _be_subreaper(was)


def _end_orphans(before: set[int]) -> None:
    for _ in range(ROUNDS):
        # A killed one leaves its own children to us, hence the rounds.
        left = _children() - before
        if not left:
            return
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(PAUSE_S)


def _children() -> set[int]:
    """Returns the children of this process that are in another session, dead ones included."""
    me, session = os.getpid(), os.getsid(0)
    if sys.platform != "linux":
        return set()
    found = set()
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit():
            continue
        try:
            _, parent, _, its_session, *_ = stat_fields(directory)
        except OSError:
            continue  # it ended
        if int(parent) == me and int(its_session) != session:
            found.add(int(directory.name))
    return found


def _subreaper() -> bool | None:
    """Returns whether this process is a subreaper, None where there are none."""
    if sys.platform != "linux":
        return None
    flag = ctypes.c_int()
    done = _prctl(_GET_CHILD_SUBREAPER, ctypes.addressof(flag))
    return bool(flag.value) if done else None


def _be_subreaper(wanted: bool) -> None:
    _prctl(_SET_CHILD_SUBREAPER, int(wanted))


def _prctl(option: int, value: int) -> bool:
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return False  # a libc without it
    unused = ctypes.c_ulong(0)
    return prctl(option, ctypes.c_ulong(value), unused, unused, unused) == 0
