"""A worker's interpreter as its parent sees it: how it starts, grows, ends, and its last words."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from curriculum.pool.deadline import Deadline, wait
from curriculum.stops import signal_name
from models.numeric.threads import variables

FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
"""Ends that say nothing about the work: the kernel out of memory, a person, a batch system."""

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]);"
    "from {module} import serve; serve(*json.loads(sys.argv[1]))"
)
_LOG_BYTES = 1 << 20
_TAIL_BYTES = 2000
_GRACE_S = 1.0


class Interpreter:
    """A fresh interpreter in a session of its own that runs one `serve` function.

    Args:
        module: where `serve` is.
        fds: its arguments, file descriptors that the interpreter inherits.
        threads: limit for OpenMP and BLAS threads.

    Raises:
        OSError: the system starts no more processes, or opens no more files.
    """

    def __init__(self, module: str, fds: Sequence[int], threads: int) -> None:
        # Appending keeps the position right when the file is emptied under the writer.
        self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as the worker
        command = [sys.executable, "-c", _BOOT.format(module=module)]
        try:
            self.process = subprocess.Popen(
                [*command, json.dumps(list(fds)), json.dumps(sys.path)],
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                env=_environment(threads),
                start_new_session=True,
            )
        except OSError:
            self._log.close()
            raise

    def trim_log(self) -> None:
        """Empties a log that has grown long."""
        if os.fstat(self._log.fileno()).st_size > _LOG_BYTES:
            os.ftruncate(self._log.fileno(), 0)

    def signal(self, number: signal.Signals) -> None:
        """Signals the worker and what it started; one that is gone needs none."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def resident_bytes(self) -> int:
        """Returns the memory the worker occupies; 0 if it has ended."""
        import psutil

        try:
            return psutil.Process(self.process.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return 0

    def describe_end(self) -> str:
        """Returns how a worker that has been waited for ended."""
        code = self.process.returncode
        return f"exited with code {code}" if code >= 0 else f"was killed by {signal_name(-code)}"

    def close_log(self) -> str:
        """Closes the log and returns the worker's last words."""
        size = os.fstat(self._log.fileno()).st_size
        tail = os.pread(self._log.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        self._log.close()
        return tail.decode(errors="replace")


def end_all(interpreters: Sequence[Interpreter]) -> None:
    """Ends workers: TERM to their process groups, a short grace together, then KILL."""
    for interpreter in interpreters:
        interpreter.signal(signal.SIGTERM)
        # One that was stopped would not notice.
        interpreter.signal(signal.SIGCONT)
    graces = [Deadline(interpreter.process.pid, _GRACE_S) for interpreter in interpreters]
    for interpreter, grace in zip(interpreters, graces, strict=True):
        wait(interpreter.process, grace)
        interpreter.signal(signal.SIGKILL)
        interpreter.process.wait()


def _environment(threads: int) -> dict[str, str]:
    """Returns a worker's environment: few threads, as workers share the cores, and no screen."""
    screenless = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
    return {**screenless, **os.environ, **variables(threads)}
