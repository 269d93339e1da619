"""Devices: those that run out of memory, batches taken in parts, and threads for small ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch

from models.interfaces import OutOfDeviceMemory

FEW_ROWS = 64
"""Up to so many rows of a batch are computed on one thread of a CPU."""


@contextmanager
def threads_for(rows: int, device: torch.device) -> Iterator[None]:
    """Keeps torch on the calling thread where there are few rows.

    Between two steps of environments that have threads of their own, torch's threads are in the
    way: they wait for work by spinning, and the region of one that was put off the core by an
    emulator ends late for all. Measured on two cores while learning Pong with 32 games: 5.5 ms for
    V and M instead of 12, and results that do not depend on the number of cores.
    """
    before = torch.get_num_threads()
    if rows > FEW_ROWS or device.type != "cpu" or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def device_memory() -> Iterator[None]:
    """Turns what torch raises where memory is short into `OutOfDeviceMemory` or `MemoryError`.

    Raises:
        OutOfDeviceMemory: the GPU's memory is spent, what torch had cached of it included.
        MemoryError: the host's is.
    """
    try:
        yield
    except torch.OutOfMemoryError as e:
        raise OutOfDeviceMemory(f"a training step did not fit: {_first_line(e)}") from e
    except RuntimeError as e:
        # cuBLAS, cuDNN and the host's allocator have no exception types of their own.
        if "STATUS_ALLOC_FAILED" in str(e):
            raise OutOfDeviceMemory(f"a training step did not fit: {_first_line(e)}") from e
        if "DefaultCPUAllocator" in str(e):
            raise MemoryError(_first_line(e)) from e
        raise


def part_slices(rows: int, parts: int) -> list[slice]:
    """Cuts `rows` rows of a batch into at most `parts` runs of nearly equal length."""
    parts = max(1, min(parts, rows))
    borders = [rows * number // parts for number in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(borders)]


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0]
