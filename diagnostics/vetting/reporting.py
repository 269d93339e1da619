"""How a guarded review tells what it finds, while it finds it: one signed line of JSON each.

The lines go to the file that was standard output when the process began; whatever the code under
review prints goes to standard error, and whatever becomes of the working directory, that file is
held open by who looks at it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from diagnostics.vetting.findings import TEXT_LIMIT, Finding

Part = tuple[str, Callable[[], Iterable[Finding]]]
"""The name of a part of a review, and what reviews it."""


class Reporter:
    """Writes the signed lines of one guarded review.

    Args:
        fd: where they go.
        token: signs them; the code under review is never given it.
    """

    def __init__(self, fd: int, token: str) -> None:
        self._fd, self._token = fd, token

    @classmethod
    def instead_of_stdout(cls, token: str) -> Reporter:
        """Takes standard output for the lines, and sends what others print to standard error."""
        fd = os.dup(1)
        os.dup2(2, 1)
        return cls(fd, token)

    def tell(self, **facts: Any) -> None:
        """Writes one line."""
        data = f"{json.dumps({'token': self._token, **facts})}\n".encode()
        while data:
            data = data[os.write(self._fd, data) :]

    def need(self, name: str) -> None:
        """Says what begins that all the rest of the review needs."""
        self.tell(begin=name, needed=True)

    def find(self, finding: Finding) -> None:
        """Writes a finding, its text cut to what a table can show."""
        self.tell(finding={**asdict(finding), "text": finding.text[:TEXT_LIMIT]})

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Says which part of the review begins and, if it comes to its end, that it does."""
        self.tell(begin=name)
        yield
        self.tell(end=name)

    def review(self, parts: Iterable[Part], skip: Collection[str]) -> None:
        """Reviews parts one after another; what one raises is a finding, and the next begins.

        Args:
            parts: see `Part`.
            skip: names of parts that an earlier process has been through.
        """
        for name, act in parts:
            if name in skip:
                continue
            with self.part(name):
                try:
                    for finding in act():
                        self.find(finding)
                except Exception as e:  # noqa: BLE001 - whatever a review raises is the finding
                    self.find(raised(e, name))


def raised(error: BaseException, place: str, file: str = "", doing: str = "") -> Finding:
    """Returns the finding for what was raised, with the line of a file that it came through.

    Args:
        error: what was raised.
        place: of the finding.
        file: whose line is looked for; "" takes the last line of any.
        doing: what was being done.
    """
    line, trace = "", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not file or name == file:
            line = f" ({name}:{trace.tb_lineno})"
        trace = trace.tb_next
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    while_ = f" while {doing}" if doing else ""
    return Finding("error", place, f"raised {said}{line}{while_}")
