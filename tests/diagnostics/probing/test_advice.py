"""Advice fits the state, and its pip lines work without the project's files."""

from __future__ import annotations

import re

import pytest

from diagnostics.components import COMPONENTS
from diagnostics.probing import advice as advices
from diagnostics.probing.advice import advice
from diagnostics.probing.result import ProbeState

FAILED = [s for s in ProbeState if s not in (ProbeState.OK, ProbeState.SLOW)]


@pytest.mark.parametrize("state", FAILED)
@pytest.mark.parametrize("name", [c.name for c in COMPONENTS])
def test_no_advice_needs_a_clone(name: str, state: ProbeState) -> None:
    text = advice(name, state, 15.0)
    assert text
    assert "constraints.txt" not in text
    assert not re.search(r"pip install.* \.($|\s)", text)


@pytest.mark.parametrize("name", ["torch", "cma", "vae", "disk"])
def test_a_time_out_names_the_busy_machine_and_the_limit(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advices, "describe_load", lambda: "load 14.2 on 2 cores")
    monkeypatch.setattr(advices, "busy", lambda: True)
    text = advice(name, "timeout", 15.0)
    assert "machine is busy (load 14.2 on 2 cores)" in text
    assert "curriculum.timeout_seconds" in text and "--probe-timeout" in text
    assert "pip" not in text, "nothing has to be installed"
    monkeypatch.setattr(advices, "busy", lambda: False)
    assert "hangs" in advice(name, "timeout", 15.0)
    assert "longest limit there is" in advice(name, "timeout", 60.0)


def test_missing_is_installed_and_broken_is_installed_anew() -> None:
    assert advice("torch", "missing", 15.0) == 'pip install "torch==2.13.0"'
    for state in ("broken", "crashed", "lied"):
        assert advice("torch", state, 15.0) == 'pip install --force-reinstall "torch==2.13.0"'
        assert advice("mdnrnn", state, 15.0).endswith("--no-deps world-models-curriculum")
    assert "free space" in advice("disk", "broken", 15.0)
