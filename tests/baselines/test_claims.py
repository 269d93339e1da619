"""Claims made before the runs: kept only by the planned runs, all of them, as they were planned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from baselines.__main__ import main
from baselines.results import BaselineHome, BaselineResult, finish, name_of
from baselines.study.claims import PLAN, Claim, Metric, Plan, make_claim, open_claim
from baselines.study.keeping import Outcome, outcomes
from baselines.study.sides import contests
from curriculum.config.loading import dump
from curriculum.config.schema import Config
from curriculum.config.writing import plain_of
from curriculum.errors import ConfigError
from curriculum.records.files import to_json
from curriculum.records.ledger import Ledger
from curriculum.records.rundir import RunDir
from curriculum.tasks import builtin_tasks
from tests.records.samples import facts_of

TASK = next(task for task in builtin_tasks() if task.name == "lunarlander")
CONFIG = Config(tasks=(TASK,))
SETTINGS = {"steps": 1000, "commit_steps": 500, "gamma": 0.99}


def plan(metric: Metric = "steps-to-target", times: float = 1.0, **changes: Any) -> Plan:
    made = Plan(
        name="sooner",
        tasks=("lunarlander",),
        seeds=(0, 1, 2),
        metric=metric,
        times=times,
        against="ppo",
        setting="same",
        policy="greedy",
        episodes=2,
        steps=1000,
        evaluations=2,
        ours=dump(CONFIG),
        theirs={"lunarlander": SETTINGS},
        rules={"lunarlander": to_json(plain_of(TASK.env))},
        versions={},
    )
    return replace(made, **changes)


def ours(
    root: Path, seed: int, steps: int = 100, config: Config = CONFIG, score: float = 250.0
) -> Path:
    path = root / f"run-{seed}"
    rundir = RunDir.create(path, dump(replace(config, seed=seed)))
    ledger = Ledger(rundir.ledger_path)
    ledger.append("run_started", **facts_of("run_started", seed=seed))
    here = {"task": "lunarlander", "mode": "FULL", "round": 0}
    told = {"score": score, "interval": [score, score], "scores": [score, score + seed]}
    done = {**here, "stage": "evaluate", "facts": told, "env_steps": 0}
    ledger.append("stage_done", **facts_of("stage_done", **done))
    verdict = {
        "task": "lunarlander",
        "mode": "FULL",
        "verdict": "passed" if score >= 200.0 else "missed",
        "env_id": TASK.env_id,
        "score": score,
        "policy": "greedy",
        "env_steps": steps + seed,
        "seconds": 60.0,
    }
    ledger.append("verdict", **facts_of("verdict", **verdict))
    return path


def theirs(root: Path, seed: int, reach: int = 500, **changes: Any) -> None:
    result = BaselineResult(
        algo="ppo",
        task="lunarlander",
        env_id=TASK.env_id,
        playing=TASK.env_id,
        env=to_json(plain_of(TASK.env)),
        seed=seed,
        policy="greedy",
        scores=(220.0, 221.0 + seed),
        env_steps=1000,
        seconds=75.0,
        settings={**SETTINGS, "device": "cpu", "threads": 2},
    )
    result = replace(result, **changes)
    with BaselineHome(root / "b", name_of("ppo", "lunarlander", seed)) as home:
        home.ledger.append("baseline_started", **facts_of("baseline_started"))
        for step in (500, 1000):
            score = 210.0 if step >= reach else 0.0
            home.ledger.append("evaluation", step=step, score=score, scores=[score], seconds=step)
        finish(home.ledger, result)


def judged(root: Path, claim: Claim, runs: Sequence[Path]) -> Outcome:
    (found,) = outcomes([claim], contests(runs, [root / "b"]))
    return found


def settled(root: Path, claimed: Plan, seeds: Sequence[int] = (0, 1, 2), **given: Any) -> Outcome:
    """Makes a claim, then the runs, then judges it."""
    claim = make_claim(root / "claim", claimed)
    for seed in seeds:
        theirs(root, seed)
    return judged(root, claim, [ours(root, seed, **given) for seed in seeds])


def test_a_claim_is_kept_by_the_planned_runs_where_the_interval_says_so(tmp_path: Path) -> None:
    found = settled(tmp_path, plan())
    assert found.word == "kept" and not found.why
    assert found.told.startswith("4.95 times fewer [4.90, 5.00]")
    assert found.sentence == (
        "ours come to the target in fewer steps than PPO (SB3), over the seeds 0, 1, 2"
    )


def test_more_than_was_measured_is_not_kept(tmp_path: Path) -> None:
    found = settled(tmp_path, plan(times=9.0))
    assert found.word == "not kept" and "9 times fewer steps" in found.sentence


@pytest.mark.parametrize(("score", "word"), [(250.0, "kept"), (150.0, "not kept")])
def test_scores_are_claimed_too(tmp_path: Path, score: float, word: str) -> None:
    found = settled(tmp_path, plan("score"), score=score)
    assert found.word == word and "a run of ours scores more with probability" in found.told


def test_two_runs_decide_nothing(tmp_path: Path) -> None:
    found = settled(tmp_path, plan(seeds=(0, 1)), (0, 1))
    assert found.word == "not told apart by these runs" and found.why == ("too few runs",)


def test_a_missing_seed_leaves_it_open_however_good_the_others_are(tmp_path: Path) -> None:
    found = settled(tmp_path, plan(seeds=(0, 1, 2, 3)))
    assert found.word == "open"
    assert "of ours the seeds 3 are not among the runs" in found.why
    assert "of PPO (SB3) the seeds 3 are not among the runs" in found.why


def test_other_seeds_do_not_count(tmp_path: Path) -> None:
    claim = make_claim(tmp_path / "claim", plan())
    runs = [ours(tmp_path, seed) for seed in (0, 1, 2)] + [ours(tmp_path, 7, steps=99_999)]
    for seed in (0, 1, 2):
        theirs(tmp_path, seed)
    assert judged(tmp_path, claim, runs).word == "kept"


def test_what_was_begun_before_is_no_claim(tmp_path: Path) -> None:
    early = ours(tmp_path, 0)
    theirs(tmp_path, 1)
    claim = make_claim(tmp_path / "claim", plan())
    for seed in (0, 2):
        theirs(tmp_path, seed)
    found = judged(tmp_path, replace(claim, made=claim.made + 0.01), [early])
    assert found.word == "no claim"
    assert "run-0 was begun before the claim was made" in found.why
    assert "ppo-lunarlander-seed1 was begun before the claim was made" in found.why


def test_another_configuration_is_no_claim(tmp_path: Path) -> None:
    changed = replace(TASK, training=replace(TASK.training, total_steps=7))
    found = settled(tmp_path, plan(), config=Config(tasks=(changed,)))
    assert found.word == "no claim"
    assert "run-0 is not by the plan: tasks.lunarlander.training.total_steps: " in found.why[0]


def test_a_target_that_was_moved_is_no_claim(tmp_path: Path) -> None:
    found = settled(tmp_path, plan(), config=Config(tasks=(replace(TASK, target=100.0),)))
    assert found.word == "no claim" and "target: 200.0 -> 100.0" in found.why[0]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"settings": {**SETTINGS, "gamma": 0.5}}, "settings.gamma: 0.99 -> 0.5"),
        ({"settings": {**SETTINGS, "steps": 2000}}, "settings.steps: 1000 -> 2000"),
        ({"settings": {**SETTINGS, "extra": 1}}, "settings.extra: None -> 1"),
        ({"scores": (220.0, 221.0, 222.0)}, "episodes: 2 -> 3"),
        ({"policy": "sampled"}, "policy: 'greedy' -> 'sampled'"),
        ({"env": {"frame_skip": 3}}, "env.frame_skip: 1 -> 3"),
    ],
)
def test_a_baseline_that_was_trained_otherwise_is_no_claim(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    claim = make_claim(tmp_path / "claim", plan())
    for seed in (0, 1, 2):
        theirs(tmp_path, seed, **(changes if seed == 1 else {}))
    found = judged(tmp_path, claim, [ours(tmp_path, seed) for seed in (0, 1, 2)])
    assert found.word == "no claim" and len(found.why) == 1
    assert found.why[0].startswith("ppo-lunarlander-seed1 is not by the plan: ")
    assert says in found.why[0]


def test_two_runs_of_one_seed_are_no_claim(tmp_path: Path) -> None:
    claim = make_claim(tmp_path / "claim", plan())
    for seed in (0, 1, 2):
        theirs(tmp_path, seed)
    runs = [ours(tmp_path, seed) for seed in (0, 1, 2)] + [ours(tmp_path / "again", 2)]
    found = judged(tmp_path, claim, runs)
    assert found.word == "no claim"
    assert found.why == ("of ours there are several runs of seed 2, and the plan knows of one",)


def test_a_run_that_took_over_what_another_learned_is_no_claim(tmp_path: Path) -> None:
    claim = make_claim(tmp_path / "claim", plan())
    for seed in (0, 1, 2):
        theirs(tmp_path, seed)
    runs = [ours(tmp_path, seed) for seed in (0, 1, 2)]
    Ledger(RunDir.open(runs[1]).ledger_path).append("forked", **facts_of("forked"))
    found = judged(tmp_path, claim, runs)
    assert found.why == ("run-1 took over what another run had learned",)


@pytest.mark.parametrize("key", ["times", "seeds", "ours", "theirs"])
def test_a_plan_that_was_changed_is_no_claim(tmp_path: Path, key: str) -> None:
    settled(tmp_path, plan())
    path = tmp_path / "claim" / PLAN
    content = json.loads(path.read_text())
    other = {"times": 1.5, "seeds": [0, 1], "ours": "seed: 1\n", "theirs": {"lunarlander": {}}}
    path.write_text(json.dumps({**content, key: other[key]}))
    claim = open_claim(tmp_path / "claim")
    runs = [tmp_path / f"run-{seed}" for seed in (0, 1, 2)]
    found = judged(tmp_path, claim, runs)
    assert (found.word, found.why) == ("no claim", ("its plan was changed after it was made",))


def test_a_plan_and_a_hash_changed_together_have_another_hash(tmp_path: Path) -> None:
    """It cannot be told from the files alone: that is what the printed hash is for."""
    first = make_claim(tmp_path / "claim", plan())
    changed = replace(first.plan, times=1.5)
    assert changed.hash != first.plan.hash and len(changed.hash) == 64
    for path in (tmp_path / "claim").iterdir():
        path.unlink()
    assert make_claim(tmp_path / "claim", changed).made >= first.made


def test_a_claim_is_never_changed_and_may_be_made_twice(tmp_path: Path) -> None:
    first = make_claim(tmp_path / "claim", plan())
    assert make_claim(tmp_path / "claim", plan()) == first
    with pytest.raises(ConfigError, match="a claim is never changed"):
        make_claim(tmp_path / "claim", plan(times=2.0))
    Ledger(tmp_path / "claim" / "events.jsonl").append("claim_made", name="sooner", hash="0")
    assert "tells of 2, expected one" in open_claim(tmp_path / "claim").broken


def test_what_is_no_claim_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no claim: make one with"):
        open_claim(tmp_path)
    (tmp_path / PLAN).write_text("[1]")
    with pytest.raises(ConfigError, match="no plan of this program"):
        open_claim(tmp_path)


def test_a_task_without_runs_is_open(tmp_path: Path) -> None:
    claim = make_claim(tmp_path / "claim", plan())
    theirs(tmp_path, 0, task="pong")
    assert judged(tmp_path, claim, [ours(tmp_path, 9)]).word == "open"


def test_the_comparison_tells_claims_apart_from_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    settled(tmp_path, plan())
    runs = [str(tmp_path / f"run-{seed}") for seed in (0, 1, 2)]
    words = ["compare", *runs, "--baseline", str(tmp_path / "b")]
    assert main(words) == 0
    assert "Claimed before" not in capsys.readouterr().out
    files = ["--html", str(tmp_path / "s.html"), "--json", str(tmp_path / "s.json")]
    assert main([*words, "--claim", str(tmp_path / "claim"), *files]) == 0
    text, html = capsys.readouterr().out, (tmp_path / "s.html").read_text()
    for shown in (text, html):
        first = shown.index("Claimed before the runs began")
        assert first < shown.index("what was not claimed before")
        assert plan().hash in shown and "--claim" in shown
    assert "| sooner | lunarlander | ours come to the target in fewer steps" in text
    (told,) = json.loads((tmp_path / "s.json").read_text())["claims"]
    assert told["word"] == "kept"


@pytest.mark.torch
@pytest.mark.gym
def test_the_command_writes_the_plan_and_says_what_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("stable_baselines3")
    pytest.importorskip("Box2D")
    path = tmp_path / "ours.yaml"
    path.write_text(dump(CONFIG))
    words = ["claim", "sooner", "--ours", str(path), "--tasks", "lunarlander", "--seeds", "0-2"]
    words += ["--steps", "1000", "--out", str(tmp_path)]
    assert main(words) == 0
    told = capsys.readouterr().out
    claim = open_claim(tmp_path / "sooner")
    assert claim.plan.hash in told and not claim.broken
    assert f"python -m curriculum run {path} --tasks lunarlander --seeds 0,1,2" in told
    assert "--algo ppo --setting same --steps 1000 --episodes 20" in told
    pinned = claim.plan.theirs["lunarlander"]
    assert pinned["steps"] == 16384 and pinned["settings"]["n_steps"] == 1024
    assert not {"device", "torch", "threads"} & pinned.keys()
    assert claim.plan.config() == CONFIG
    assert main([*words, "--times", "2"]) == 2
    assert "a claim is never changed" in capsys.readouterr().err


def test_scores_are_not_claimed_to_be_so_many_times_higher(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["claim", "x", "--ours", "none.yaml", "--tasks", "pong", "--seeds", "0"]
    words += ["--steps", "9", "--metric", "score", "--times", "2", "--out", str(tmp_path)]
    assert main(words) == 2
    assert "scores are claimed to be higher" in capsys.readouterr().err
