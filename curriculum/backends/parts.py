"""Constructors that more than one mode uses, each from plain configuration values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from curriculum.backends.backend import Notice, Replacement
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import ActionSpec, EnvSpec, Screen, VectorEnv
from curriculum.mode import USABLE_STATES
from models.controller_cpu import CPUController, PolicyShape
from models.echo import EchoMemory
from models.interfaces import Controller, Memory, Solver, Vision
from models.normaliser import StateVision
from models.pca import PCAVision
from models.search.evolution import EvolutionStrategy


def real_env(
    task: TaskConfig,
    num_envs: int,
    notice: Notice,
    *,
    workers: int = 0,
    on_event: Callable[[dict[str, Any]], None] | None = None,
) -> VectorEnv:
    """Builds a task's real environments, in this process unless workers are asked for."""
    from curriculum.envs.registry import make_env

    options = {**_options(task), "workers": workers, "notice": notice, "on_event": on_event}
    return make_env(task.env_id, task.observation, num_envs, **options)


def real_screen(task: TaskConfig) -> Screen:
    """Builds what shows a task's environment as it is; raises as `make_screen` does."""
    from curriculum.envs.registry import make_screen

    return make_screen(task.env_id, **_options(task))


def _options(task: TaskConfig) -> dict[str, Any]:
    env = task.env
    return {
        "frame_skip": env.frame_skip,
        "grayscale": env.grayscale,
        "repeat_action_probability": env.repeat_action_probability,
        "noop_max": env.noop_max,
        "continuous": env.continuous,
        "max_episode_steps": env.max_episode_steps,
        "actions": env.actions,
        "crop": env.crop,
        "pooling": env.pooling,
        "maxpool": env.maxpool,
        "frame_stack": env.frame_stack,
        "kwargs": env.kwargs,
    }


def numpy_vision(task: TaskConfig, spec: EnvSpec, seed: int) -> Vision:
    """Builds motion-weighted PCA for pixels, a running normaliser for states."""
    del seed  # closed-form learners have no random start
    if spec.observation == "state":
        return StateVision(spec.shape[0])
    settings = task.vae.model
    return PCAVision(spec.shape, settings.z_dim, settings.motion_weight)


def numpy_memory(task: TaskConfig, latent_size: int, action_size: int, seed: int) -> Memory:
    """Builds an echo-state network with ridge heads."""
    return EchoMemory(latent_size, action_size, task.mdnrnn.model.rnn_size, seed=seed)


def policy_shape(task: TaskConfig, action: ActionSpec, num_features: int) -> PolicyShape:
    """Returns the sizes and bounds of a task's C."""
    hidden, units = task.controller.hidden_sizes, task.controller.units
    return PolicyShape(
        num_features, action.kind, action.size, hidden, action.low, action.high, units
    )


def numpy_controller(
    task: TaskConfig,
    action: ActionSpec,
    num_features: int,
    rng: np.random.Generator | None = None,
) -> Controller:
    """Builds the controller that needs nothing but numpy."""
    return CPUController(
        num_features,
        action.kind,
        action.size,
        task.controller.hidden_sizes,
        action_low=action.low,
        action_high=action.high,
        rng=rng,
        units=task.controller.units,
    )


def numpy_solver(task: TaskConfig, mean: np.ndarray, scales: np.ndarray, seed: int) -> Solver:
    """Builds the numpy evolution strategy."""
    chosen = task.controller
    return EvolutionStrategy(mean, chosen.sigma, chosen.population_size, scales=scales, seed=seed)


def cma_solver(task: TaskConfig, mean: np.ndarray, scales: np.ndarray, seed: int) -> Solver:
    """Builds pycma's CMA-ES, or the numpy ES where the task asks for it."""
    if task.controller.solver == "es":
        return numpy_solver(task, mean, scales, seed)
    from models.search.cma_es import CMAES

    chosen = task.controller
    return CMAES(mean, chosen.sigma, chosen.population_size, scales=scales, seed=seed)


def solver_replacement(states: Mapping[str, str]) -> Replacement | None:
    """Returns what to record where pycma cannot be used, None where it can."""
    state = states.get("cma", "missing")
    if state in USABLE_STATES:
        return None
    return Replacement(
        component="cma",
        reason=f"cma is {state}",
        replacement="models.search.evolution (numpy CMA-ES)",
        consequence="the same algorithm without pycma's refinements; scores may differ a little",
    )
