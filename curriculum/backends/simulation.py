"""SIMULATION: numpy re-creations of the games and a world model that needs nothing but numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from curriculum.backends import parts
from curriculum.backends.backend import Backend, Notice, Replacement
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import Screen, VectorEnv
from curriculum.envs.simulation import make_simulation, screen_of
from curriculum.mode import Mode


def simulated_env(
    task: TaskConfig,
    num_envs: int,
    notice: Notice,
    *,
    workers: int = 0,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> VectorEnv:
    """Builds the numpy re-creation of a task's environment, always in this process."""
    del workers, on_event
    name = task.env.simulation
    notice(f"{task.name}: simulation/{name} stands in for {task.env_id}")
    return make_simulation(name, num_envs, **_options(task))


def simulated_screen(task: TaskConfig) -> Screen | None:
    """Builds what shows a task's simulated game as it is; None where it has no pixels."""
    return screen_of(task.env.simulation, **_options(task))


def _options(task: TaskConfig) -> dict[str, Any]:
    env = task.env
    return {
        "observation": "state" if task.observation == "state" else "pixels",
        "grayscale": env.grayscale,
        "max_episode_steps": env.max_episode_steps,
        "continuous": env.continuous,
        "actions": env.actions,
        "frame_stack": env.frame_stack,
    }


def build(states: Mapping[str, str], device: str) -> Backend:
    """Returns the backend of SIMULATION; neither probes nor `device` concern it."""
    del states, device
    return Backend(
        mode=Mode.SIMULATION,
        environment="simulation",
        make_env=simulated_env,
        make_screen=simulated_screen,
        make_vision=parts.numpy_vision,
        make_memory=parts.numpy_memory,
        make_controller=parts.numpy_controller,
        make_solver=parts.numpy_solver,
        replacements=(
            Replacement(
                component="environment",
                reason="",
                replacement="a numpy re-creation of the game, numpy V, M, C and ES",
                consequence="scores are of the simulation and say nothing about the real game",
            ),
        ),
    )
