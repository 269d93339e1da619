"""One training of a matrix: the usual command, which stops when the matrix is no more.

`python -m baselines.member FD ARGUMENTS…`, as `curriculum.pool.programs.Child` starts it. There
is nothing to commit at once where it is asked to stop: it goes on from its newest barrier.
"""

from __future__ import annotations

import signal
import sys

from baselines.__main__ import main
from curriculum.pool.programs import end_with

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    end_with(int(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
