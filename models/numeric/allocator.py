"""The C library's allocator, told what learning does: ask for the same large blocks again."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT, _MOST_KEPT = 32 << 20, 1 << 30


def keep_freed_memory() -> bool:
    """Has glibc reuse blocks of up to 32 MiB (its limit), and keep up to 1 GiB for that.

    It would give a large block back to the system when it is freed and ask for it anew a moment
    later. Each of its pages then costs a fault: some two thousand an update of V.

    For the whole process: who watches its memory then sees leaks later, so only a program sets it.

    Returns:
        Whether it does from now on; false where the C library is another one.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    mallopt.argtypes, mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    kept = ((_MMAP_THRESHOLD, _LARGEST_KEPT), (_TRIM_THRESHOLD, _MOST_KEPT))
    return all(mallopt(option, size) == 1 for option, size in kept)
