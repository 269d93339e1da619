"""The four rungs of the curriculum and what each needs of the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from curriculum.config import loading
from curriculum.config.schema import Config, EnvConfig, TaskConfig
from curriculum.config.shipped import find
from curriculum.errors import ConfigError
from curriculum.mode import TaskNeeds

BUILTIN: dict[str, dict[str, Any]] = {
    "pong": {
        "env_id": "PongNoFrameskip-v4",
        "observation": "pixels",
        "target": 18.0,
        "simulation_target": 1.0,
        "env": {"simulation": "pong", "frame_skip": 4, "grayscale": True},
    },
    "lunarlander": {
        "env_id": "LunarLander-v3",
        "observation": "state",
        "target": 200.0,
        "simulation_target": 150.0,
        "env": {"simulation": "lunarlander"},
    },
    "breakout": {
        "env_id": "BreakoutNoFrameskip-v4",
        "observation": "pixels",
        "target": 300.0,
        "simulation_target": 20.0,
        "env": {"simulation": "breakout", "frame_skip": 4, "grayscale": True},
    },
    "carracing": {
        "env_id": "CarRacing-v3",
        "observation": "pixels",
        "target": 900.0,
        "simulation_target": 500.0,
        "env": {"simulation": "carracing", "frame_skip": 4, "grayscale": False},
    },
}
"""What the four tasks are where a configuration says nothing else; keys as in `TaskConfig`."""


def needs_of(task: TaskConfig) -> TaskNeeds:
    """Names the components a task needs, from its environment id and what its agent sees."""
    world_model = (
        ("torch", "vae", "mdnrnn") if task.observation == "pixels" else ("torch", "mdnrnn")
    )
    if task.controller.type == "original":
        world_model += ("controller",)
    return TaskNeeds(
        environment=_environment_components(task.env_id),
        world_model=world_model,
        simulated=bool(task.env.simulation),
    )


def needs_to_play(task: TaskConfig, dreaming: bool = False) -> TaskNeeds:
    """Names the components that playing a learned agent needs: M only if C reads it, or dreams."""
    needs = needs_of(task)
    if dreaming or "h" in task.controller.features:
        return needs
    return replace(needs, world_model=tuple(c for c in needs.world_model if c != "mdnrnn"))


_PLACED = {"k": "z", "dk": "dz"}
"""Features that are made of V's key points, and what they are where it has none."""


def reads_key_points(task: TaskConfig) -> bool:
    """Tells whether C is to read key points, whether there are any or not."""
    return not _PLACED.keys().isdisjoint(task.controller.features)


def without_key_points(features: Sequence[str]) -> tuple[str, ...]:
    """Returns what C reads where there are no key points: all latents instead."""
    return tuple(dict.fromkeys(_PLACED.get(name, name) for name in features))


def _environment_components(env_id: str) -> tuple[str, ...]:
    atari = ("NoFrameskip", "Deterministic")
    if env_id.startswith(("ALE/", "Pong", "Breakout")) or any(kind in env_id for kind in atari):
        return ("gymnasium", "ale_py")
    if env_id.startswith("CarRacing"):
        return ("gymnasium", "box2d", "pygame")
    if env_id.startswith(("LunarLander", "BipedalWalker")):
        return ("gymnasium", "box2d")
    return ("gymnasium",)


def load_config(
    path: Path,
    sets: Sequence[str] = (),
    preset: str | None = None,
    notice: Callable[[str], None] = lambda text: None,
) -> Config:
    """Reads a configuration that may name the four built-in tasks; see `config.loading`.

    A name such as `default` is that of one that comes with the package.
    """
    return loading.load_config(find(path), sets, preset, BUILTIN, notice)


def builtin_tasks() -> tuple[TaskConfig, ...]:
    """Returns the four tasks as they are where no configuration changes them."""
    tasks = []
    for name, given in BUILTIN.items():
        values = dict(given)
        tasks.append(TaskConfig(name=name, env=EnvConfig(**values.pop("env")), **values))
    return tuple(tasks)


def chosen(config: Config, names: Sequence[str]) -> list[TaskConfig]:
    """Returns the tasks of a run by name, all of them without names.

    Raises:
        ConfigError: the run has no such task.
    """
    tasks = {task.name: task for task in config.tasks}
    for name in names:
        if name not in tasks:
            raise ConfigError(f"this run has no task {name!r}: it has {', '.join(tasks)}")
    return [tasks[name] for name in names] if names else list(tasks.values())
