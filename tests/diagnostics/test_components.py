"""The list of components is complete, in order, and its fixes name the tested versions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from diagnostics.components import COMPONENTS

ROOT = Path(__file__).resolve().parents[2]


def test_every_component_is_listed_once_after_what_it_requires() -> None:
    names = [c.name for c in COMPONENTS]
    assert sorted(names) == sorted(
        {"torch", "torch-cuda", "gymnasium", "ale_py", "box2d", "pygame", "cma", "tensorboard"}
        | {"stable_baselines3", "vae", "mdnrnn", "controller", "controller_cpu"}
        | {"disk", "memory", "shm"}
    )
    for index, component in enumerate(COMPONENTS):
        assert set(component.requires) <= set(names[:index])


def test_fixes_name_the_pinned_versions() -> None:
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    named = [m for c in COMPONENTS for m in re.findall(r"([\w-]+)(?:\[\w+\])?==([\w.]+)", c.fix)]
    assert len(named) >= 6
    assert all(pins[package] == version for package, version in named)


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: c.name)
def test_every_component_says_what_is_lost_and_how_to_mend_it(component) -> None:
    assert component.fix
    assert 0 < len(component.lost_without) <= 27, "more would wrap in a terminal of 80 columns"
    compile(component.code, component.name, "exec")
