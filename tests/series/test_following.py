"""A ledger that grows is read on from where it was left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curriculum.errors import ExitCode
from curriculum.records.ledger import Tail
from curriculum.series.following import Following, is_over
from curriculum.tasks import load_config
from tests.records.samples import PLACE, SAMPLES


def line(event: str, **facts) -> bytes:
    return json.dumps({"t": 1.0, "event": event, **facts}).encode() + b"\n"


def test_only_whole_lines_come_and_each_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = Tail(path)
    assert list(tail.events()) == []
    path.write_bytes(line("a") + b'{"t": 1.0, "eve')
    assert [e["event"] for e in tail.events()] == ["a"]
    with path.open("ab") as file:
        file.write(b'nt": "b"}\n' + b"no json\n" + b"[1]\n" + line("c"))
    assert [e["event"] for e in tail.events()] == ["b", "c"]
    assert list(tail.events()) == []


def test_where_a_run_is_and_how_far_is_known(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("curriculum: {tasks: [pong]}\n", encoding="utf-8")
    path = tmp_path / "events.jsonl"
    run = Following(load_config(config), path)
    measured = {**PLACE, "step": 3, "values": {"env_steps": 4096.0, "score": -7.5}}
    path.write_bytes(line("stage_started", **PLACE, attempt=0) + line("metrics", **measured))
    assert [e["event"] for e in run.look()] == ["stage_started", "metrics"]
    assert run.view.current == ("pong", "FULL", 0, "controller")
    assert (run.step, run.score) == (4096, -7.5)
    with path.open("ab") as file:
        file.write(line("verdict", **SAMPLES["verdict"]))
    run.look()
    assert run.view.current is None and (run.step, run.score) == (None, None)
    assert run.view.rungs["pong"].verdict == "missed"


@pytest.mark.parametrize(
    ("code", "tasks", "expected"),
    [
        (3, {"pong"}, ExitCode.TARGET_MISSED),
        (0, {"pong"}, ExitCode.OK),
        (3, {"pong", "breakout"}, None),
        (4, {"pong"}, None),
    ],
)
def test_a_run_is_over_with_a_verdict_on_every_task(
    tmp_path: Path, code: int, tasks: set[str], expected: ExitCode | None
) -> None:
    path = tmp_path / "events.jsonl"
    assert is_over(path, tasks) is None
    path.write_bytes(line("run_started", **SAMPLES["run_started"]))
    assert is_over(path, tasks) is None
    with path.open("ab") as file:
        file.write(line("verdict", **SAMPLES["verdict"]) + line("run_finished", exit_code=code))
    assert is_over(path, tasks) == expected
