"""`contract`: tries whether a V, an M or a solver of one's own keeps to what is promised of it."""

from __future__ import annotations

import argparse
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from curriculum.backends.backend import import_plugins
from curriculum.backends.own import find
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.lists import names
from curriculum.tasks import builtin_tasks
from models.selftest.policies import check_solver
from models.selftest.world_model import SIDE, check_memory, check_vision

SEED = 1
LATENTS, ACTIONS, PARAMETERS = 2, 2, 6
"""Of what M is tried with, and of what a solver searches."""


def main(args: argparse.Namespace) -> int:
    """Runs `diagnostics contract`; returns its exit code."""
    import_plugins(names(args.plugins) if args.plugins else ())
    make = find(args.kind, args.name)
    try:
        return _CHECKS[args.kind](args.name, make, args.updates)
    except Exception:  # noqa: BLE001 - whatever it raises is what was looked for
        traceback.print_exc()
        print(f"{args.name}: FAILED: it raised what is above")
        return 1


def _vision(name: str, make: Callable, updates: int) -> int:
    spec = EnvSpec("contract", "pixels", (SIDE, SIDE, 1), ActionSpec("discrete", ACTIONS))
    return check_vision(name, partial(make, _task(), spec, SEED), updates)


def _memory(name: str, make: Callable, updates: int) -> int:
    return check_memory(name, partial(make, _task(), LATENTS, ACTIONS, SEED), updates)


def _solver(name: str, make: Callable, updates: int) -> int:
    start = np.zeros(PARAMETERS), np.ones(PARAMETERS)
    return check_solver(name, partial(make, _task(), *start, SEED), updates)


def _task() -> TaskConfig:
    """Returns a task with small parts, whose settings a factory may read."""
    task = builtin_tasks()[0]
    vae = replace(task.vae, model=replace(task.vae.model, z_dim=16, channels=(16, 32)))
    mdnrnn = replace(task.mdnrnn, model=replace(task.mdnrnn.model, rnn_size=32))
    return replace(task, vae=vae, mdnrnn=mdnrnn)


_CHECKS: dict[str, Callable[[str, Callable, int], int]] = {
    "vision": _vision,
    "memory": _memory,
    "solver": _solver,
}
