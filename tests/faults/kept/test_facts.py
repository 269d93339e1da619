"""Facts in files are checked as they are read: a sentence and a documented exit code, whatever is
there; never a traceback, and never an endless wait."""

from __future__ import annotations

import io
import json
import os
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum.cli.main import main
from curriculum.errors import RunIOError
from curriculum.records.facts import MAX_INT, WrongFact, entry, fact, finite
from curriculum.records.finished import Finished, StageResult
from curriculum.records.ledger import parse_events
from tests.faults.conftest import Sandbox

DOCUMENTED = {0, 2, 3, 4, 5, 6, 7}
JUNK: tuple[Any, ...] = (
    None,
    True,
    -1,
    1,
    10**400,
    float("nan"),
    float("inf"),
    "",
    "\x1b[2J",
    [],
    [[[]]],
    {},
    {"a": {"b": [1]}},
)
DEEP = b"[" * 100_000


@dataclass(frozen=True)
class Inner:
    number: float
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outer:
    kind: Literal["a", "b"]
    count: int
    inner: Inner
    maybe: str | None = None
    pair: tuple[float, float] = (0.0, 0.0)
    by_name: dict[str, float] = field(default_factory=dict)


GOOD = {"kind": "a", "count": 3, "inner": {"number": 1, "names": ["x"]}, "unknown": 1}


def test_what_fits_is_built() -> None:
    built = entry(Outer, GOOD | {"pair": [1, 2.5], "by_name": {"x": 1}, "maybe": None})
    assert built == Outer("a", 3, Inner(1.0, ("x",)), None, (1.0, 2.5), {"x": 1.0})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "c"}, "`kind` is 'c', expected one of a, b"),
        ({"kind": ["a"]}, "`kind` is ['a'], expected one of a, b"),
        ({"count": True}, "`count` is True, expected a whole number"),
        ({"count": 1.0}, "`count` is 1.0, expected a whole number"),
        ({"count": MAX_INT}, "expected a whole number"),
        ({"inner": 1}, "`inner` is 1, expected an object with keys"),
        ({"inner": {}}, "`inner.number` is missing, expected a number"),
        ({"inner": {"number": "1"}}, "`inner.number` is '1', expected a number"),
        ({"inner": {"number": 10**400}}, "expected a number"),
        ({"inner": {"number": 1, "names": [1]}}, "`inner.names[0]` is 1, expected a text"),
        ({"maybe": 3}, "`maybe` is 3, expected a text"),
        ({"pair": [1]}, "`pair` is [1], expected a list"),
        ({"by_name": {"x": None}}, "`by_name.x` is None, expected a number"),
    ],
)
def test_what_does_not_fit_is_told(change: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongFact) as caught:
        entry(Outer, GOOD | change)
    assert said in str(caught.value)


@pytest.mark.parametrize("kind", [str, int, float, bool, dict[str, int], list[str], int | None])
@pytest.mark.parametrize("value", JUNK, ids=lambda value: repr(value)[:12])
def test_any_value_fits_or_is_told(kind: Any, value: Any) -> None:
    try:
        fact(kind, value, "x")
    except WrongFact as e:
        assert "expected" in str(e) and len(str(e)) < 200
    assert finite(value) in (True, False)


