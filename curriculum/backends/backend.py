"""A backend: the constructors that a mode stands for, chosen once and never asked about again."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from curriculum.config.plugins import refuse_inside_run
from curriculum.config.schema import BY_GRADIENTS, TaskConfig
from curriculum.envs.interface import ActionSpec, EnvSpec, Screen, VectorEnv
from curriculum.errors import ConfigError, RunIOError
from curriculum.mode import Mode
from curriculum.records.files import shortage
from curriculum.tasks import reads_key_points, without_key_points
from models.interfaces import (
    Controller,
    Memory,
    OffPolicyLearner,
    PolicyLearner,
    Solver,
    Vision,
)

Notice = Callable[[str], None]
Announce = Callable[[str], None]


@dataclass(frozen=True)
class Replacement:
    """A recorded degradation: what is missing, what stands in, and what that costs.

    The reason is empty where the mode is the reason; why that was chosen, its decision knows.
    """

    component: str
    reason: str
    replacement: str
    consequence: str


def searched(solver: str) -> Replacement:
    """Returns what stands in for a solver that learns by gradients where there is no torch."""
    return Replacement(
        component=solver,
        reason="this mode has nothing that learns by gradients",
        replacement="evolution of a linear C",
        consequence="more environment steps, and lower scores on pixels",
    )


UNPLACED = Replacement(
    component="key points",
    reason="the V of this mode finds none",
    replacement="z and dz for what C reads of them",
    consequence="places are as exact as latents are, and lower scores where small things matter",
)
"""What stands in for key points where V is not a network."""


class EnvFactory(Protocol):
    """Builds a batch of a task's environments.

    `workers` are supervised processes that hold them (0 none, -1 as measured) and `on_event` is
    told what happens to these; what is as fast in this process stays here.
    """

    def __call__(
        self,
        task: TaskConfig,
        num_envs: int,
        notice: Notice,
        *,
        workers: int = 0,
        on_event: Callable[[dict[str, Any]], None] | None = None,
    ) -> VectorEnv: ...


class ControllerFactory(Protocol):
    """Builds a controller for a feature size; zero parameters unless `rng` is given."""

    def __call__(
        self,
        task: TaskConfig,
        action: ActionSpec,
        num_features: int,
        rng: np.random.Generator | None = None,
    ) -> Controller: ...


class SolverFactory(Protocol):
    """Builds a solver that starts at `mean` `[P]` with the standard deviations `sigma * scales`."""

    def __call__(
        self, task: TaskConfig, mean: np.ndarray, scales: np.ndarray, seed: int
    ) -> Solver: ...


class PolicyLearnerFactory(Protocol):
    """Builds what learns a controller by gradients from rollouts."""

    def __call__(
        self, task: TaskConfig, action: ActionSpec, num_features: int, seed: int
    ) -> PolicyLearner: ...


class OffPolicyLearnerFactory(Protocol):
    """Builds what learns a controller by gradients from a replay: a task's `qrdqn` or `sac`."""

    def __call__(
        self, task: TaskConfig, action: ActionSpec, num_features: int, seed: int
    ) -> OffPolicyLearner: ...


@dataclass(frozen=True)
class Backend:
    """The set of constructors that a mode stands for.

    Attributes:
        mode: which mode this is.
        environment: whether its environments are the real ones or their numpy re-creations.
        make_env: see `EnvFactory`.
        make_screen: task to what shows its environment as it is; None where it has no pictures.
        make_vision: `(task, env_spec, seed)` to V.
        make_memory: `(task, latent_size, action_size, seed)` to M.
        make_controller: see `ControllerFactory`.
        make_solver: see `SolverFactory`.
        make_policy_learner: see `PolicyLearnerFactory`; None where nothing learns by gradients.
        make_off_policy_learner: see `OffPolicyLearnerFactory`; likewise.
        key_points: whether its V finds key points in pixels where a task asks for them.
        replacements: what stands in for something better.
        practising: around practice with environments: keeps torch's threads out of their way.
    """

    mode: Mode
    environment: Literal["real", "simulation"]
    make_env: EnvFactory
    make_screen: Callable[[TaskConfig], Screen | None]
    make_vision: Callable[[TaskConfig, EnvSpec, int], Vision]
    make_memory: Callable[[TaskConfig, int, int, int], Memory]
    make_controller: ControllerFactory
    make_solver: SolverFactory
    make_policy_learner: PolicyLearnerFactory | None = None
    make_off_policy_learner: OffPolicyLearnerFactory | None = None
    key_points: bool = False
    replacements: tuple[Replacement, ...] = ()
    practising: Callable[[], AbstractContextManager[None]] = nullcontext


def fitted(task: TaskConfig, backend: Backend) -> TaskConfig:
    """Returns a task as a backend can learn it.

    Without gradients C is linear and searched for, without key points it reads z and dz instead.
    """
    chosen = task.controller
    if needs_gradients(task, backend):
        chosen = replace(chosen, solver="auto", hidden_sizes=())
    if needs_key_points(task, backend):
        chosen = replace(chosen, features=without_key_points(chosen.features))
    return task if chosen is task.controller else replace(task, controller=chosen)


def needs_gradients(task: TaskConfig, backend: Backend) -> bool:
    """Tells whether a task's C is to be learned by gradients that a backend does not have."""
    return task.controller.solver in BY_GRADIENTS and backend.make_policy_learner is None


def needs_key_points(task: TaskConfig, backend: Backend) -> bool:
    """Tells whether a task's C is to read key points that a backend's V does not have."""
    return reads_key_points(task) and task.vae.model.key_points > 0 and not backend.key_points


def load_backend(mode: str, states: Mapping[str, str], device: str = "cpu") -> Backend:
    """Imports what a mode needs and returns its backend.

    Args:
        mode: `FULL`, `GYM_ONLY` or `SIMULATION`.
        states: component name to probe state; decides replacements inside a mode.
        device: where torch computes, `cpu` or `cuda`.
    """
    module = importlib.import_module(f"curriculum.backends.{mode.lower()}")
    own = importlib.import_module("curriculum.backends.own")
    return own.with_own_parts(module.build(states, device))


def import_plugins(modules: Sequence[str], announce: Announce = lambda name: None) -> None:
    """Imports a configuration's plugins, which register their environments as they load.

    Args:
        modules: their names.
        announce: is told `plugin <name>` before each, and an empty text after.

    Raises:
        ConfigError: one is not there, lies in a run directory, or goes wrong while it loads.
        RunIOError: the machine was short of something while one loaded.
    """
    # A plugin may change the working directory; what is found now has to be found later too.
    sys.path[:] = [str(Path(entry).absolute()) for entry in sys.path]
    for name in modules:
        refuse_inside_run(name)
        announce(f"plugin {name}")
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as e:
            short = shortage(e)
            if short is not None:
                raise RunIOError(f"the plugin {name} cannot be imported: {e}: {short}") from e
            raise ConfigError(
                f"the plugin {name} cannot be imported: {type(e).__name__}: {e}{_place(e)}; "
                f"curriculum.plugins names modules that Python finds in the working directory or "
                f"on PYTHONPATH"
            ) from e
        announce("")


def _place(error: BaseException) -> str:
    """Returns ` (file:line)` of where a plugin went wrong, if it was in a file."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = (str(Path(importlib.__file__).parent), __file__, "<frozen")
    theirs = [frame for frame in frames if not frame.filename.startswith(ours)]
    return f" ({theirs[-1].filename}:{theirs[-1].lineno})" if theirs else ""
