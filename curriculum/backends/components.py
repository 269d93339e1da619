"""Imports the components of a mode one by one, so that one that fails now can be named.

What a probe found in another process can be otherwise here: a library may be on a disk that has
gone, or lack memory. An import that raises, whatever it raises, makes its component broken.
"""

from __future__ import annotations

import importlib

from curriculum.backends.backend import Announce
from curriculum.config.schema import BY_GRADIENTS, TaskConfig
from curriculum.mode import LADDER, Mode
from curriculum.tasks import needs_of

MODULES = {
    "gymnasium": "gymnasium",
    "ale_py": "ale_py",
    "box2d": "Box2D",
    "pygame": "pygame",
    "torch": "torch",
    "vae": "models.vae",
    "mdnrnn": "models.mdnrnn",
    "controller": "models.controller",
    "cma": "models.search.cma_es",
}
"""What stands for a component where it is used."""


class ImportFailed(Exception):
    """A component cannot be imported in this process.

    Args:
        component: its name.
        error: what was raised.
    """

    def __init__(self, component: str, error: BaseException) -> None:
        super().__init__(f"importing {component} failed: {type(error).__name__}: {error}")
        self.component, self.error = component, error


def components_of(task: TaskConfig, mode: str) -> list[str]:
    """Returns what a task imports in a mode, in the order in which it is imported."""
    names = [name for name in needs_of(task).of(Mode(mode)) if name in MODULES]
    return [*names, "cma"] if _searches(task, mode) else names


def import_component(name: str, announce: Announce) -> None:
    """Imports one component.

    Args:
        name: one of `MODULES`.
        announce: is told the name before, and an empty one after.

    Raises:
        ImportFailed: it raised, or asked the process to end.
    """
    announce(name)
    try:
        importlib.import_module(MODULES[name])
    except (Exception, SystemExit) as e:
        raise ImportFailed(name, e) from e
    finally:
        announce("")


def _searches(task: TaskConfig, mode: str) -> bool:
    """Tells whether C is searched for, or polished, by what pycma would do best."""
    if mode == LADDER[-1].value or task.controller.solver == "es":
        return False
    learns = mode == LADDER[0].value and task.controller.solver in BY_GRADIENTS
    return not learns or task.controller.polish_generations > 0
