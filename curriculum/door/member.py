"""One run of a series: the usual door, which stops the run when the series is no more.

`python -m curriculum.door.member FD ARGUMENTS…`: FD is the reading end of a pipe whose other end
the series holds and never writes to. However it ends, the system closes that; the run then commits
and stops, as it does by SIGTERM.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from curriculum.cli.main import replace_what_cannot_be_encoded
from curriculum.door.door import Door


def main() -> int:
    """Works as `python -m curriculum ARGUMENTS…` and returns its exit code."""
    watched, arguments = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(watched, False)
    replace_what_cannot_be_encoded()
    threading.Thread(target=_stop_with, args=(watched,), name="series", daemon=True).start()
    return Door(arguments, again=True).run()


def _stop_with(pipe: int) -> None:
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
