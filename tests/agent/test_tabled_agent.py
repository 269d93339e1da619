"""An agent that chooses among action vectors: run, handed on, opened and played as any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curriculum.agent import load_agent
from curriculum.agent.dream_env import DreamEnv
from curriculum.cli.main import main
from curriculum.envs.export.single import ExportedEnv
from curriculum.pretrained.bundle import load

pytestmark = pytest.mark.gym

SWING = """\
name: swing
curriculum: {mode: GYM_ONLY, workers: 0}
collect: {num_random_rollouts: 4, max_steps_per_rollout: 30}
mdnrnn: {rnn_size: 8, sequence_length: 4}
controller: {population_size: 4, generations: 1, rollouts_per_candidate: 1, check_episodes: 2}
evaluate: {episodes: 2}
tasks:
  pendulum:
    env_id: Pendulum-v1
    observation: state
    target: 0
    env: {num_envs: 2, max_episode_steps: 40, actions: [[-2], [0], [2]]}
"""


def test_a_table_of_actions_goes_where_its_agent_goes(tmp_path: Path) -> None:
    (tmp_path / "swing.yaml").write_text(SWING)
    run, handed = tmp_path / "swing", tmp_path / "handed on"
    assert main(["run", str(tmp_path / "swing.yaml"), "--run-dir", str(run), "--quiet"]) == 3
    assert main(["export", str(run), "--to", str(handed)]) == 0
    assert load(handed).task.env.actions == ((-2.0,), (0.0,), (2.0,))
    agent = load_agent(handed)
    assert agent.spec.action.size == 3 and agent.spec.action.kind == "discrete"
    env = ExportedEnv(agent.make_env())
    seen, _ = env.reset(seed=1)
    agent.begin()
    action = agent.act(seen)
    assert isinstance(action, np.int64) and env.action_space.contains(action)
    env.step(action)
    env.close()
    assert DreamEnv.from_run(run, max_steps=3).action_space == env.action_space
    assert main(["play", "--pretrained", str(handed)]) == 0
    assert main(["evaluate", "--pretrained", str(handed), "--episodes", "2", "--quiet"]) == 3
