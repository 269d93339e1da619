"""Whole runs through the command line, in SIMULATION, with budgets of seconds."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from curriculum.tasks import load_config
from tests.cli.conftest import ROOT, TINY, commands_in
from tests.patience import HANG_S, eventually

STAGES = ["collect", "vision", "encode", "memory", "controller", "evaluate"]


def events(run: Path, name: str) -> list[dict]:
    lines = (run / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [e for e in map(json.loads, lines) if e["event"] == name]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; not to be changed."""
    place = tmp_path_factory.mktemp("original")
    (place / "tiny.yaml").write_text(TINY, encoding="utf-8")
    run = commands_in(place)
    done = run("run", "tiny.yaml", "--tasks", "lunarlander", "--set", "seed=5")
    assert done.code == 3, done.err
    return place / "runs" / "tiny"


@pytest.fixture
def finished(original: Path, tiny: Path) -> Path:
    return shutil.copytree(original, tiny.parent / "runs" / "tiny")


def test_a_run_leaves_everything_that_the_readme_names(finished: Path) -> None:
    with (finished / "pipeline_summary.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["stage"] for row in rows] == STAGES
    assert {row["mode"] for row in rows} == {"SIMULATION"}
    results = json.loads((finished / "evaluation_results.json").read_text(encoding="utf-8"))
    text = json.dumps(results)
    assert "SIMULATION" in text and "missed" in text
    assert "SIMULATION" in (finished / "report.md").read_text(encoding="utf-8")
    verdict = events(finished, "verdict")[-1]
    assert verdict["episodes"] == 3 and verdict["env_steps"] > 0


def test_a_finished_run_is_not_done_again(curriculum, finished: Path) -> None:
    before = events(finished, "stage_done")
    done = curriculum("resume", str(finished))
    assert done.code == 3, done.err
    assert events(finished, "stage_done") == before
    assert [e["stage"] for e in events(finished, "stage_skipped")] == STAGES
    assert events(finished, "verdict")[0]["score"] == events(finished, "verdict")[1]["score"]


def test_another_configuration_is_refused_in_the_same_directory(curriculum, finished: Path) -> None:
    done = curriculum("run", "tiny.yaml", "--tasks", "lunarlander", "--set", "vae.z_dim=8")
    assert done.code == 2
    assert "vae.z_dim" in done.err


def test_a_finished_agent_is_scored_again_on_other_seeds(curriculum, finished: Path) -> None:
    first, same, other = (
        json.loads(
            curriculum("evaluate", str(finished), "--episodes", "3", "--seed", seed, "--json").out
        )["lunarlander"]["scores"]
        for seed in ("1", "1", "2")
    )
    assert first == same and len(first) == 3
    assert first != other


def test_a_stage_can_be_run_alone_and_needs_those_before_it(curriculum, tiny: Path) -> None:
    common = ("run", "tiny.yaml", "--tasks", "lunarlander")
    assert curriculum(*common, "--stage", "collect").code == 0
    run = tiny.parent / "runs" / "tiny"
    assert [e["stage"] for e in events(run, "stage_done")] == ["collect"]
    assert curriculum(*common, "--stage", "vision", "--stage", "encode").code == 0
    assert [e["stage"] for e in events(run, "stage_done")] == STAGES[:3]
    assert not events(run, "verdict") or events(run, "verdict")[-1]["verdict"] == "not_run"


def test_two_runs_of_one_seed_are_equal_and_of_two_seeds_are_not(curriculum, tiny: Path) -> None:
    scores = []
    for number, seed in enumerate((7, 7, 8)):
        run = tiny.parent / f"run-{number}"
        args = ("--tasks", "lunarlander", "--seed", str(seed), "--run-dir", str(run))
        assert curriculum("run", "tiny.yaml", *args).code == 3
        facts = [e["facts"] for e in events(run, "stage_done") if e["stage"] == "evaluate"]
        scores.append(facts[0]["scores"])
    assert scores[0] == scores[1] != scores[2]


def test_workers_do_not_change_the_result(curriculum, tiny: Path) -> None:
    scores = []
    for workers in (0, 2):
        run = tiny.parent / f"workers-{workers}"
        args = ("--tasks", "lunarlander", "--run-dir", str(run))
        env = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        option = f"curriculum.workers={workers}"
        assert curriculum("run", "tiny.yaml", *args, "--set", option, env=env).code == 3
        facts = [e["facts"] for e in events(run, "stage_done") if e["stage"] == "evaluate"]
        scores.append(facts[0]["scores"])
    assert scores[0] == scores[1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_commits_and_says_how_to_go_on(tiny: Path, number: int, code: int) -> None:
    args = ["run", "tiny.yaml", "--tasks", "lunarlander", "--cma-generations", "100000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "curriculum", *args],
        cwd=tiny.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    run = tiny.parent / "runs" / "tiny"
    ledger = run / "events.jsonl"
    wanted = '"stage": "controller"'
    assert eventually(lambda: ledger.exists() and wanted in ledger.read_text(encoding="utf-8"))
    process.send_signal(number)
    _, err = process.communicate(timeout=HANG_S)
    assert process.returncode == code, err
    assert f"python -m curriculum resume {run}" in err
    commits = list((run / "tasks/lunarlander/SIMULATION/round-00/controller/commits").iterdir())
    assert commits and not [c for c in commits if ".tmp-" in c.name]


def test_max_time_stops_with_75_and_the_run_goes_on(curriculum, tiny: Path) -> None:
    args = ("run", "tiny.yaml", "--tasks", "lunarlander", "--cma-generations", "60")
    done = curriculum(*args, "--max-time", "1s")
    assert done.code == 75, done.err
    run = tiny.parent / "runs" / "tiny"
    assert curriculum("resume", str(run)).code == 3
    assert len(events(run, "verdict")) == 1


def test_a_second_run_in_the_same_directory_is_refused(tiny: Path, curriculum) -> None:
    from curriculum.records.rundir import RunDir

    assert curriculum("run", "tiny.yaml", "--tasks", "lunarlander", "--stage", "collect").code == 0
    with RunDir.open(tiny.parent / "runs" / "tiny"):
        done = curriculum("run", "tiny.yaml", "--tasks", "lunarlander")
    assert done.code == 6
    assert str(os.getpid()) in done.err


def test_a_dry_run_writes_nothing(curriculum, tiny: Path) -> None:
    done = curriculum("run", "tiny.yaml", "--dry-run", "--json")
    assert done.code == 0
    planned = json.loads(done.out)["tasks"]
    assert [task["mode"] for task in planned] == ["SIMULATION"] * 4
    targets = {task.name: task.simulation_target for task in load_config(tiny).tasks}
    assert {task["task"]: task["target"] for task in planned} == targets
    assert not (tiny.parent / "runs").exists()


def test_json_on_stdout_is_nothing_but_json(curriculum, tiny: Path) -> None:
    done = curriculum("run", "tiny.yaml", "--tasks", "lunarlander", "--json")
    result = json.loads(done.out)
    assert result["exit_code"] == done.code == 3
    assert result["verdicts"][0]["mode"] == "SIMULATION"


def killed_in_its_search(args: list[str], run: Path) -> bool:
    """Starts a run and kills it after a commit of its search, if that is not too late."""
    process = subprocess.Popen(
        [sys.executable, "-m", "curriculum", *args, "--run-dir", str(run)],
        cwd=run.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    commits = run / "tasks/lunarlander/SIMULATION/round-00/controller/commits"
    assert eventually(lambda: commits.exists() or process.poll() is not None)
    process.kill()
    return process.wait() == -signal.SIGKILL


def test_a_run_killed_in_its_search_goes_on_as_if_it_had_not_been(curriculum, tiny: Path) -> None:
    args = ["run", "tiny.yaml", "--tasks", "lunarlander", "--cma-generations", "40"]
    args += ["--set", "curriculum.commit_seconds=1"]
    scores = []
    for name in ("whole", "killed"):
        run = tiny.parent / name
        if name == "killed":
            while not killed_in_its_search(args, run):
                shutil.rmtree(run)
            assert not events(run, "verdict")
        assert curriculum(*args, "--run-dir", str(run)).code == 3
        done = {e["stage"]: e for e in events(run, "stage_done")}
        scores.append((done["evaluate"]["facts"]["scores"], done["controller"]["env_steps"]))
    assert scores[0] == scores[1]


def test_a_stage_without_those_before_it_is_a_usage_error(curriculum, tiny: Path) -> None:
    done = curriculum("run", "tiny.yaml", "--tasks", "lunarlander", "--stage", "memory")
    assert done.code == 2
    assert "run the stages in order" in done.err
    assert not (tiny.parent / "runs").exists(), "nothing was written"
    # Those that were run before count: the same stage then goes on from them.
    first = ("run", "tiny.yaml", "--tasks", "lunarlander", "--stage")
    assert curriculum(*first, "collect").code == 0
    done = curriculum(*first, "memory")
    assert done.code == 2 and "needs the result of stage encode" in done.err, done.err
    assert not events(tiny.parent / "runs" / "tiny", "stepped_down")


def test_a_damaged_result_is_named_and_ends_with_its_own_code(curriculum, finished: Path) -> None:
    stage = finished / "tasks/lunarlander/SIMULATION/round-00/controller"
    for state in stage.glob("commits/*/state.safetensors"):
        state.write_bytes(state.read_bytes()[:-1])
    for command in (("evaluate", "--episodes", "1"), ("play",)):
        done = curriculum(command[0], str(finished), *command[1:])
        assert done.code == 5, done.err
        assert "damaged" in done.err and str(stage) in done.err
