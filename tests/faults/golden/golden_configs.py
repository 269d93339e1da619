"""Whole runs of seconds, one for every way through the program that has a state of its own."""

from __future__ import annotations

BUDGETS = """\
seed: 3
env: {num_envs: 2, max_episode_steps: 40}
collect: {num_random_rollouts: 4, num_policy_rollouts: 3, max_steps_per_rollout: 30}
vae: {epochs: 8, max_steps: 30, batch_size: 4}
mdnrnn: {epochs: 30, max_steps: 30, batch_size: 1, sequence_length: 4, rnn_size: 16}
dream: {max_steps: 20}
evaluate: {episodes: 3}
"""

SEARCH = """\
controller:
  population_size: 4
  rollouts_per_candidate: 1
  generations: 3
  max_steps_per_rollout: 30
  check_every: 2
  check_episodes: 2
  train_in_dream: %s
"""

PRACTICE = """\
ppo:
  minibatch_size: 16
  epochs: 2

training:
  num_envs: 3
  num_steps: 16
  total_steps: 200
  reseed_steps: 20
  patience: 1
"""

REPLAY = """\
replay:
  learning_starts: 40
  batch_size: 8
  num_steps: 2
  updates_per_step: 0.25
  epsilon: 0.1
  epsilon_steps: 40

sac: {critic_sizes: [16]}
"""

PLUGIN = '''\
import gymnasium
import numpy as np
from curriculum.envs.registry import register_env


class Dot(gymnasium.Env):
    """A dot to be kept in the middle of a picture."""

    observation_space = gymnasium.spaces.Box(0, 255, (16, 16, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, **kwargs):
        self.at = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at, self.steps = int(self.np_random.integers(4, 12)), 0
        return self._picture(), {}

    def step(self, action):
        self.steps += 1
        self.at = int(np.clip(self.at + (1 if action else -1), 0, 15))
        reward = 1.0 - abs(self.at - 8) / 8
        return self._picture(), reward, self.at in (0, 15), self.steps == 40, {}

    def _picture(self):
        picture = np.zeros((16, 16, 3), np.uint8)
        picture[6:10, max(self.at - 2, 0) : self.at + 2] = 255
        return picture


register_env("Dot-v0", Dot)
'''


def config(
    mode: str,
    tasks: str,
    *,
    rounds: int = 1,
    dream: bool = False,
    solver: str = "",
    more: str = "",
) -> str:
    """Returns the YAML of a run that commits at every barrier when `golden_driver` runs it.

    Without a solver that learns by gradients C is searched.
    """
    keys = f"mode: {mode}, tasks: [{tasks}], rounds: {rounds}, commit_seconds: 1, {more}"
    head = f"name: golden\ncurriculum: {{{keys}}}\n"
    practice = f"  solver: {solver}\n  polish_generations: 2\n  features: [z, dz, h]\n" + PRACTICE
    practice += "" if solver == "ppo" else REPLAY
    return head + BUDGETS + SEARCH % str(dream).lower() + (practice if solver else "")


POLE = "tasks:\n  pole: {env_id: CartPole-v1, observation: state, target: 500}\n"
SWING = "tasks:\n  swing: {env_id: Pendulum-v1, observation: state, target: 0}\n"
DOT = "tasks:\n  dot: {env_id: Dot-v0, observation: pixels, target: 500}\n"

SIMULATED_STATE = config("SIMULATION", "lunarlander", rounds=2, more="workers: 0")
SIMULATED_PIXELS = config("SIMULATION", "pong", dream=True, more="workers: 0")
GYM_STATE = config("GYM_ONLY", "pole", rounds=2, more="workers: 0, device: cpu") + POLE
FULL_STATE = config("FULL", "pole", rounds=2, dream=True, more="workers: 0, device: cpu") + POLE
FULL_PIXELS = config("FULL", "dot", more="workers: 0, device: cpu, plugins: [dot_plugin]") + DOT
DOTS = DOT + "  spot: {env_id: Dot-v0, observation: pixels, target: 500}\n"
TRANSFER = "workers: 0, device: cpu, plugins: [dot_plugin], transfer: world"

SIMULATED_ATTEMPTS = config("SIMULATION", "lunarlander", more="workers: 0, attempts: 2")
FULL_TRANSFER = config("FULL", "dot, spot", more=TRANSFER) + DOTS
FULL_PPO = config("FULL", "pole", rounds=2, solver="ppo", more="workers: 0, device: cpu") + POLE
FULL_QRDQN = config("FULL", "pole", rounds=2, solver="qrdqn", more="workers: 0, device: cpu") + POLE
FULL_SAC = config("FULL", "swing", rounds=2, solver="sac", more="workers: 0, device: cpu") + SWING
