"""The process that does a command's work, under the door that started it.

It hands over a signed result, then ends without a look back, so that nothing can change its exit
code. When its door goes away, it commits and ends as on SIGTERM.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Sequence

from curriculum.door.messages import EngineEnd
from curriculum.door.process import WORDS_SIGNAL, adopt_orphans, sweep
from curriculum.errors import ExitCode

ALONE_S = 3.0
"""Seconds in which an engine whose door has gone has to have committed."""


def main(argv: Sequence[str]) -> int:
    """Runs one command under a door.

    Args:
        argv: file descriptors of the connection and of last words, then the command's arguments.

    Returns:
        The exit code; only where there is no door any more.
    """
    connection, words = int(argv[0]), int(argv[1])
    for fd in (connection, words):
        os.set_inheritable(fd, False)
    faulthandler.enable(words)
    faulthandler.register(WORDS_SIGNAL, words)
    # A terminal may be told to stop whoever writes in the background.
    for number in (signal.SIGTTOU, signal.SIGTTIN):
        signal.signal(number, signal.SIG_IGN)
    try:
        door = EngineEnd(socket.socket(fileno=connection))
    except EOFError:
        return int(ExitCode.TERMINATED)
    adopt_orphans()
    threading.Thread(target=_end_with, args=(door,), name="door", daemon=True).start()
    code = _run(argv[2:], door)
    for stream in (sys.stdout, sys.stderr):
        _flush(stream)
    door.tell("result", code=code)
    os._exit(code)


def _run(argv: Sequence[str], door: EngineEnd) -> int:
    """Runs the command as a process of its own would; an error of ours is a result too."""
    sys.argv[1:] = argv
    try:
        from curriculum.cli.main import main as run
        from models.numeric.allocator import keep_freed_memory

        keep_freed_memory()
        door.tell("ready")
        return run(argv, door)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)
    except Exception:  # noqa: BLE001 - it is shown whole
        traceback.print_exc()
        return int(ExitCode.INTERNAL)


def _end_with(door: EngineEnd) -> None:
    """Waits until the door has gone, then has this process commit and end, whatever it does."""
    door.wait_for_end()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ALONE_S)
    sweep()
    os._exit(int(ExitCode.TERMINATED))


def _flush(stream: object) -> None:
    try:
        getattr(stream, "flush")()  # noqa: B009 - there may be no stream at all
    except (AttributeError, OSError, ValueError):
        return  # nobody reads it any more


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
