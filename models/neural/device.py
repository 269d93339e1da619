"""Devices: out of memory, and batches taken in parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch

from models.interfaces import OutOfDeviceMemory

_DEVICE_WORDS = ("STATUS_ALLOC_FAILED", "CUDA error: out of memory", "CUDA out of memory")
_HOST_WORDS = ("DefaultCPUAllocator", "not enough memory", "can't allocate memory")


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
        # cuBLAS, cuDNN, CUDA and the host's allocator have no exception types of their own.
        if any(words in str(e) for words in _DEVICE_WORDS):
            raise OutOfDeviceMemory(f"a training step did not fit: {_first_line(e)}") from e
        if any(words in str(e) for words in _HOST_WORDS):
            raise MemoryError(_first_line(e)) from e
        raise


def part_slices(rows: int, parts: int) -> list[slice]:
    """Cuts `rows` rows of a batch into at most `parts` runs of nearly equal length."""
    parts = max(1, min(parts, rows))
    borders = [rows * number // parts for number in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(borders)]


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0]
