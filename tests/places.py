"""Places in runs of a test's own."""

from __future__ import annotations

from pathlib import Path

from curriculum.place import Place
from curriculum.progress import Listener, silent
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.stops import Barrier


def place_in(
    path: Path,
    task: str,
    mode: str,
    stage: str,
    *,
    barrier: Barrier | None = None,
    listener: Listener = silent,
) -> Place:
    """A place in a new run, or in the one that is there."""
    there = RunDir.exists(path)
    rundir = RunDir.open(path) if there else RunDir.create(path, "", {"id": "any"})
    return Place(
        seed=0,
        task=task,
        mode=mode,
        round=0,
        stage=stage,
        simulated=mode == "SIMULATION",
        rundir=rundir,
        ledger=Ledger(rundir.ledger_path),
        barrier=barrier or Barrier(1e9),
        listener=listener,
    )
