"""One run of a series: the usual door, which stops the run when the series is no more.

`python -m curriculum.door.member FD ARGUMENTS…`, as `curriculum.pool.programs.Child` starts it.
"""

from __future__ import annotations

import sys

from curriculum.cli.main import replace_what_cannot_be_encoded
from curriculum.door.door import Door
from curriculum.pool.programs import end_with


def main() -> int:
    """Works as `python -m curriculum ARGUMENTS…` and returns its exit code."""
    watched, arguments = int(sys.argv[1]), sys.argv[2:]
    replace_what_cannot_be_encoded()
    end_with(watched)
    return Door(arguments, again=True).run()


if __name__ == "__main__":
    sys.exit(main())
