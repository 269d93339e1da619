"""A starved component is not a broken one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from diagnostics.components import Component
from diagnostics.probe import run_probes

COMPUTES = """
import os, time
os.sched_setaffinity(0, {{{core}}})
while time.process_time() < {cpu_s}:
    pass
"""
LIMIT_S = 3.0

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="waiting for a core is not counted here"
)


@pytest.fixture
def crowded_core() -> Iterator[int]:
    """A core with eight endless loops on it, each in a session of its own: Linux shares by them."""
    core = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile 1: pass"
    loops = [
        subprocess.Popen([sys.executable, "-S", "-c", code], start_new_session=True)
        for _ in range(8)
    ]
    yield core
    for process in loops:
        process.kill()
        process.wait()


@pytest.mark.faults("eight busy loops take the core of a probe", expect="given longer, told, ok")
def test_a_starved_component_is_given_longer(crowded_core: int) -> None:
    code = COMPUTES.format(core=crowded_core, cpu_s=0.5)
    notices: list[str] = []
    part = Component("starved", "starved", code, (), "", "")
    result = run_probes([part], LIMIT_S, notice=notices.append)["starved"]
    assert result.state == "ok", result.detail
    assert result.seconds > LIMIT_S, "it was not starved: this test shows nothing"
    assert len(notices) == 1
    assert notices[0].startswith("starved is kept waiting by other work (load ")
    assert "given up to 24 s" in notices[0]


@pytest.mark.faults("a component computes for ever", expect="timeout, after its limit of CPU")
def test_one_that_computes_for_ever_is_bounded() -> None:
    part = Component("burns", "burns", "while True: pass", (), "", "")
    result = run_probes([part], 1.0)["burns"]
    assert result.state == "timeout"
    assert result.seconds < 8 * 1.0 + 5
