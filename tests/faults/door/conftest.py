"""Mischief in engines alone: what happens to a run whose door lives on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import ROOT, Sandbox

SITE = """\
import os, sys
if "curriculum.door.engine" in sys.orig_argv:
    marks = os.environ["MARKS"]
    if len(os.listdir(marks)) < int(os.environ["LIVES"]):
        open(os.path.join(marks, str(os.getpid())), "w").close()
        os.environ["MISCHIEF"] = os.environ["DEED"]
    else:
        os.environ["MISCHIEF"] = "commit_always"
    import tests.faults.mischief
    if os.environ.get("GRANTED"):
        # Whatever is probed works: what is to go wrong goes wrong later.
        from curriculum.cli import walk
        from diagnostics.probe import ProbeResult, ProbeState

        def probe_all(timeout_s, names, **_):
            return {name: ProbeResult(name, ProbeState.OK, None, 0.0, "") for name in names}

        walk.probe_all = probe_all
"""

Surroundings = Callable[..., dict[str, str]]


@pytest.fixture
def surroundings(place: Sandbox) -> Surroundings:
    """Returns the environment in which the first engines of a command do a deed."""

    def make(deed: str = "commit_always", lives: int = 1, **more: Any) -> dict[str, str]:
        site, marks = place.path / "site", place.path / "marks"
        site.mkdir(exist_ok=True)
        marks.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(SITE, encoding="utf-8")
        path = os.pathsep.join([str(site), str(ROOT)])
        return {"PYTHONPATH": path, "MARKS": str(marks), "DEED": deed, "LIVES": str(lives), **more}

    return make


def engines(place: Sandbox) -> int:
    """Returns how many engines did their deed."""
    return len(list((place.path / "marks").iterdir()))


def wrong_module(site: Path, name: str, how: str) -> None:
    """Makes a module that cannot be imported any more."""
    (site / f"{name}.py").write_text(WRONG[how], encoding="utf-8")


WRONG = {
    "hangs": "import time\nwhile True: time.sleep(60)\n",
    "segfaults": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
    "exits with 0": "import os\nos._exit(0)\n",
    "raises SystemExit(0)": "raise SystemExit(0)\n",
    "raises RuntimeError": "raise RuntimeError('broken now')\n",
    "raises OSError": "raise OSError('libtorch_cpu.so: cannot open shared object file')\n",
    "raises ImportError": "raise ImportError('libtorch_cpu.so: cannot open shared object file')\n",
}
