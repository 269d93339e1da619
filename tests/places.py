"""Places in runs of a test's own."""

from __future__ import annotations

from pathlib import Path

from curriculum.agent import work
from curriculum.backends.backend import load_backend
from curriculum.config.schema import Config, TaskConfig
from curriculum.errors import ExitCode
from curriculum.place import Place
from curriculum.pool import Pool
from curriculum.progress import Listener, Progress, silent
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.stages.stage import StageContext
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


def stage_at(place: Place, task: TaskConfig) -> StageContext:
    """The stage at a place, in the backend of its mode; units of work are done in this process."""
    backend = load_backend(place.mode, {})
    env = backend.make_env(task, 1, lambda text: None)
    env.close()
    return StageContext(
        place=place,
        config=Config(tasks=(task,)),
        task=task,
        backend=backend,
        states={},
        spec=env.spec,
        executor=Pool(0, build=work.build),
    )


def stopped_at(done: float) -> tuple[Barrier, Listener]:
    """A barrier that is asked to stop once so much is done, and who listens for it."""
    barrier = Barrier(1e9)

    def listen(progress: Progress) -> None:
        if progress.done >= done:
            barrier.request_stop(ExitCode.RESUMABLE)

    return barrier, listen
