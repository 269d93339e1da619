"""Agents of a test's own: they have seen a little of the simulation, and know nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from curriculum.agent.agent import Agent
from curriculum.backends import simulation
from curriculum.backends.backend import Backend
from curriculum.config.schema import TaskConfig
from curriculum.tasks import load_config

TASKS = {task.name: task for task in load_config(Path("default")).tasks}


def agent_in(backend: Backend, task: TaskConfig, *, steps: int, seed: int = 0) -> Agent:
    """An agent with a backend's parts in simulated environments, its C with random weights.

    Args:
        backend: whose V, M and C it has.
        task: what it plays.
        steps: of eight environments, after each of which V learns.
        seed: of what is random.
    """
    backend = replace(backend, make_env=simulation.simulated_env)
    spec = backend.make_env(task, 1, lambda text: None).spec
    agent = Agent.build(backend, task, spec, rng=np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    env = agent.make_env(8)
    before = env.reset(list(range(8)))
    for _ in range(steps):
        seen = env.step(np.stack([spec.action.sample(rng) for _ in range(8)])).observations
        agent.world.vision.update(seen, before, rng)
        before = seen
    env.close()
    agent.world.vision.finish()
    size = agent.controller.num_parameters
    agent.controller.set_parameters(0.2 * rng.standard_normal(size).astype(np.float32))
    return agent
