"""The study: what was measured, side by side; what was not, what is set apart, and why."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baselines.__main__ import main
from baselines.results import BaselineHome, BaselineResult, finish, name_of
from baselines.study.sides import OURS, Contest, Point, Side, Trial, contests
from baselines.study.text import VERDICTS, facts, markdown, run_rows, verdict_row
from baselines.study.verdicts import judged, standing, verdicts
from curriculum.config.loading import dump
from curriculum.config.schema import Config
from curriculum.errors import ConfigError
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.statistics import Reach
from curriculum.tasks import builtin_tasks
from tests.records.samples import facts_of

TASKS = {task.name: task for task in builtin_tasks()}
LANDER = "LunarLander-v3"


def make_run(
    path: Path,
    scores: list[float],
    *,
    mode: str = "FULL",
    env_id: str = LANDER,
    env_steps: int = 100_000,
    seed: int = 0,
    over: bool = True,
) -> Path:
    rundir = RunDir.create(path, dump(Config(tasks=(TASKS["lunarlander"],))))
    ledger = Ledger(rundir.ledger_path)
    ledger.append("run_started", **{**facts_of("run_started"), "seed": seed})
    here = {"task": "lunarlander", "mode": mode, "round": 0}
    if mode != "FULL":
        down = {"task": "lunarlander", "mode": mode}
        ledger.append("stepped_down", **{**facts_of("stepped_down"), **down})
    learned = {**here, "stage": "controller"}
    ledger.append("metrics", **learned, step=3, values={"env_steps": 40_000.0, "score": 12.0})
    check = {**learned, "generation": 3, "score": 150.0}
    ledger.append("check", **{**facts_of("check"), **check})
    if not over:
        return path
    score, passed = float(np.mean(scores)), np.mean(scores) >= 200.0
    told = {"score": score, "interval": [score - 9.0, score + 9.0], "scores": scores}
    done = {**here, "stage": "evaluate", "facts": told, "env_steps": 0}
    ledger.append("stage_done", **facts_of("stage_done", **done))
    verdict = {
        "task": "lunarlander",
        "mode": mode,
        "verdict": "degraded" if mode != "FULL" else "passed" if passed else "missed",
        "env_id": env_id,
        "score": score,
        "policy": "greedy",
        "env_steps": env_steps,
        "seconds": 60.0,
    }
    ledger.append("verdict", **facts_of("verdict", **verdict))
    return path


def baseline(
    out: Path,
    algo: str,
    seed: int,
    scores: list[float],
    curve: tuple[tuple[int, float], ...] = (),
    **changes: Any,
) -> None:
    task = TASKS["lunarlander"]
    result = BaselineResult(
        algo=algo,  # type: ignore[arg-type]
        task="lunarlander",
        env_id=task.env_id,
        playing=task.env_id,
        env=asdict(task.env),
        seed=seed,
        policy="greedy",
        scores=tuple(scores),
        env_steps=1_000_000,
        seconds=75.0,
    )
    name = name_of(algo, "lunarlander", seed, changes.get("setting", "same"))
    with BaselineHome(out, name) as home:
        for step, score in curve:
            home.ledger.append("evaluation", step=step, score=score, scores=[score], seconds=step)
        finish(home.ledger, replace(result, **changes))


def studied(tmp_path: Path, runs: list[Path]) -> Contest:
    (found,) = contests(runs, [tmp_path / "b"])
    return found


def row(found: Contest, agent: str) -> dict[str, str]:
    verdict = next(v for v in verdicts(found) if v.agent == agent)
    cells = verdict_row(found, verdict)
    keys = [f"{name} {n}" if VERDICTS.count(name) > 1 else name for n, name in enumerate(VERDICTS)]
    return dict(zip(keys, cells, strict=True))


def several(
    tmp_path: Path, ours: list[float], theirs: list[float], reach: int = 300_000
) -> Contest:
    runs = [
        make_run(tmp_path / f"run-{n}", [score, score + 2.0], seed=n, env_steps=100_000 + n)
        for n, score in enumerate(ours)
    ]
    for n, score in enumerate(theirs):
        curve = ((reach, 201.0), (2 * reach, 205.0))
        baseline(tmp_path / "b", "ppo", n, [score, score + 2.0], curve)
    return studied(tmp_path, runs)


def test_better_is_said_only_where_the_interval_leaves_out_equality(tmp_path: Path) -> None:
    found = several(tmp_path, [240, 250, 260, 255, 251], [210, 215, 220, 212, 218])
    told = row(found, "PPO (SB3)")
    assert told["verdict"] == "better" and told["a run of ours scores more"] == "1.00"
    assert told["fewer steps"] == "3.00×" and told["usually claimed (steps)"] == "1.8×"
    (verdict,) = verdicts(found)
    assert verdict.steps is not None and verdict.steps.told_apart
    assert verdict.steps.value == pytest.approx(300_000 / 100_002)


def test_runs_that_overlap_are_not_told_apart(tmp_path: Path) -> None:
    found = several(tmp_path, [210, 230, 250, 220, 240], [212, 228, 248, 222, 241])
    assert row(found, "PPO (SB3)")["verdict"] == "not told apart by these runs"


def test_many_episodes_of_two_runs_do_not_make_a_verdict(tmp_path: Path) -> None:
    found = several(tmp_path, [250, 260], [100, 110])
    told = row(found, "PPO (SB3)")
    assert told["verdict"] == "not told apart by these runs"
    assert told["a run of ours scores more"] == "1.00"
    assert "2 runs, which say too little" in "".join(judged(found).headlines)


@pytest.mark.parametrize("mode", ["GYM_ONLY", "SIMULATION"])
def test_a_lesser_mode_is_set_apart_told_first_and_averaged_in_nowhere(
    mode: str, tmp_path: Path
) -> None:
    env_id = "simulation/lunarlander" if mode == "SIMULATION" else LANDER
    full = [make_run(tmp_path / f"full-{n}", [240.0 + n], seed=n) for n in range(3)]
    lesser = make_run(tmp_path / "lesser", [-500.0], mode=mode, env_id=env_id, seed=9)
    baseline(tmp_path / "b", "random", 0, [-200.0])
    found = studied(tmp_path, [*full, lesser])
    assert standing(found, found.sides[0]).iqm == pytest.approx(241.0)
    assert judged(found).headlines[0] == (
        f"lunarlander, ours, lesser: set apart, it stepped down to {mode}"
    )
    rows = {cells[2]: cells for cells in run_rows([judged(found)])}
    assert rows["lesser"][-1] == "no" and rows["full-0"][-1] == "yes"
    text = markdown("t", [judged(found)], ["again"])
    assert text.index("set apart") < text.index("## Where each stands")


def test_a_run_that_is_not_finished_is_set_apart(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [], over=False)
    baseline(tmp_path / "b", "ppo", 0, [1.0])
    found = studied(tmp_path, [run])
    assert "set apart, it has no verdict yet" in judged(found).headlines[0]
    assert row(found, "PPO (SB3)")["verdict"] == "not measured: ours was not measured"


def test_a_baseline_that_never_learned_is_told_to_be_broken(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / f"run-{n}", [250.0], seed=n) for n in range(3)]
    for seed in range(3):
        curve = tuple((step, -150.0) for step in range(100_000, 1_000_001, 100_000))
        baseline(tmp_path / "b", "ppo", seed, [-150.0], curve)
    found = studied(tmp_path, runs)
    assert "this baseline may be broken" in judged(found).headlines[0]
    told = row(found, "PPO (SB3)")
    assert told["fewer steps"] == "at least 10.00×"


@pytest.mark.parametrize(
    ("score", "steps", "broken"),
    [(-650.0, 500_000, True), (0.0, 500_000, True), (150.0, 500_000, False), (150.0, 10**6, True)],
)
def test_halfway_to_the_target_is_the_least_after_the_usual_steps(
    tmp_path: Path, score: float, steps: int, broken: bool
) -> None:
    run = make_run(tmp_path / "run", [250.0])
    curve = ((steps // 2, -200.0), (steps, score))
    baseline(tmp_path / "b", "ppo", 0, [score], curve, env_steps=steps)
    told = [line for line in judged(studied(tmp_path, [run])).headlines if "may be broken" in line]
    assert bool(told) == broken


def test_a_baseline_that_was_cut_short_is_no_fair_rival(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [250.0])
    curve = ((50_000, -150.0), (100_000, -150.0))
    baseline(tmp_path / "b", "ppo", 0, [-150.0], curve, env_steps=100_000)
    assert any("too few to judge it" in line for line in judged(studied(tmp_path, [run])).headlines)


def test_a_series_is_all_its_runs(tmp_path: Path) -> None:
    series = tmp_path / "series"
    series.mkdir()
    facts_of_it = {"schema": 1, "seeds": [0, 1], "threads": 1, "options": []}
    (series / "series.json").write_text(json.dumps(facts_of_it))
    baseline(tmp_path / "b", "random", 0, [-200.0])
    with pytest.raises(ConfigError, match="no run was begun"):
        contests([series], [tmp_path / "b"])
    for seed in (0, 1):
        make_run(series / f"seed-{seed}", [220.0 + seed], seed=seed)
    found = studied(tmp_path, [series])
    assert [trial.seed for trial in found.sides[0].counted] == [0, 1]


def test_checks_stand_at_the_steps_of_their_practice(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [250.0], env_steps=90_000)
    baseline(tmp_path / "b", "random", 0, [-200.0])
    (trial,) = studied(tmp_path, [run]).sides[0].trials
    checked, judged_at = trial.curve
    assert (checked.steps, checked.score) == (40_000.0, 150.0)
    assert judged_at == Point(90_000.0, 250.0, 60.0)
    assert [(point.steps, point.score) for point in trial.training] == [(40_000.0, 12.0)]
    assert trial.steps_to_target == Reach(90_000.0, True)


def test_a_simulated_score_is_not_held_against_a_real_one() -> None:
    ours = Trial("a", 0, "greedy", "FULL", "Other-v0", (1.0,), 1.0, 1.0, None, None)
    theirs = replace(ours, name="b", env_id=LANDER)
    contest = Contest("x", None, (Side(OURS, (ours,)), Side("PPO (SB3)", (theirs,))))
    (verdict,) = verdicts(contest)
    assert verdict.why_not == f"not comparable: ours played Other-v0, it {LANDER}"
    assert verdict.word == "not measured"


def test_other_rules_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [250.0])
    rules = {**asdict(TASKS["lunarlander"].env), "frame_skip": 4, "num_envs": 99}
    baseline(tmp_path / "b", "ppo", 0, [1.0], env=rules)
    assert studied(tmp_path, [run]).differences == (
        "lunarlander: env.frame_skip was 4 for PPO (SB3), 1 for us",
    )


def test_missing_directories_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run directory"):
        contests([tmp_path / "none"], [tmp_path])
    run = make_run(tmp_path / "run", [250.0])
    with pytest.raises(ConfigError, match="no baseline"):
        contests([run], [tmp_path / "none"])


class Seen(HTMLParser):
    """Keeps tags, and what would be loaded from somewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and not (value or "").startswith("#"):
                self.loaded.append(f"{tag} {value}")


