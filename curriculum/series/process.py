"""A run of a series as its supervisor sees it: started, passed signals, and waited for."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from models.numeric.threads import variables


class Member:
    """The process of one run, in a process group of its own; it ends with its supervisor.

    Args:
        seed: of the run.
        arguments: of `python -m curriculum`.
        threads: that it may compute with.
        log: what it prints is appended there.

    Raises:
        OSError: the system starts no more processes, or the log cannot be written.
    """

    def __init__(self, seed: int, arguments: Sequence[str], threads: int, log: Path) -> None:
        self.seed = seed
        theirs, self._ours = os.pipe()
        command = [sys.executable, "-m", "curriculum.door.member", str(theirs), *arguments]
        environment = {**os.environ, **variables(threads)}
        try:
            with log.open("ab") as lines:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=lines,
                    stderr=subprocess.STDOUT,
                    pass_fds=(theirs,),
                    process_group=0,
                    env=environment,
                )
        except OSError:
            os.close(self._ours)
            raise
        finally:
            os.close(theirs)

    def ended(self) -> int | None:
        """Returns its exit code, minus the signal's number if one killed it; None while it runs."""
        code = self._process.poll()
        if code is not None and self._ours >= 0:
            os.close(self._ours)
            self._ours = -1
        return code

    def signal(self, number: int) -> None:
        """Passes a signal on; one that has ended needs none."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)
