"""Functions as they are sent to another interpreter: by the name that a module calls them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from inspect import ismethod
from operator import attrgetter
from typing import Any


def reference_to(function: Callable[..., Any]) -> str:
    """Returns how another interpreter finds a function: `package.module:name`.

    What a module calls by that name when the work is done is what does it, so a function may be
    wrapped by another one of the same name.

    Raises:
        ValueError: no module that can be imported has anything of its name, as is the case with a
            lambda, a function within a function, a method of an object, and all of `__main__`.
    """
    module, name = (getattr(function, part, "") for part in ("__module__", "__qualname__"))
    try:
        found = attrgetter(name)(sys.modules[module]) if name else None
    except (AttributeError, KeyError):
        found = None
    if not callable(found) or ismethod(function) or module == "__main__":
        raise ValueError(
            f"{function!r} was given as work for other processes; expected a function at the top "
            "of a module that they can import: define it there, and put what it needs besides "
            "into its unit"
        )
    return f"{module}:{name}"


def resolve(reference: str) -> Callable[..., Any]:
    """Returns the function that `reference_to` gave this name."""
    module, _, name = reference.partition(":")
    return attrgetter(name)(importlib.import_module(module))
