"""Asks the driver for lives of a run, and lets a run live as often as it takes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.patience import HANG_S

ROOT = Path(__file__).resolve().parents[3]
DRIVER = Path(__file__).with_name("golden_driver.py")
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "passive",
    "NO_COLOR": "1",
}
ENDED = (0, 3)
"""Exit codes of a run that came to its end, its target reached or missed."""


@dataclass(frozen=True)
class Life:
    """How one process of a run ended: its exit code, or minus the signal.

    Attributes:
        label: of the point it died at; empty if it was not told to.
        points: labels of all points it passed, if it ended by itself.
        words: what it said on stderr.
    """

    code: int
    seconds: float
    label: str
    points: list[str]
    words: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


class Lives:
    """A driver that waits for requests; a context manager.

    Args:
        directory: where the lives work, with the configurations in it.
        preload: modules that are imported once, before any life begins.
    """

    def __init__(self, directory: Path, preload: Sequence[str] = ()) -> None:
        self.directory = directory
        self._driver = subprocess.Popen(
            [sys.executable, str(DRIVER), *preload],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": f"{ROOT}:{directory}"},
        )

    def __enter__(self) -> Lives:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._driver.stdin and self._driver.stdout
        self._driver.stdin.close()
        self._driver.wait(HANG_S)
        self._driver.stdout.close()

    def live(self, *args: str, **how: Any) -> Life:
        """Runs `python -m curriculum *args`; `how` says where it dies (see `golden_driver`)."""
        assert self._driver.stdin and self._driver.stdout
        log = self.directory / "life.log"
        Path(f"{log}.points").unlink(missing_ok=True)
        request = {"args": args, "cwd": str(self.directory), "log": str(log), **how}
        self._driver.stdin.write(json.dumps(request) + "\n")
        self._driver.stdin.flush()
        answer = json.loads(self._driver.stdout.readline())
        words = log.read_text(encoding="utf-8")
        passed = Path(f"{log}.points")
        points = json.loads(passed.read_text(encoding="utf-8")) if passed.exists() else []
        label = words.splitlines()[-1] if answer["code"] == -signal.SIGKILL and words else ""
        return Life(answer["code"], answer["s"], label, points, words)

    def until_done(self, *args: str, most: int = 5, **how: Any) -> Life:
        """Lets a run live until it ends by itself; `how` goes for each of its lives."""
        for _ in range(most):
            life = self.live(*args, **how)
            if not life.killed:
                break
        assert life.code in ENDED, f"exit code {life.code}: {life.words}"
        return life

    def at_kinds(self, *args: str, stride: int = 1) -> list[str]:
        """Kills one run again and again, at a new kind of point each time, until it is done.

        Args:
            args: of the command line.
            stride: every how many new kinds a life dies; 1 takes them all.

        Returns:
            Where it died.
        """
        died: list[str] = []
        while True:
            life = self.live(*args, spare=died, skip=stride - 1)
            if not life.killed:
                assert life.code in ENDED, f"exit code {life.code}: {life.words}"
                return died
            died.append(life.label)
