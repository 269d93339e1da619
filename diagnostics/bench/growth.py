"""Resident memory while environments are stepped: what leaks shows, what is recycled too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import psutil

from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import VectorEnv
from curriculum.envs.simulation import SIMULATIONS, make_simulation
from curriculum.errors import ComponentMissing
from curriculum.tasks import builtin_tasks

STEPS = 100_000
WARM_UP = 10_000
NOISE_MIB = 16.0
"""Allocators keep what was freed; growth below this says nothing."""

_MIB = 2**20
_IN_PROCESS_TOO = ("LunarLander-v3",)


@dataclass(frozen=True)
class Growth:
    """Resident memory of a process and its children around so many environment steps.

    Attributes:
        name: the environment.
        steps: environment steps, all environments of the batch together.
        before_mib, after_mib: MiB after a warm-up, and after the steps.
        recycled: workers that were replaced because they had grown.
    """

    name: str
    steps: int
    before_mib: float
    after_mib: float
    recycled: int = 0

    @property
    def growth_mib(self) -> float:
        return self.after_mib - self.before_mib

    @property
    def within_noise(self) -> bool:
        return self.growth_mib <= NOISE_MIB


def grow(name: str, env: VectorEnv, steps: int = STEPS, warm_up: int = WARM_UP) -> Growth:
    """Steps a batch with random actions, episodes starting again as they end.

    Args:
        name: for the table.
        env: the batch; it is not closed.
        steps: environment steps in all.
        warm_up: environment steps before memory is looked at first.
    """
    rng = np.random.default_rng(0)
    env.reset(range(env.num_envs))
    play(env, rng, warm_up)
    before = resident_mib()
    play(env, rng, steps)
    return Growth(name, steps, before, resident_mib())


def growths(steps: int = STEPS, warm_up: int = WARM_UP) -> Iterator[Growth]:
    """Yields the growth of each environment: real ones that can be made, simulations always.

    Args:
        steps: environment steps of each.
        warm_up: environment steps before memory is looked at first.
    """
    for name in SIMULATIONS:
        env = make_simulation(name, 16)
        yield grow(f"simulation/{name}", env, steps, warm_up)
    for task in builtin_tasks():
        for workers in (0, 2) if task.env_id in _IN_PROCESS_TOO else (2,):
            with suppress(ComponentMissing):
                yield _grow_real(task, workers, steps, warm_up)


def _grow_real(task: TaskConfig, workers: int, steps: int, warm_up: int) -> Growth:
    from curriculum.envs.registry import make_env

    recycled: list[str] = []
    env = make_env(
        task.env_id,
        task.observation,
        16,
        frame_skip=task.env.frame_skip,
        grayscale=task.env.grayscale,
        workers=workers,
        on_event=lambda event: recycled.append(str(event["event"])),
    )
    try:
        where = "" if "NoFrameskip" in task.env_id else f", {workers or 'no'} workers"
        growth = grow(f"{task.env_id}{where}", env, steps, warm_up)
    finally:
        env.close()
    return replace(growth, recycled=recycled.count("env_worker_recycled"))


def play(env: VectorEnv, rng: np.random.Generator, steps: int) -> None:
    """Takes so many random steps, all environments together."""
    for _ in range(-(-steps // env.num_envs)):
        actions = np.stack([env.spec.action.sample(rng) for _ in range(env.num_envs)])
        step = env.step(actions)
        over = np.flatnonzero(step.terminated | step.truncated)
        if over.size:
            env.reset(None, over.tolist())


def resident_mib() -> float:
    """Returns the resident memory of this process and its children in MiB."""
    here = psutil.Process()
    return sum(p.memory_info().rss for p in [here, *here.children(recursive=True)]) / _MIB
