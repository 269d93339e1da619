"""Errors of the user's environments and plugins, told with the file and line where they arose."""

from __future__ import annotations

import errno
import sysconfig
import traceback
from pathlib import Path

from curriculum.errors import CurriculumError, EnvironmentFault

_TRACE_CHARACTERS = 4000
_SHORTAGES = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOMEM, errno.EDQUOT, errno.EAGAIN}
)
_OURS = Path(__file__).resolve().parents[2]


def fault_of(what: str, error: BaseException, where: str = "") -> BaseException:
    """Returns what is to be raised in place of what foreign code raised.

    Args:
        what: raised it, in words.
        error: what it raised, with its traceback.
        where: it was then, in words.

    Returns:
        An EnvironmentFault that names file and line; the error itself where it is ours, or tells
        of the machine: memory, files and space run out in anybody's code.
    """
    short = isinstance(error, OSError) and error.errno in _SHORTAGES
    if short or isinstance(error, CurriculumError | MemoryError):
        return error
    file, line = _place(error)
    said = f"{type(error).__name__}: {error}".strip(": ")
    if isinstance(error, ValueError) and "to unpack" in str(error):
        said += " (reset returns two values, step returns five)"
    text = "".join(traceback.format_exception(error))
    parts = [part for part in (where, f"at {file}, line {line}" if file else "") if part]
    return EnvironmentFault(
        f"{what} raised {said}, {', '.join(parts)}: correct it there".replace(", :", ":"),
        {"file": file, "line": line, "traceback": text[-_TRACE_CHARACTERS:]},
        certain=False,
    )


def _place(error: BaseException) -> tuple[str, int]:
    """Returns where the user's own code raised, else where anybody else's than ours did."""
    frames = traceback.extract_tb(error.__traceback__)
    foreign = [f for f in frames if not Path(f.filename).is_relative_to(_OURS)]
    installed = [sysconfig.get_path(name) for name in ("stdlib", "platlib", "purelib")]
    own = [f for f in foreign if not any(Path(f.filename).is_relative_to(p) for p in installed)]
    for frame in reversed(own or foreign):
        return frame.filename, frame.lineno or 0
    return "", 0
