"""Ablations: each differs from the full agent in what it says, and the table tells what ran."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from baselines.__main__ import main
from baselines.ablate import ABLATIONS, FULL, Study, ablate, ablation_text, run_curriculum, study_of
from curriculum.cli.main import main as curriculum
from curriculum.config.loading import changed_keys
from curriculum.errors import ConfigError, ExitCode
from curriculum.records.rundir import RunDir
from curriculum.tasks import load_config

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ROOT / "configs" / "default.yaml"
POLE = """
name: pole
collect: {num_random_rollouts: 4, max_steps_per_rollout: 40}
mdnrnn: {max_steps: 2, batch_size: 4, sequence_length: 8, rnn_size: 16}
controller: {solver: ppo, features: [z, dz, h], hidden_sizes: [8], check_episodes: 1}
ppo: {minibatch_size: 16}
training: {num_envs: 4, num_steps: 8}
env: {num_envs: 4, max_episode_steps: 40}
curriculum: {workers: 0}
tasks: {pole: {env_id: CartPole-v1, observation: state, target: 500}}
"""


def study(
    out: Path, names: tuple[str, ...] = (), task: str = "pong", config: Path = DEFAULT
) -> Study:
    return study_of(config, task, names, (0, 1), 64, 2, out)


@pytest.mark.parametrize("name", [name for name in ABLATIONS if name != FULL])
def test_an_ablation_changes_what_it_says_and_nothing_else(name: str, tmp_path: Path) -> None:
    full, without = (
        load_config(DEFAULT, [w for w in study(tmp_path).command(n, 0) if "=" in w])
        for n in (FULL, name)
    )
    assert set(changed_keys(full, without)) == {f"tasks.pong.{k}" for k in ABLATIONS[name].sets}


def test_every_run_spends_its_steps_and_is_checked_once(tmp_path: Path) -> None:
    words = study(tmp_path).command("linear", 1)
    task = next(
        t for t in load_config(DEFAULT, [w for w in words if "=" in w]).tasks if t.name == "pong"
    )
    assert task.training.total_steps == 64 and task.evaluate.episodes == 2 and task.evaluate.both
    best = 21.0
    assert task.target + task.training.check_margin * task.target > best, (
        "no training score calls for one"
    )


def test_the_full_agent_comes_first_and_the_others_take_over_from_it(tmp_path: Path) -> None:
    started: list[list[str]] = []

    def start(words) -> int:
        started.append(list(words))
        directory = Path(words[words.index("--run-dir") + 1])
        if not RunDir.exists(directory):
            RunDir.create(directory, "", {"id": "any"})
        return ExitCode.TARGET_MISSED

    assert ablate(study(tmp_path, ("linear",)), start) == ExitCode.OK
    where = [Path(words[words.index("--run-dir") + 1]).name for words in started]
    assert where == ["pong-full-seed0", "pong-linear-seed0", "pong-full-seed1", "pong-linear-seed1"]
    forks = [words[words.index("--fork") + 1] if "--fork" in words else None for words in started]
    assert forks == [None, str(tmp_path / where[0]), None, str(tmp_path / where[2])]
    ablate(study(tmp_path, ("linear",)), start)
    assert not any("--fork" in words for words in started[4:]), "begun runs go on by themselves"


def test_a_run_that_stops_stops_the_rest(tmp_path: Path) -> None:
    codes = iter([0, 75])
    assert ablate(study(tmp_path, ("linear",)), lambda words: next(codes)) == ExitCode.RESUMABLE
    assert next(codes, "both were used") == "both were used"
    text = ablation_text(study(tmp_path, ("linear",)))
    assert text.count("not run") == 4


@pytest.mark.parametrize(
    ("task", "names", "words"),
    [
        ("chess", (), "no task 'chess'"),
        ("pong", ("nothing",), "no ablation 'nothing': it has full, no-coarse"),
        ("lunarlander", ("plain-mse",), "no ablation 'plain-mse'"),
        ("lunarlander", ("fresh-noise",), "no ablation 'fresh-noise'"),
        ("carracing", (), "does not learn by PPO"),
    ],
)
def test_what_cannot_be_ablated_is_told(
    task: str, names: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        study(tmp_path, names, task)


def test_what_a_task_does_not_do_cannot_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "pole.yaml").write_text(POLE, encoding="utf-8")
    for name in ("no-reuse", "fresh-noise", "no-coarse"):
        with pytest.raises(ConfigError, match=f"no ablation '{name}'"):
            study(tmp_path, (name,), "pole", tmp_path / "pole.yaml")


def test_exit_codes_of_the_program_come_through(capfd: pytest.CaptureFixture) -> None:
    assert run_curriculum(["validate", str(DEFAULT)]) == 0
    assert run_curriculum(["validate", "nowhere.yaml"]) == 2
    assert "$ python -m curriculum validate nowhere.yaml" in capfd.readouterr().err


def test_an_interval_tells_how_much_seeds_differ_and_not_how_exactly_each_was_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    means = {0: -7.4, 1: 5.0, 2: 17.4}

    def found(directory: Path, task: str) -> tuple[dict[str, np.ndarray], float]:
        around = means[int(directory.name[-1])] + np.tile([-1.0, 1.0], 500)
        return {"greedy": around, "sampled": around}, 250_000.0

    monkeypatch.setattr("baselines.ablate._scores", found)
    three = study_of(DEFAULT, "pong", [], (0, 1, 2), 64, 2, tmp_path)
    row = next(line for line in ablation_text(three).splitlines() if "| greedy |" in line)
    expected = ["-7.4, 5.0, 17.4", "5.0", "[-7.4, 17.4]", "12.4, 1.0", "250,000"]
    assert row.split(" | ")[2:] == [*expected[:-1], f"{expected[-1]} |"]


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.gym
def test_real_runs_end_in_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("baselines.ablate.run_curriculum", lambda words: curriculum([*words]))
    (tmp_path / "pole.yaml").write_text(POLE, encoding="utf-8")
    command = ["ablate", "linear", "random-memory", "--config", str(tmp_path / "pole.yaml")]
    command += ["--task", "pole", "--seeds", "0,1", "--steps", "96", "--episodes", "3"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "ablations-pole.md").read_text(encoding="utf-8")
    assert text in capsys.readouterr().out
    rows = [line for line in text.splitlines() if "| greedy |" in line or "| sampled |" in line]
    assert len(rows) == 6 and not any("not run" in row for row in rows)
    both_seeds = [row.split("|")[3] for row in rows]
    assert all(scores.count(",") == 1 for scores in both_seeds)
    assert all("| too few seeds |" in row for row in rows), "two say nothing of a third"
    ledger = (tmp_path / "out" / "pole-linear-seed1" / "events.jsonl").read_text(encoding="utf-8")
    assert '"updates": 3' in ledger, "96 steps are three rollouts"
