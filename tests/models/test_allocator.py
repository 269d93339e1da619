"""Freed memory is kept: large blocks cost their page faults once."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from tests.patience import HANG_S

FAULTS = """
import resource, sys
sys.path.insert(0, {root!r})
import numpy as np
from models.numeric.allocator import keep_freed_memory
if {keep}:
    assert keep_freed_memory()
def use():
    for _ in range(20):
        blocks = [np.ones((3 + i % 5) << 20, np.uint8) for i in range(10)]
        del blocks
use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_large_blocks_are_reused_without_faults(pytestconfig: pytest.Config) -> None:
    def faults(keep: bool) -> int:
        script = FAULTS.format(root=str(pytestconfig.rootpath), keep=keep)
        done = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=True,
        )
        return int(done.stdout)

    kept, given_back = faults(keep=True), faults(keep=False)
    assert kept < 200
    assert kept < 0.2 * given_back
