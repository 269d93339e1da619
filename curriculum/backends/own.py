"""Parts of one's own: a V, an M or a solver by its name, from a plugin or an installed package.

A plugin registers one as it is imported (`curriculum.plugins`):

    register_vision("mine", lambda task, spec, seed: MyVision(spec.shape, seed))

An installed package names its own in its `pyproject.toml`, and nothing has to be imported:

    [project.entry-points."world_models_curriculum.visions"]
    mine = "my_package:make_vision"

`vae.kind`, `mdnrnn.kind` and `controller.solver_kind` choose it. What it has to keep to is in
`models.interfaces`; `python -m diagnostics contract vision mine` tries whether it does.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import entry_points
from typing import Any, Literal

import numpy as np

from curriculum.backends.backend import Backend
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import EnvSpec
from curriculum.errors import ConfigError
from models.interfaces import Memory, Solver, Vision

Kind = Literal["vision", "memory", "solver"]
VisionFactory = Callable[[TaskConfig, EnvSpec, int], Vision]
MemoryFactory = Callable[[TaskConfig, int, int, int], Memory]
SolverFactory = Callable[[TaskConfig, np.ndarray, np.ndarray, int], Solver]

GROUPS: dict[Kind, str] = {
    "vision": "world_models_curriculum.visions",
    "memory": "world_models_curriculum.memories",
    "solver": "world_models_curriculum.solvers",
}
"""Of entry points."""
KEYS: dict[Kind, str] = {
    "vision": "vae.kind",
    "memory": "mdnrnn.kind",
    "solver": "controller.solver_kind",
}

_REGISTERED: dict[Kind, dict[str, Callable[..., Any]]] = {kind: {} for kind in GROUPS}


def register_vision(name: str, make: VisionFactory) -> None:
    """Makes a V known: `make(task, env_spec, seed)`, in place of any other of that name."""
    _REGISTERED["vision"][name] = make


def register_memory(name: str, make: MemoryFactory) -> None:
    """Makes an M known: `make(task, latent_size, action_size, seed)`."""
    _REGISTERED["memory"][name] = make


def register_solver(name: str, make: SolverFactory) -> None:
    """Makes a solver known: `make(task, mean, scales, seed)`; it asks, and is told scores."""
    _REGISTERED["solver"][name] = make


def find(kind: Kind, name: str) -> Callable[..., Any]:
    """Returns what builds a part.

    Args:
        kind: of part.
        name: it was registered by, or has as an entry point.

    Raises:
        ConfigError: there is none of that name, or what an entry point names cannot be imported.
    """
    if name in _REGISTERED[kind]:
        return _REGISTERED[kind][name]
    offered = entry_points(group=GROUPS[kind])
    for point in offered:
        if point.name == name:
            try:
                return point.load()
            except (Exception, SystemExit) as e:
                raise ConfigError(
                    f"{KEYS[kind]} names {name}, which {point.value} was to be and cannot be "
                    f"imported: {type(e).__name__}: {e}"
                ) from e
    known = sorted({*_REGISTERED[kind], *(point.name for point in offered)})
    close = difflib.get_close_matches(name, known, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    raise ConfigError(
        f"{KEYS[kind]} was {name!r}, but no {kind} of that name is registered: there are "
        f"{', '.join(known) or 'none'}{meant}; name the module that registers it in "
        f"curriculum.plugins"
    )


def with_own_parts(backend: Backend) -> Backend:
    """Returns a backend that builds a task's own parts where it asks for some."""

    def vision(task: TaskConfig, spec: EnvSpec, seed: int) -> Vision:
        make = find("vision", task.vae.kind) if task.vae.kind else backend.make_vision
        return make(task, spec, seed)

    def memory(task: TaskConfig, latents: int, actions: int, seed: int) -> Memory:
        make = find("memory", task.mdnrnn.kind) if task.mdnrnn.kind else backend.make_memory
        return make(task, latents, actions, seed)

    def solver(task: TaskConfig, mean: np.ndarray, scales: np.ndarray, seed: int) -> Solver:
        kind = task.controller.solver_kind
        make = find("solver", kind) if kind else backend.make_solver
        return make(task, mean, scales, seed)

    return replace(backend, make_vision=vision, make_memory=memory, make_solver=solver)
