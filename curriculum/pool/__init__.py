"""A supervised pool of worker processes: workers die, the work does not.

Each worker is a fresh interpreter with one socket to its parent, given one unit at a time. The
parent never blocks on a worker: it watches sockets, processes and deadlines together, kills what
hangs, starts replacements and gives the same unit again. When workers cannot be kept alive through
no fault of a unit, the rest is done in the parent. Results come in the order of the units and do
not depend on workers, order or retries, because units and results cross by value in either case.

A worker reads its socket in a thread of its own and exits when it closes, so workers end with
their parent, whatever ended that.
"""

from curriculum.pool.executor import Executor, UnitFailed, in_order
from curriculum.pool.local import Pool

__all__ = ["Executor", "Pool", "UnitFailed", "in_order"]