@pytest.mark.parametrize("value", JUNK, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("key", ["seconds", "result", "committing", "spent", "mode"])
def test_a_result_is_checked(tmp_path: Path, key: str, value: Any) -> None:
    Finished("FULL", 1.0, StageResult("done")).write(tmp_path)
    path = tmp_path / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    try:
        Finished.read(tmp_path)
    except RunIOError as e:
        assert f"`{key}" in str(e) or "digits" in str(e)
        assert "remove it to have its stage done again" in str(e)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"committing": 1}, "`committing` is 1"),
        ({"stage": None}, "`stage` is None"),
        ({"round": "0"}, "`round` is '0'"),
        ({"facts": []}, "`facts` is []"),
        ({"task": ["x"]}, "`task` is ['x']"),
        ({"t": "now"}, "`t` is 'now'"),
        ({"t": 1e300}, "expected unix seconds"),
    ],
)
def test_an_event_is_checked(line: dict[str, Any], why: str) -> None:
    event = {"t": 1.0, "event": "stage_done", "task": "x", "mode": "FULL", "round": 0}
    event |= {"stage": "memory"}
    whole = (json.dumps(event) + "\n").encode()
    (good, bad) = parse_events(whole + (json.dumps(event | line) + "\n").encode())
    assert good == event
    assert (bad["event"], bad["line"]) == ("unreadable_line", 2)
    assert why in bad["reason"]


def mutations(run: Path) -> st.SearchStrategy[tuple[Path, str, int, Any]]:
    files = sorted(p.relative_to(run) for p in run.rglob("*.json") if p.is_file())
    what = ["drop", "junk", "cut", "pipe", "directory", "bytes", "deep", "gone", "list"]
    return st.tuples(
        st.sampled_from([*files, Path("events.jsonl"), Path("config.yaml")]),
        st.sampled_from(what),
        st.integers(0, 10**6),
        st.sampled_from(JUNK),
    )


def mutate(path: Path, what: str, where: int, junk: Any) -> None:
    """Does one thing to a file of a run."""
    data = path.read_bytes()
    lines = path.name == "events.jsonl"
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    elif what != "gone":
        changed = {
            "cut": data[: where % len(data)],
            "bytes": data[: where % len(data)] + b"\xff\xfe" + data[where % len(data) :],
            "deep": DEEP,
            "list": b"[1]\n",
        }.get(what)
        path.write_bytes(_changed(data, lines, what, where, junk) if changed is None else changed)


def _changed(data: bytes, lines: bool, what: str, where: int, junk: Any) -> bytes:
    """Drops or replaces one value, at any depth, of one JSON object."""
    texts = data.splitlines(keepends=True) if lines else [data]
    number = where % len(texts)
    try:
        value = json.loads(texts[number])
    except ValueError:
        return data[: where % len(data)] + str(junk).encode(errors="replace")
    inner, places = value, []
    while isinstance(inner, dict) and inner:
        places.append((inner, sorted(inner)[where % len(inner)]))
        inner = inner[places[-1][1]]
    if not places:
        return json.dumps(junk).encode()
    holder, key = places[where // 7 % len(places)]
    if what == "drop":
        del holder[key]
    else:
        holder[key] = junk
    texts[number] = json.dumps(value).encode() + b"\n"
    return b"".join(texts)


def said(*args: str) -> tuple[int, str]:
    """Runs a command in this process; an exception that reaches a user fails the test."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        code = main(args)
    return code, out.getvalue()


@pytest.mark.faults(
    "a JSON file of a finished run with a key gone, of another type, cut, a pipe, a directory",
    expect="report, evaluate and resume: a documented exit code, no traceback, no hang",
)
@pytest.mark.parametrize(
    ("command", "examples"),
    [(("report",), 60), (("evaluate", "--episodes", "1"), 12), (("resume", "--quiet"), 25)],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_whatever_a_file_of_a_run_holds_is_told(
    whole: Sandbox, tmp_path: Path, command: tuple[str, ...], examples: int
) -> None:
    number = 0

    @settings(max_examples=examples, deadline=None, derandomize=True, database=None)
    @given(mutations(whole.run))
    def check(mutation: tuple[Path, str, int, Any]) -> None:
        nonlocal number
        number += 1
        run = tmp_path / str(number)
        shutil.copytree(whole.run, run)
        mutate(run / mutation[0], *mutation[1:])
        code, text = said(command[0], str(run), *command[1:])
        assert code in DOCUMENTED, text
        assert "Traceback" not in text and "\x1b[2J" not in text
        assert text.strip() or command[0] == "resume"
        shutil.rmtree(run)

    check()
