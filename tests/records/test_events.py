"""The table of events: nothing is recorded that it does not hold, and nothing in it is hidden."""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from baselines.lines import BETWEEN_LINES_S, BaselineLines
from curriculum.config.schema import Config, TaskConfig
from curriculum.records.events import (
    BASELINES,
    EVENTS,
    LIVE,
    REPORT,
    TENSORBOARD,
    TROUBLE,
    WrongEvent,
    handlers,
    known,
)
from curriculum.records.ledger import Ledger, effective
from curriculum.show.lines import PlainLines
from curriculum.show.panels import render
from curriculum.show.report import report_text
from curriculum.show.summary import summarise
from curriculum.show.view import RunView
from curriculum.sinks.following import scalars_of
from tests.records.samples import PLACE, SAMPLES, facts_of, write_ledger

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for name in ("curriculum", "baselines") for path in (ROOT / name).rglob("*.py")]
CONFIG = Config(tasks=(TaskConfig("pong", "PongNoFrameskip-v4", "pixels", 18.0, 3.0),))


def event_of(name: str, **changes: Any) -> dict[str, Any]:
    return {"t": 1.79e9, "event": name, **facts_of(name, **changes)}


def lines(*events: dict[str, Any]) -> str:
    stream = io.StringIO()
    shown = PlainLines(CONFIG, stream, lambda: 0.0)
    for event in events:
        shown.on_event(event)
    return stream.getvalue()


def dashboard(*events: dict[str, Any]) -> str:
    state = RunView(CONFIG, lambda: 0.0)
    for event in events:
        state.on_event(event)
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(render(state, 200, 60))
    return console.export_text()


def curves(*events: dict[str, Any]) -> str:
    return str([scalar for event in events for scalar in scalars_of(event)])


def baseline_lines(*events: dict[str, Any]) -> str:
    written: list[str] = []
    now = iter(range(0, 10**9, round(BETWEEN_LINES_S)))
    shown = BaselineLines(written.append, lambda: float(next(now)))
    for event in events:
        shown.on_event(event)
    return "\n".join(written)


SHOWN = {
    LIVE: (lines, dashboard),
    REPORT: (lambda *events: report_text(events),),
    TENSORBOARD: (curves,),
    BASELINES: (baseline_lines,),
}
BEFORE = [event_of("stage_started", stage="encode")]
"""What a run has told before: something is running."""


def test_there_is_a_sample_of_every_event_that_the_ledger_takes(tmp_path: Path) -> None:
    assert SAMPLES.keys() == EVENTS.keys()
    ledger = Ledger(tmp_path / "events.jsonl")
    for name in SAMPLES:
        kind = EVENTS[name]
        ledger.append(name, **facts_of(name))
        ledger.append(name, **facts_of(name, **dict.fromkeys(kind.optional)))
    assert [e["event"] for e in ledger.events()] == [n for n in SAMPLES for _ in range(2)]


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_is_shown_by_whom_the_table_names(name: str) -> None:
    shown_by = EVENTS[name].shown_by
    assert shown_by, "somebody has to show it"
    for who in shown_by:
        for show in SHOWN[who]:
            before = [] if who == BASELINES else BEFORE
            assert show(*before, event_of(name)) != show(*before), f"{who} shows nothing of it"


@pytest.mark.parametrize("name", TROUBLE)
def test_trouble_is_told_live_and_counted_in_the_report(name: str) -> None:
    words = name.replace("_", " ")
    assert f"{words}: 2 times" in report_text([event_of(name)] * 2)
    if LIVE in EVENTS[name].shown_by:
        assert f"{words}: " in lines(event_of(name)) and words in dashboard(event_of(name))
        assert f"{words}: " in baseline_lines(event_of(name))


def test_what_nobody_showed_is_shown_where_it_is_looked_for() -> None:
    insight, fork = event_of("insight_failed"), event_of("forked")
    assert "controller: insight failed: reason LookupError: no ball" in lines(insight)
    text = report_text([insight, fork])
    assert "pong FULL controller: LookupError: no ball" in text.split("## World model")[1]
    stages = text.split("## Stages\n")[1].split("\n## ")[0]
    assert "runs/older: pong REAL collect. What differs from it: ppo.reuse: 1 instead" in stages


def test_an_event_that_is_not_in_the_table_is_refused_with_the_nearest_name(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path / "events.jsonl")
    with pytest.raises(WrongEvent, match=r"no event 'stage_dun'.*did you mean stage_done\?"):
        ledger.append("stage_dun", **facts_of("stage_done"))
    with pytest.raises(WrongEvent, match="did you mean verdict"):
        ledger.events("verdicts")
    for use in (lambda: known("check", "chek"), lambda: handlers({"chek": None})):
        with pytest.raises(WrongEvent, match="did you mean check"):
            use()
    assert not ledger.path.exists()


