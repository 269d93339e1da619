"""How many threads compute: the one place where that is set, for OpenMP, BLAS and torch.

* A process of ours is told at its start, by variables that the libraries read as they are loaded:
  workers share the cores and get few (`variables`), and who waits for work waits passively.
* numpy's OpenBLAS splits a product over its own threads from about 262,144 multiplications on,
  that is for eight rows of a 288 x 128 layer. The threads then cost more than they save: they
  spin, they take turns behind one lock when two Python threads multiply at once, and on a machine
  that is busy one product can take a hundred times as long. So small products stay on the calling
  thread (`single_threaded`). Row blocks over Python threads do not have that trap (`for_each`),
  and their results do not depend on how many threads there are.
* torch keeps to one thread where it works beside an emulator (`one_torch_thread`).

What a probe is told stands in `diagnostics`, which knows nothing of this.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import TracebackType
from typing import NamedTuple

from diagnostics.cores import available_cores

_SYMBOLS = (
    ("scipy_openblas", "64_"),
    ("scipy_openblas", ""),
    ("openblas", "64_"),
    ("openblas", ""),
)
"""What numpy's wheels, and other builds, call OpenBLAS's functions: prefix and suffix."""


_LIMIT = "OMP_NUM_THREADS"
_VARIABLES = (_LIMIT, "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def variables(threads: int) -> dict[str, str]:
    """Returns the environment variables of a child process that may use so many threads."""
    return dict.fromkeys(_VARIABLES, str(threads))


def threads_asked_for() -> int | None:
    """Returns how many threads the user's `OMP_NUM_THREADS` allows; None where it says nothing."""
    limit = os.environ.get(_LIMIT, "")
    return int(limit) or None if limit.isdecimal() else None


def allow_one_thread() -> None:
    """Has what is loaded from now on compute with one thread, and so in a worker's order."""
    os.environ[_LIMIT] = "1"


def wait_passively() -> None:
    """Has what is loaded from now on wait for work without spinning, unless the user wants that.

    Threads that spin while they wait take the cores from whatever else runs here: on a machine
    with other work a V update took 1,210 ms spinning and 450 ms waiting passively.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Keeps torch on the calling thread while C practises.

    Torch's threads are in the way of those of an emulator: they wait for work by spinning, and a
    region of which one thread was put off its core ends late for all. C's own networks are too
    small for two threads: minibatches of 128 take more than twice as long on them. For long
    stretches only: each change of the number of threads makes oneDNN forget its kernels.
    """
    # Who needs only numpy's threads has no torch.
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _ThreadControl(NamedTuple):
    read: Callable[[], int]
    write: Callable[[int], None]


@cache
def _thread_control() -> _ThreadControl | None:
    """Returns OpenBLAS's thread switches, or None where numpy is built on something else."""
    extension = sys.modules.get("numpy._core._multiarray_umath")
    path = getattr(extension, "__file__", None)
    if path is None:
        return None
    try:
        library = ctypes.CDLL(path)
    except OSError:
        return None  # statically linked numpy: BLAS keeps its own threads, results are the same
    for prefix, suffix in _SYMBOLS:
        read = getattr(library, f"{prefix}_get_num_threads{suffix}", None)
        write = getattr(library, f"{prefix}_set_num_threads{suffix}", None)
        if read is not None and write is not None:
            read.argtypes, read.restype = [], ctypes.c_int
            write.argtypes, write.restype = [ctypes.c_int], None
            return _ThreadControl(read, write)
    return None


class _SingleThreaded:
    """Re-entrant, thread-safe context; the switch is global, so the last one out restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._outside = 1

    def __enter__(self) -> None:
        control = _thread_control()
        if control is None:
            return
        with self._lock:
            if self._depth == 0:
                self._outside = control.read()
                if self._outside > 1:
                    control.write(1)
            self._depth += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        control = _thread_control()
        if control is None:
            return
        with self._lock:
            self._depth -= 1
            if self._depth == 0 and self._outside > 1:
                control.write(self._outside)

    def threads_outside(self) -> int:
        """Returns how many threads BLAS may use outside this context, 1 where it is unknown."""
        control = _thread_control()
        if control is None:
            return 1
        with self._lock:
            return self._outside if self._depth else control.read()


single_threaded = _SingleThreaded()
"""`with single_threaded:` runs numpy's matrix products on the calling thread."""


def thread_budget() -> int:
    """Returns how many Python threads may multiply at once.

    It is the number that BLAS would use, so OMP_NUM_THREADS and OPENBLAS_NUM_THREADS are obeyed,
    but never more than the cores this process may run on.
    """
    return max(1, min(single_threaded.threads_outside(), available_cores()))


def for_each(work: Callable[[int], None], items: Sequence[int], threads: int) -> None:
    """Calls `work(item)` for all items on up to `threads` threads, the caller's among them.

    Args:
        work: must not depend on the order of the items; numpy inside it runs in parallel.
        items: what to work on.
        threads: 1 or more.

    Raises:
        Exception: the first error of any thread, after all threads have ended.
    """
    errors: list[Exception] = []
    waiting = iter(items)
    taking = threading.Lock()

    def take() -> int | None:
        with taking:
            return None if errors else next(waiting, None)

    def drain() -> None:
        try:
            while (item := take()) is not None:
                work(item)
        except Exception as error:  # noqa: BLE001 - raised again below, in the caller's thread
            errors.append(error)

    extra = [threading.Thread(target=drain) for _ in range(min(threads, len(items)) - 1)]
    for thread in extra:
        thread.start()
    try:
        drain()
    finally:
        for thread in extra:
            thread.join()
    if errors:
        raise errors[0]
