"""A page's server in a process of its own, over a small run that is finished."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, TINY, commands_in
from tests.patience import HANG_S


@dataclass(frozen=True)
class Page:
    """Where a server listens.

    Attributes:
        port: of 127.0.0.1.
        token: that its terminal printed.
        process: which may only be ended by whoever started it.
    """

    port: int
    token: str
    process: subprocess.Popen[str]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


@contextmanager
def served(*args: str, cwd: Path) -> Iterator[Page]:
    """`python -m curriculum watch …`, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "curriculum", "watch", *args],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "SDL_VIDEODRIVER": "dummy"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Page(*_address(process), process)
    finally:
        process.terminate()
        process.wait(HANG_S)
        assert process.stderr is not None
        process.stderr.close()


def _address(process: subprocess.Popen[str]) -> tuple[int, str]:
    told, end = "", time.monotonic() + HANG_S
    assert process.stderr is not None
    while time.monotonic() < end and process.poll() is None:
        if select.select([process.stderr], [], [], 1.0)[0]:
            told += process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/#token=(\S+)", told)
        if found:
            return int(found[1]), found[2]
    raise AssertionError(f"no address was printed: {told}")


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two tasks in SIMULATION; not to be changed."""
    place = tmp_path_factory.mktemp("learned")
    (place / "tiny.yaml").write_text(TINY, encoding="utf-8")
    done = commands_in(place)("run", "tiny.yaml", "--tasks", "lunarlander,pong")
    assert done.code == 3, done.err
    return place / "runs" / "tiny"


@pytest.fixture
def run(learned: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(learned, tmp_path / "runs" / "tiny")


@pytest.fixture(scope="module")
def page(learned: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A server over it that many tests speak to."""
    with served(str(learned), cwd=tmp_path_factory.mktemp("page")) as found:
        yield found
