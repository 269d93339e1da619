"""Which number format a device computes well in, and kernels that repeat their results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16", "float16"]

_NAMED = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Picks the format of matrix products and convolutions; weights and losses stay float32.

    Args:
        precision: a format to force, or `auto`: bfloat16 where the device has it in hardware
            (CPUs with AVX512-BF16 or AMX, CUDA from compute capability 8.0), float16 on older
            CUDA devices, float32 elsewhere (emulated bfloat16 is slower than float32).
        device: where the model lives.

    Returns:
        The dtype to autocast to; float32 means no autocast.

    Raises:
        ValueError: `precision` is none of the above.
    """
    if precision in _NAMED:
        return _NAMED[precision]
    if precision != "auto":
        raise ValueError(
            f"precision was {precision!r}, expected one of auto, {', '.join(_NAMED)}; "
            "use auto unless results of two machines are compared"
        )
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if major >= 8 else torch.float16
    if device.type == "cpu" and _cpu_has_bfloat16():
        return torch.bfloat16
    return torch.float32


def _cpu_has_bfloat16() -> bool:
    # The public query (mkldnn's) answers yes for plain AVX-512 too, where bfloat16 is emulated.
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    probes = (getattr(torch.cpu, name, None) for name in names)
    return any(probe() for probe in probes if probe is not None)


@contextmanager
def computing(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Autocasts to `dtype` with cuDNN kept to kernels that give equal results for equal inputs.

    The process-wide cuDNN switch is set only inside the block.
    """
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        enabled = dtype != torch.float32
        with torch.autocast(device.type, dtype=dtype if enabled else None, enabled=enabled):
            yield
    finally:
        torch.backends.cudnn.deterministic = before
