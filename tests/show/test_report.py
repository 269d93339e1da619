"""The report: made from events alone, true to them, and safe from what they say."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curriculum.show import markdown
from curriculum.show.report import compare_runs, report_json, report_text, write_report
from curriculum.show.summary import summarise
from tests.records.samples import facts_of

UNESCAPED_PIPE = re.compile(r"(?<!\\)(?:\\\\)*\|")


def section(text: str, title: str) -> str:
    return text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(part: str) -> list[str]:
    return [line for line in part.splitlines() if line.startswith("| ")][2:]


def test_three_files_are_written_and_agree(tmp_path: Path, events: list[dict[str, Any]]) -> None:
    write_report(tmp_path, events)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "evaluation_results.json",
        "metrics",
        "pipeline_summary.csv",
        "report.md",
    ]
    with (tmp_path / "pipeline_summary.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["stage"] for row in table[:4]] == ["collect", "vision", "encode", "memory"]
    assert table[0]["env_steps"] == "51200" and table[0]["seconds"] == "4.2"
    results = json.loads((tmp_path / "evaluation_results.json").read_text())
    pong = results["tasks"][0]
    assert (pong["mode"], pong["verdict"], pong["score"]) == ("SIMULATION", "degraded", 5.0)
    assert pong["evaluations"][0]["scores"] == [4.0, 6.0]
    assert pong["evaluations"][0]["mode"] == "SIMULATION"
    assert pong["evaluations"][0]["seeds"]["root"] == 0
    assert results["exit_code"] == 3


PLACE = {"task": "pong", "mode": "FULL", "round": 0, "stage": "vision"}


def of(name: str, **facts: Any) -> dict[str, Any]:
    return {"t": 5.0, "event": name, **PLACE, **facts}


def test_failed_stages_stand_in_the_table_with_their_tries(tmp_path: Path) -> None:
    failed = {**facts_of("stage_failed"), **PLACE, "t": 1.0, "event": "stage_failed"}
    done = {**facts_of("stage_done", **PLACE), "t": 2.0, "event": "stage_done"}
    never = {**failed, "stage": "memory", "reason": "out of luck"}
    write_report(tmp_path, [failed, failed, done, never])
    with (tmp_path / "pipeline_summary.csv").open(newline="") as file:
        vision, memory = csv.DictReader(file)
    assert (vision["stage"], vision["status"], vision["attempts"]) == ("vision", "done", "3")
    assert (memory["stage"], memory["status"], memory["attempts"]) == ("memory", "failed", "1")
    assert memory["result"] == "out of luck" and memory["seconds"] == ""


def test_each_stage_that_told_metrics_has_a_table_of_them(tmp_path: Path) -> None:
    told = [
        of("metrics", step=1, values={"loss": 0.5}),
        of("metrics", step=2, values={"loss": 0.25, "late": 7}),
        {**of("metrics", step=1, values={"score": 3.0}), "stage": "controller", "round": 1},
        of("metrics", step=3, values="no mapping"),
        {**of("metrics", step=1, values={"x": 1}), "task": "../evil"},
    ]
    write_report(tmp_path, told)
    names = sorted(path.name for path in (tmp_path / "metrics").iterdir())
    assert names == ["pong-FULL-controller-01.csv", "pong-FULL-vision-00.csv"]
    lines = (tmp_path / "metrics" / "pong-FULL-vision-00.csv").read_text().splitlines()
    assert lines == ["step,unix_seconds,loss,late", "1,5.0,0.5,", "2,5.0,0.25,7"]
    assert not list(tmp_path.parent.glob("evil*"))


def test_every_row_of_results_names_its_mode(events: list[dict[str, Any]]) -> None:
    text = report_text(events)
    for title in ("Results", "Stages", "Checks during the search", "World model"):
        found = rows(section(text, title))
        assert found, title
        assert all(re.search(r"\| (FULL|SIMULATION) \|", row) for row in found), title
    results = rows(section(text, "Results"))
    assert "degraded (SIMULATION)" in results[0] and "| passed |" in results[1]


def test_every_degradation_is_there(events: list[dict[str, Any]]) -> None:
    part = section(report_text(events), "Degradations and replacements")
    assert "pong: FULL → SIMULATION, because out of memory" in part
    assert "pong, lunarlander | SIMULATION | environment" in part
    assert "pong FULL controller, attempt 1, 0 left" in part
    assert "worker died: 1 times" in part


def test_strange_texts_start_nothing(events: list[dict[str, Any]]) -> None:
    text = report_text(events)
    assert "\x1b" not in text
    assert "<b>" not in text.replace(r"\<b\>", "")
    assert r"\](u)" in text, "no link"
    for line in text.splitlines():
        assert not line.startswith("# ") or line == "# Report of run default"


@given(st.text())
def test_a_cell_never_breaks_its_table(text: str) -> None:
    shown = markdown.table(["a", "b"], [[text, "x"]]).rstrip("\n").split("\n")
    assert len(shown) == 3
    assert len(UNESCAPED_PIPE.findall(shown[2])) == 3


@given(st.text())
def test_a_line_starts_no_block(text: str) -> None:
    line = markdown.escape(text)
    assert not re.match(r"[#>+\-=*`~|]|\d+[.)]|\[", line)
    assert not re.search(r"(?<!\\)<", line)


@given(st.lists(st.text()))
def test_code_ends_where_it_ends(lines: list[str]) -> None:
    shown = markdown.code(lines).rstrip("\n").split("\n")
    fence = shown[-1]
    assert shown[0] == f"{fence}sh" and fence == "`" * len(fence)
    assert all(fence not in line for line in shown[1:-1])


def test_repeated_checks_and_events_of_a_resumed_run_count_once(
    events: list[dict[str, Any]],
) -> None:
    summary = summarise([*events, *events])
    assert summary.starts == 2
    assert [(c.mode, c.generation) for c in summary.checks] == [("FULL", 10)]
    assert len([r for r in summary.stages if r.stage == "collect" and r.mode == "FULL"]) == 1
    assert [v["task"] for v in summary.verdicts] == ["pong", "lunarlander"]


def test_the_report_says_where_the_time_of_practice_went(events: list[dict[str, Any]]) -> None:
    assert "time of practice" not in report_text(events)
    spent = {"learning": 3.0, "policy": 1.0, "environment": 6.0, "broken": "x"}
    done = next(e for e in events if e["event"] == "stage_done" and e["stage"] == "memory")
    done["spent"] = spent
    part = section(report_text(events), "Stages")
    assert "environment 60%, learning 30%, policy 10%" in part


def test_the_report_says_what_was_learned_from(events: list[dict[str, Any]]) -> None:
    assert "learned from" not in report_text(events)
    done = next(e for e in events if e["event"] == "stage_done")
    done["facts"] = {"learned_from": "score - 2 tiles' reward for each tile left behind"}
    stages = section(report_text(events), "Stages")
    assert f"{done['mode']}, round {done['round'] + 1}, learned from: score" in stages
    assert "each tile left behind" in stages


def test_work_taken_over_from_another_mode_is_not_counted_twice(
    events: list[dict[str, Any]],
) -> None:
    summary = summarise(events)
    taken = next(r for r in summary.stages if r.mode == "SIMULATION" and r.stage == "collect")
    assert taken.seconds is None and taken.env_steps is None
    assert taken.result == "done before: 64 episodes"


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ([], "no ending recorded"),
        ([{"event": "run_stopped", "reason": "Ctrl-C", "resume": "resume it"}], "resume it"),
        ([{"event": "run_finished", "exit_code": 0}], "all targets met"),
        ([{"event": "run_finished", "exit_code": 0}, {"event": "run_started"}], "no ending"),
    ],
)
def test_the_ending_is_the_last_one(last: list[dict[str, Any]], said: str) -> None:
    events = [{"event": "run_started", "name": "a"}, *last]
    assert said in report_text([{"t": 5.0, **event} for event in events])


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "t": st.floats(0, 2e9),
                "event": st.sampled_from(
                    ["stage_done", "verdict", "check", "decision", "replacement", "stage_failed"]
                ),
            },
            optional={
                "task": st.text() | st.none(),
                "mode": st.text() | st.none(),
                "round": st.integers(0, 3),
                "score": st.floats() | st.none() | st.just("nan"),
                "seconds": st.floats() | st.text(),
                "metrics": st.dictionaries(st.text(), st.floats() | st.text()),
            },
        ),
        max_size=6,
    )
)
def test_any_ledger_has_a_report(events: list[dict[str, Any]]) -> None:
    assert report_text(events).startswith("# Report of run")
    json.dumps(report_json(events))


def test_runs_stand_side_by_side(events: list[dict[str, Any]]) -> None:
    text = compare_runs({"runs/a|b": events, "runs/c": events[:4]})
    pong = next(line for line in text.splitlines() if line.startswith("| pong |"))
    assert "SIMULATION: 5.0 [4.0, 6.0] of 18.0, degraded" in pong
    assert "not in this run" in pong
    assert r"runs/a\|b" in text and "| fallbacks | 2 | 0 |" in text


def test_the_report_shows_every_attempt_and_which_one_counts(events: list[dict[str, Any]]) -> None:
    assert "Attempts" not in report_text(events)
    verdict = next(e for e in events if e["event"] == "verdict" and e["task"] == "lunarlander")
    tried = [{"number": n, "round": n - 1, "verdict": "missed", "score": 99.0} for n in (1, 2)]
    verdict |= {"attempt": 2, "attempts": tried}
    for number, score in ((1, 99.0), (2, 244.0)):
        word = "passed" if number == 2 else "missed"
        over = {**verdict, "event": "attempt_over", "verdict": word, "attempts": []}
        told = {"attempt": number, "round": number - 1, "score": score, "allowed": 3}
        # A resumed run may tell it again.
        events += [{**over, **told}] * 2
    part = section(report_text(events), "Results")
    attempts = rows(part.split("Attempts, each anew", 1)[1])
    assert len(attempts) == 2
    assert "| 1 | 1 | missed | 99.0 |" in attempts[0] and attempts[0].endswith("|  |")
    assert "| 2 | 2 | passed | 244.0 |" in attempts[1] and attempts[1].endswith("| yes |")
    assert "passed, attempt 2 of 2" in part
    assert "attempt 2 of 2" in compare_runs({"one": events})


def test_the_report_says_what_v_and_m_began_from(events: list[dict[str, Any]]) -> None:
    assert "began from" not in report_text(events)
    here = {"t": 1.79e9, "event": "transferred", "task": "breakout", "mode": "FULL", "round": 0}
    events.append({**here, "stage": "vision", "source": "pong", "taken": True, "reason": ""})
    why = {"source": "pong", "taken": False, "reason": "other sizes"}
    events += [{**here, "stage": "memory", **why}] * 2
    part = section(report_text(events), "Stages")
    assert "- breakout FULL vision begins from the weights of pong" in part
    assert part.count("breakout FULL memory begins anew and not from pong: other sizes") == 1


def test_the_report_says_why_a_task_was_not_reached(events: list[dict[str, Any]]) -> None:
    missed = next(e for e in events if e["event"] == "verdict")
    why = "the walk ended at pong: missed (curriculum.advance is on_success)"
    none = {"score": None, "interval": None, "mode": None, "verdict": "not_run"}
    events.append({**missed, **none, "task": "breakout", "reasons": [why]})
    assert f"- breakout: {markdown.escape(why)}" in section(report_text(events), "Results")
