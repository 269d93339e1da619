"""What all tests share: no limits of time, checked annotations, and two options of pytest.

`python -m pytest -m faults` ends with a table of all faults. `python -m pytest --busy 12` runs
beside twelve busy loops: no test may depend on how busy the machine is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings

from tests.annotations import check_annotations

check_annotations()

if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests run side by side: torch's threads would spin against each other's.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

for _number in (signal.SIGINT, signal.SIGHUP):
    # A script's `&` and nohup have them ignored, which the commands under test would respect.
    if signal.getsignal(_number) == signal.SIG_IGN:
        _default = signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL
        signal.signal(_number, _default)

settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

FAULT_WIDTH, EXPECT_WIDTH = 58, 58
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
"""A loop that ends with whoever started it."""


@dataclass
class Row:
    """One fault: what was done, what was to happen, and what happened."""

    fault: str
    expect: str
    result: str = "passed"
    seconds: float = 0.0


class FaultMatrix:
    """Listens to pytest and prints the rows of all tests that are marked `faults`."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        mark = item.get_closest_marker("faults")
        if mark is not None:
            # Goes with the reports, also to another process where tests run side by side.
            item.user_properties.append(("fault", _texts(item, mark)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        texts = dict(report.user_properties).get("fault")
        if not isinstance(texts, (tuple, list)):
            return
        row = self._rows.setdefault(report.nodeid, Row(*texts))
        row.seconds += report.duration
        if report.failed:
            row.result = "FAILED"
        elif report.skipped and row.result == "passed":
            row.result = "skipped"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        write = terminalreporter.write_line
        terminalreporter.section("faults")
        write(_line("no", "fault", "expected outcome", "result", "s"))
        for number, row in enumerate(self._rows.values(), start=1):
            faults = textwrap.wrap(row.fault, FAULT_WIDTH)
            expected = textwrap.wrap(row.expect, EXPECT_WIDTH)
            write(_line(number, faults[0], expected[0], row.result, f"{row.seconds:.1f}"))
            for place in range(1, max(len(faults), len(expected))):
                more = [part[place] if place < len(part) else "" for part in (faults, expected)]
                write(_line("", *more, "", "").rstrip())
        passed = sum(row.result == "passed" for row in self._rows.values())
        seconds = sum(row.seconds for row in self._rows.values())
        write(f"{passed} of {len(self._rows)} faults ended as expected, in {seconds:.0f} s")


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "run beside N busy loops, each in a session of its own, as Linux shares the CPU by these"
    parser.addoption("--busy", type=int, default=0, metavar="N", help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Starts the loops, and prints the matrix where faults were asked for by their marker."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        for _ in range(config.getoption("busy")):
            config.add_cleanup(_busy_loop())
    if "faults" in str(config.getoption("markexpr", "")).split():
        config.pluginmanager.register(FaultMatrix(), "fault-matrix")


def _busy_loop() -> Callable[[], None]:
    """Starts a loop; returns what ends it."""
    loop = subprocess.Popen([sys.executable, "-S", "-c", BUSY], start_new_session=True)

    def end() -> None:
        loop.kill()
        loop.wait()

    return end


def _texts(item: pytest.Item, mark: pytest.Mark) -> tuple[str, str]:
    """Fills a parametrised test's values into the texts of its mark."""
    call = getattr(item, "callspec", None)
    values = {name: str(value) for name, value in call.params.items()} if call else {}
    fault, expect = str(mark.args[0]), str(mark.kwargs["expect"])
    return fault.format(**values), expect.format(**values)


def _line(*cells: object) -> str:
    widths = (3, FAULT_WIDTH, EXPECT_WIDTH, 7, 5)
    return "  ".join(f"{cell!s:<{width}}" for cell, width in zip(cells, widths, strict=True))
