"""What rests on one library shares an interpreter; what fails there is tried again alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from diagnostics.components import Component
from diagnostics.probe import run_probes
from diagnostics.probing.result import ProbeResult

pytestmark = pytest.mark.usefixtures("left_behind")

WHERE = "import os; version = os.getpid()\n"


class Told:
    """Remembers what a session tells."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ended: list[str] = []
        self.notices: list[str] = []

    def __call__(self, name: str, result: ProbeResult | None) -> None:
        (self.started if result is None else self.ended).append(name)


def probe(
    parts: Sequence[tuple[str, str, tuple[str, ...]]], **options
) -> tuple[dict[str, ProbeResult], Told]:
    told = Told()
    components = [Component(name, name, code, requires, "", "") for name, code, requires in parts]
    results = run_probes(
        components, timeout_s=20, on_change=told, notice=told.notices.append, **options
    )
    return results, told


def states(results: dict[str, ProbeResult]) -> dict[str, str]:
    return {name: str(result.state) for name, result in results.items()}


def test_what_rests_on_one_component_shares_its_interpreter() -> None:
    parts = [("root", WHERE, ())] + [(f"leaf{n}", WHERE, ("root",)) for n in range(3)]
    results, told = probe(parts)
    assert set(states(results).values()) == {"ok"}
    assert len({result.version for result in results.values()}) == 1
    assert told.started == told.ended == ["root", "leaf0", "leaf1", "leaf2"]
    assert told.notices == []


def test_what_rests_on_nothing_common_does_not_share() -> None:
    results, _ = probe([("one", WHERE, ()), ("two", WHERE, ())])
    assert len({result.version for result in results.values()}) == 2


@pytest.mark.parametrize(
    ("code", "state", "detail"),
    [
        ("import os; os.abort()", "crashed", "died of SIGABRT"),
        ("import os; os._exit(0)", "lied", "exited with 0"),
        ("import sys; sys.exit(0)", "lied", "exited with 0"),
        ("1 / 0", "broken", "ZeroDivisionError"),
        ("import not_there_at_all", "missing", "no module named not_there_at_all"),
    ],
)
def test_a_failure_among_others_is_isolated_and_told(code: str, state: str, detail: str) -> None:
    parts = [
        ("root", WHERE, ()),
        ("bad", code, ("root",)),
        ("good", WHERE, ("root",)),
        ("on_bad", WHERE, ("bad",)),
    ]
    results, told = probe(parts)
    assert states(results) == {"root": "ok", "bad": state, "good": "ok", "on_bad": state}
    assert detail in results["bad"].detail
    assert results["on_bad"].detail == f"not probed: bad is {state}"
    assert told.notices == ["bad failed beside others and is tried again alone"]


def test_a_failure_that_is_another_ones_fault_is_none() -> None:
    """The first leaf spoils the interpreter for the second one."""
    parts = [
        ("root", WHERE, ()),
        ("spoils", "import colorsys; colorsys.rgb_to_hls = None", ("root",)),
        ("spoilt", "import colorsys; colorsys.rgb_to_hls(0, 0, 0)", ("root",)),
    ]
    results, told = probe(parts)
    assert set(states(results).values()) == {"ok"}
    assert told.notices == ["spoilt failed beside others and is tried again alone"]


def test_one_that_says_itself_that_it_is_missing_spoils_nothing() -> None:
    parts = [
        ("root", WHERE, ()),
        ("absent", "missing('no device')", ("root",)),
        ("leaf", WHERE, ("root",)),
    ]
    results, told = probe(parts)
    assert states(results) == {"root": "ok", "absent": "missing", "leaf": "ok"}
    assert results["leaf"].version == results["root"].version
    assert told.notices == []


def test_who_crashes_at_the_end_is_found() -> None:
    crash = "import atexit, os; atexit.register(os.abort)"
    parts = [("root", WHERE, ()), ("crash", crash, ("root",)), ("leaf", WHERE, ("root",))]
    results, _ = probe(parts)
    assert states(results) == {"root": "ok", "crash": "crashed", "leaf": "ok"}
    assert "worked, but died of SIGABRT" in results["crash"].detail


def test_the_first_one_is_not_tried_twice(tmp_path) -> None:
    count = f"open({str(tmp_path / 'count')!r}, 'a').write('x'); import os; os.abort()"
    results, told = probe([("root", count, ()), ("leaf", WHERE, ("root",))])
    assert states(results) == {"root": "crashed", "leaf": "crashed"}
    assert (tmp_path / "count").read_text() == "x"
    assert told.started == ["root"]


def test_an_interpreter_is_shared_by_what_rests_on_something_known() -> None:
    known = {"root": ProbeResult("root", "ok", None, 1.0, "")}  # type: ignore[arg-type]
    parts = [("a", WHERE, ("root",)), ("b", WHERE, ("root",)), ("c", WHERE, ("root", "d"))]
    results, _ = probe([*parts, ("d", WHERE, ())], known={**known})
    assert results["a"].version == results["b"].version


@pytest.mark.parametrize("size", [1, 3])
def test_what_hides_from_a_terminal_is_taken_out(size: int) -> None:
    bad = ("bad", "raise ValueError('red \\x1b[31m and a bell \\x07')", ())
    results, _ = probe([bad, *[(f"leaf{n}", WHERE, ("bad",)) for n in range(size - 1)]])
    assert results["bad"].detail == "ValueError: red  [31m and a bell  "
