"""The ledger: lines survive crashes, hold any fact, and reach subscribers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum.errors import RunIOError
from curriculum.mode import Mode
from curriculum.records.events import WrongEvent
from curriculum.records.ledger import Ledger, read_events
from tests.records.samples import facts_of


def test_events_come_back_in_order(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "run" / "events.jsonl", clock=lambda: 12.3456)
    assert ledger.events() == []
    ledger.append("probe", component="box2d", state="ok")
    ledger.append("run_finished", exit_code=3)
    assert [e["event"] for e in ledger.events()] == ["probe", "run_finished"]
    assert ledger.events("run_finished") == [{"t": 12.346, "event": "run_finished", "exit_code": 3}]


def test_every_line_is_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    values = {
        "loss": float("nan"),
        "best": -np.inf,
        "n": np.int64(3),
        "x": np.float32(0.5),
        "scores": np.array([1.0, np.inf]),
        "flags": (True, np.bool_(False), None),
        "where": Path("a/b"),
    }
    Ledger(path).append("metrics", **facts_of("metrics", mode=Mode.FULL, values=values))

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    (line,) = path.read_text().splitlines()
    entry = json.loads(line, parse_constant=refuse)
    found = entry["values"]
    assert (found["loss"], found["best"], found["n"], found["x"]) == ("nan", "-inf", 3, 0.5)
    assert entry["mode"] == "FULL"
    assert found["scores"] == [1.0, "inf"]
    assert found["flags"] == [True, False, None]
    assert found["where"] == "a/b"


@settings(max_examples=15, deadline=None)
@given(text=st.text(st.characters(codec=None, exclude_categories=())))
def test_any_text_stays_on_one_line(tmp_path_factory, text: str) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("run") / "events.jsonl")
    ledger.append("notice", text=text)
    ledger.append("notice", text="next")
    first, second = ledger.events()
    assert second["text"] == "next"
    # Two halves of a surrogate pair may come back as the one character they stand for.
    found, given = (t.encode("utf-16", "surrogatepass") for t in (first["text"], text))
    assert found == given


def test_every_torn_tail_is_left_out_and_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    Ledger(path, clock=lambda: 1.0).append("run_finished", exit_code=1)
    whole = path.read_bytes()
    Ledger(path, clock=lambda: 1.0).append("notice", text="ü")
    both = path.read_bytes()
    for length in range(len(whole), len(both)):
        path.write_bytes(both[:length])
        assert [e["event"] for e in read_events(path)] == ["run_finished"]
        Ledger(path).append("pool_serial", reason="c")
        assert [e["event"] for e in read_events(path)] == ["run_finished", "pool_serial"]


def test_a_damaged_line_in_the_middle_is_told(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"t": 1, "event": "a"}\nga\x00rb\xff\n[1]\n{"t": 2, "event": "b"}\n')
    assert [e["event"] for e in read_events(path)] == [
        "a",
        "unreadable_line",
        "unreadable_line",
        "b",
    ]


def test_truncate_goes_back_to_a_length(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "events.jsonl")
    assert ledger.length() == 0
    ledger.append("notice", text="a")
    length = ledger.length()
    ledger.append("notice", text="b")
    ledger.truncate(length)
    assert [e["text"] for e in ledger.events()] == ["a"]
    ledger.append("notice", text="c")
    assert [e["text"] for e in ledger.events()] == ["a", "c"]
    with pytest.raises(ValueError, match="cannot be cut"):
        ledger.truncate(10**6)


def test_subscribers_hear_what_the_file_holds(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "events.jsonl")
    heard: list[dict] = []
    ledger.subscribe(heard.append)
    ledger.append("metrics", **facts_of("metrics", values={"x": float("inf")}, step=np.int32(2)))
    assert heard == ledger.events()


@pytest.mark.parametrize("name", ["t", "event"])
def test_the_ledger_s_own_keys_cannot_be_facts(tmp_path: Path, name: str) -> None:
    with pytest.raises(WrongEvent, match=f"has no field {name}"):
        Ledger(tmp_path / "events.jsonl").append("notice", text="a", **{name: 1})


def test_a_refusing_disk_is_an_io_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunIOError, match="cannot record notice"):
        Ledger(tmp_path / "file" / "events.jsonl").append("notice", text="a")


def test_nothing_is_kept_in_dev_null() -> None:
    heard: list[dict] = []
    ledger = Ledger(Path("/dev/null"))
    ledger.subscribe(heard.append)
    ledger.append("run_finished", exit_code=1)
    assert ledger.events() == []
    assert heard[0]["exit_code"] == 1
