"""Trainings of several tasks and seeds by one command: some at a time, each gone on with.

Every one is the usual command for a single training, in a process and a directory of its own; what
is finished is left as it is.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from baselines.matrix.showing import MatrixDisplay
from baselines.results import LEDGER, RESULT, name_of
from curriculum.errors import ExitCode, RunIOError
from curriculum.pool.programs import Child, Children
from curriculum.records.files import refused
from curriculum.records.ledger import Tail
from diagnostics.cores import available_cores
from models.numeric.threads import threads_asked_for


@dataclass(frozen=True)
class Cell:
    """One training of a matrix."""

    algo: str
    task: str
    seed: int
    setting: str = "same"

    @property
    def name(self) -> str:
        """Its directory's name."""
        return name_of(self.algo, self.task, self.seed, self.setting)


def cells_of(
    algo: str, tasks: Sequence[str], seeds: Sequence[int], setting: str = "same"
) -> list[Cell]:
    """Returns the trainings, seed by seed, so that all tasks have the first seeds first."""
    return [Cell(algo, task, seed, setting) for seed in seeds for task in tasks]


def train_all(
    cells: Sequence[Cell],
    arguments: Callable[[Cell], Sequence[str]],
    out: Path,
    jobs: int,
    display: MatrixDisplay,
) -> ExitCode:
    """Has all trainings done that are not finished.

    Args:
        cells: what to train.
        arguments: of `python -m baselines`, for one of them.
        out: parent of their directories; what each prints goes to `<name>.log` there.
        jobs: trainings at the same time, which share the cores.
        display: is shown all of it.

    Returns:
        OK if all are finished; else the code of the signal that stopped them, or of the first that
        failed.

    Raises:
        RunIOError: the disk refused, or no process can be started.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise refused(e, "make the directory of the baselines", out) from e
    threads = threads_asked_for() or max(1, available_cores() // min(jobs, len(cells)))
    tails = {cell.name: Tail(out / cell.name / LEDGER) for cell in cells}
    codes: dict[str, int] = {}

    def start(cell: Cell) -> Child:
        log = out / f"{cell.name}.log"
        try:
            return Child("baselines.member", arguments(cell), threads, log)
        except OSError as e:
            raise RunIOError(
                f"the training {cell.name} cannot be started: {e}; end other programs or free "
                f"disk space, then repeat the command"
            ) from e

    def turned(cell: Cell, code: int | None) -> None:
        if code is not None:
            # What something killed has no code of its own.
            codes[cell.name] = int(ExitCode.INTERNAL) if code < 0 else code
        display.turned(cell.name, codes.get(cell.name))

    def look() -> None:
        for name, tail in tails.items():
            for event in tail.events():
                display.told(name, event)
        display.refresh()

    left = []
    for cell in cells:
        if (out / cell.name / RESULT).exists():
            turned(cell, int(ExitCode.OK))
        else:
            left.append(cell)
    look()  # what was told before is shown, and not told again
    children = Children(start, jobs, turned, look)
    children.run(left)
    return _code(children.stop, codes)


def _code(stop: int | None, codes: Mapping[str, int]) -> ExitCode:
    if stop is not None:
        return ExitCode.INTERRUPTED if stop == signal.SIGINT else ExitCode.TERMINATED
    wrong = next((code for code in codes.values() if code != ExitCode.OK), None)
    if wrong is None:
        return ExitCode.OK
    return ExitCode(wrong) if wrong in set(ExitCode) else ExitCode.INTERNAL
