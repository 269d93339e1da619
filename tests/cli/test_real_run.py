"""Whole runs on real environments, with budgets of seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.torch, pytest.mark.gym, pytest.mark.slow]

BUDGETS = """\
env: {num_envs: 4}
collect: {num_random_rollouts: 4, max_steps_per_rollout: 40}
vae: {epochs: 1, max_steps: 4, batch_size: 32}
mdnrnn: {epochs: 1, max_steps: 3, batch_size: 8, sequence_length: 16}
controller:
  {population_size: 4, rollouts_per_candidate: 1, generations: 2, train_in_dream: true,
   max_steps_per_rollout: 40, check_every: 0, check_episodes: 1}
dream: {max_steps: 20}
evaluate: {episodes: 1}
"""

STAGES = ["collect", "vision", "encode", "memory", "controller", "evaluate"]


def stages(run: Path, task: str) -> list[tuple[str, int, str]]:
    lines = (run / "events.jsonl").read_text(encoding="utf-8").splitlines()
    events = [e for e in map(json.loads, lines) if e["event"] == "stage_done" and e["task"] == task]
    return [(e["mode"], e["round"], e["stage"]) for e in events]


def test_pixels_walk_all_stages_in_full_with_rounds_videos_and_workers(
    curriculum, tmp_path: Path
) -> None:
    text = "name: real\ncurriculum: {mode: FULL, tasks: [pong], rounds: 2, workers: 2}\n" + BUDGETS
    (tmp_path / "real.yaml").write_text(text, encoding="utf-8")
    done = curriculum("run", "real.yaml", "--save-videos", "--json")
    assert done.code == 3, done.err
    run = tmp_path / "runs" / "real"
    assert stages(run, "pong") == [("FULL", r, s) for r in (0, 1) for s in STAGES]
    names = {path.suffix for path in (run / "media").rglob("*") if path.is_file()}
    assert {".gif", ".png"} <= names
    verdict = json.loads(done.out)["verdicts"][0]
    assert verdict["env_steps"] >= 160 and verdict["dream_steps"] > 0

    played = curriculum("play", str(run), "--dream", "--gif", "dream.gif")
    assert played.code == 0, played.err
    assert (tmp_path / "dream.gif").read_bytes()[:4] == b"GIF8"


def test_any_gymnasium_id_is_a_task_from_yaml_alone(curriculum, tmp_path: Path) -> None:
    task = "tasks:\n  pole: {env_id: CartPole-v1, observation: state, target: 5}\n"
    text = "name: own\ncurriculum: {tasks: [pole], workers: 0}\n" + BUDGETS + task
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    done = curriculum("run", "own.yaml", "--json")
    assert done.code == 0, done.err
    verdict = json.loads(done.out)["verdicts"][0]
    assert (verdict["verdict"], verdict["mode"]) == ("passed", "FULL")


PLUGIN = '''
import gymnasium
import numpy as np
from curriculum.envs.registry import register_env


class Line(gymnasium.Env):
    """Walk right for ten steps."""

    observation_space = gymnasium.spaces.Box(-20.0, 20.0, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, **kwargs):
        self.at = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.steps = 0, 0
        return np.array([0.0], np.float32), {}

    def step(self, action):
        self.at += 1 if action == 1 else -1
        self.steps += 1
        return np.array([self.at], np.float32), float(action == 1), self.steps == 10, False, {}


register_env("Line-v0", Line)
'''


@pytest.mark.parametrize("workers", [0, 2])
def test_a_plugin_registers_an_environment_by_one_call(
    curriculum, tmp_path: Path, workers: int
) -> None:
    (tmp_path / "line_plugin.py").write_text(PLUGIN, encoding="utf-8")
    text = (
        "name: plugged\n"
        f"curriculum: {{tasks: [line], workers: {workers}, plugins: [line_plugin]}}\n"
        + BUDGETS
        + "tasks:\n  line: {env_id: Line-v0, observation: state, target: 0}\n"
    )
    (tmp_path / "plugged.yaml").write_text(text, encoding="utf-8")
    done = curriculum("run", "plugged.yaml", "--mode", "GYM_ONLY", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["verdicts"][0]["env_id"] == "Line-v0"
