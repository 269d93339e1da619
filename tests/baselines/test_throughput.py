"""Ours and a learner of Stable-Baselines3's learn in the same turns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from baselines.__main__ import main
from tests.cli.conftest import commands_in

pytestmark = [pytest.mark.slow, pytest.mark.torch, pytest.mark.gym]


def test_both_are_measured_and_our_time_is_accounted_for(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("stable_baselines3")
    out = tmp_path / "figures.json"
    command = ["throughput", "--pretrained", "lunarlander", "--repeats", "1", "--json", str(out)]
    assert main(command) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    ours, rival = found["figures"]
    assert ours["implementation"] == "ours" and rival["implementation"].startswith("SB3 PPO")
    assert ours["median"] > 0 and rival["median"] > 0
    (ratio,) = ours["ratios"]
    assert ratio["median"] == pytest.approx(ours["median"] / rival["median"])
    assert {"environment", "learning", "perception"} <= set(found["shares"])
    assert sum(found["shares"].values()) == pytest.approx(1.0)
    assert "where ours spent its time" in capsys.readouterr().out


TINY = """\
name: {name}
curriculum: {{mode: FULL, tasks: [{task}], workers: 0}}
env: {{num_envs: 4}}
collect: {{num_random_rollouts: 4, max_steps_per_rollout: 40}}
mdnrnn: {{epochs: 1, max_steps: 3, batch_size: 8, sequence_length: 16}}
evaluate: {{episodes: 1}}
tasks:
  breakout:
    vae: {{max_steps: 4, batch_size: 8, joint_updates: 1, joint_envs: 2, joint_steps: 200}}
    controller: {{solver: qrdqn, features: [z, dz], check_episodes: 1}}
    replay: {{learning_starts: 40, batch_size: 16, updates_per_step: 0.25}}
    training: {{num_envs: 4, num_steps: 8, total_steps: 128}}
  lunarlander:
    controller: {{solver: auto, population_size: 4, generations: 1, hidden_sizes: [],
      max_steps_per_rollout: 20, check_every: 0, check_episodes: 1}}
"""


def learned(directory: Path, task: str) -> Path:
    """A run in which one task was learned for seconds."""
    config, run = directory / "tiny.yaml", directory / task
    config.write_text(TINY.format(name=task, task=task), encoding="utf-8")
    done = commands_in(directory)("run", str(config), "--run-dir", str(run))
    assert done.code == 3, done.err
    return run


def test_what_learns_from_a_replay_runs_beside_dqn_and_v_learns_along(tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    out = tmp_path / "figures.json"
    run = learned(tmp_path, "breakout")
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    assert main(["throughput", str(run), "--repeats", "1", "--json", str(out)]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    ours, rival = found["figures"]
    assert rival["implementation"].startswith("SB3 DQN, CnnPolicy") and rival["median"] > 0
    assert ours["median"] > 0 and {"environment", "learning", "perception"} <= set(found["shares"])
    assert before == {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}, "it is only read"


def test_a_searched_controller_has_no_pace_to_compare(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("stable_baselines3")
    run = learned(tmp_path, "lunarlander")
    assert main(["throughput", str(run), "--repeats", "1"]) == 2
    assert "is searched, not learned by gradients" in capsys.readouterr().err


def test_an_unknown_agent_is_refused(capsys: pytest.CaptureFixture) -> None:
    assert main(["throughput", "--pretrained", "chess"]) == 2
    assert "no agent 'chess'" in capsys.readouterr().err