def test_fields_that_are_missing_or_unknown_are_refused_and_named(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "events.jsonl")
    with pytest.raises(WrongEvent, match="check lacks generation, score and has no field points"):
        ledger.append("check", **PLACE, target=1.0, points=2.0)
    with pytest.raises(WrongEvent, match="may have part, then"):
        ledger.append("rolled_back", **facts_of("rolled_back", why="?"))
    ledger.append("rolled_back", **facts_of("rolled_back", part="C"))
    assert len(ledger.events()) == 1


def test_events_and_fields_of_other_versions_are_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    old = [
        {"event": "practice_paused", "task": "pong", "minutes": 3},
        {"event": "check", **PLACE, "generation": 5, "score": 12.0, "points": 7},
        {"event": "rolled_back", **PLACE},
    ]
    write_ledger(path, old)
    found = Ledger(path).events()
    assert [e["event"] for e in found] == ["practice_paused", "check", "rolled_back"]
    assert found[1]["points"] == 7
    assert "rolled back: 1 times" in report_text(found)
    assert lines(*found) and dashboard(*found)
    assert len(effective(found)) == 3


def test_what_is_read_for_computing_has_its_type_in_the_table(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write_ledger(path, [{"event": "media", "paths": 7}, {"event": "metrics", "values": 7}])
    first, second = Ledger(path).events()
    assert (first["event"], first["line"]) == ("unreadable_line", 1)
    assert second["event"] == "metrics", "nobody computes with it"
    for kind in EVENTS.values():
        assert kind.read.keys() <= kind.fields


def test_a_run_s_ending_is_the_last_word_after_its_last_start() -> None:
    start, stop, end = (event_of(n) for n in ("run_started", "run_stopped", "run_finished"))
    for told, ended in (
        ([start], None),
        ([start, stop], stop),
        ([start, stop, start], None),
        ([start, stop, start, end], end),
    ):
        assert summarise(told).ended == ended


def names_in(path: Path) -> Iterator[tuple[str, int]]:
    """Yields every name of an event that a file records or asks for, and its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        texts: list[ast.expr | None] = []
        if isinstance(node, ast.Call):
            texts += _of_call(node)
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            texts += [v for k, v in pairs if isinstance(k, ast.Constant) and k.value == "event"]
        elif isinstance(node, ast.Compare) and any(map(_is_name_of_event, _sides(node))):
            texts += _sides(node)
        for text in (part for whole in texts if whole for part in _parts(whole)):
            if isinstance(text, ast.Constant) and isinstance(text.value, str) and text.value:
                yield text.value, text.lineno


def _parts(node: ast.expr) -> list[ast.expr]:
    """What an expression may be: the entries of a tuple, both ends of an `if`, or itself."""
    if isinstance(node, ast.IfExp):
        return [node.body, node.orelse]
    return node.elts if isinstance(node, ast.Tuple | ast.Set) else [node]


def _of_call(node: ast.Call) -> list[ast.expr]:
    called = node.func
    if isinstance(called, ast.Name):
        return list(node.args) if called.id in ("known", "record", "Lost") else []
    if not isinstance(called, ast.Attribute):
        return []
    owner = ast.unparse(called.value)
    recorded = called.attr in ("record", "_record", "_tell", "events", "of", "_on_event")
    appended = called.attr == "append" and ("ledger" in owner.lower())
    of_events = owner == "told" or called.attr != "of"
    first = node.args[:1] if called.attr != "of" else list(node.args)
    return first if (recorded and of_events) or appended else []


def _sides(node: ast.Compare) -> list[ast.expr]:
    return [node.left, *node.comparators]


def _is_name_of_event(node: ast.expr) -> bool:
    text = ast.unparse(node)
    return text.endswith(("['event']", ".get('event')"))


def test_every_name_in_the_source_is_in_the_table() -> None:
    used: dict[str, str] = {}
    for path in SOURCES:
        for name, line in names_in(path):
            used.setdefault(name, f"{path.relative_to(ROOT)}:{line}")
    # Dictionaries of what is done at which event check their names as they are loaded.
    assert not {name: where for name, where in used.items() if name not in EVENTS}
    assert len(used) > 30, "they are still found"


def test_every_fact_that_is_named_where_an_event_is_recorded_is_in_the_table() -> None:
    checked = 0
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) == "Lost":
                continue
            for name in (n.value for n in _of_call(node)[:1] if isinstance(n, ast.Constant)):
                kind, given = EVENTS[str(name)], {word.arg for word in node.keywords} - {None}
                assert given <= kind.fields | kind.optional, f"{path}:{node.lineno}"
                checked += len(given)
    assert checked > 50, "they are still found"


def test_every_event_is_recorded_by_somebody() -> None:
    telling = [p for p in SOURCES if "show" not in p.parts and p.name != "events.py"]
    texts = {
        node.value
        for path in telling
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert EVENTS.keys() <= texts