def test_the_command_writes_a_page_that_loads_nothing_and_runs_no_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    hostile = "<script>alert(1)</script>&"
    run = make_run(tmp_path / hostile.replace("/", "_"), [250.0, 260.0])
    curve = ((300_000, 201.0), (400_000, 205.0))
    baseline(tmp_path / "b", "ppo", 0, [230.0], curve, settings={"x": "<img src=//evil>"})
    baseline(tmp_path / "b", "random", 0, [-200.0])
    files = {name: tmp_path / f"study.{name}" for name in ("md", "html", "json")}
    words = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    assert main(["compare", str(run), "--baseline", str(tmp_path / "b"), *words]) == 0
    assert files["md"].read_text() in capsys.readouterr().out
    page, seen = files["html"].read_text(), Seen()
    seen.feed(page)
    assert seen.loaded == [] and "script" not in seen.tags and "img" not in seen.tags
    assert seen.tags.count("svg") == 4 and len(page) < 5_000_000
    assert not re.search(r"url\((?!#)", page) and "@import" not in page
    assert "prefers-color-scheme: dark" in page
    data = json.loads(files["json"].read_text())
    assert data["tasks"][0]["verdicts"][0]["verdict"] == "not told apart by these runs"
    assert facts([judged(c) for c in contests([run], [tmp_path / "b"])]) == data


def test_the_same_study_is_the_same_page(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from baselines.study.page import page

    found = [judged(several(tmp_path, [240, 250, 260], [210, 215, 220]))]
    assert page("t", found, ["again"]) == page("t", found, ["again"])
