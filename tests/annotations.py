"""What annotations say of arrays is checked in every call that a test makes, shapes included.

beartype checks kinds and dtypes, jaxtyping that a letter means one number throughout a call. Other
annotations are pyright's: tests hand stand-ins for most of them. Worker processes are not checked.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, jaxtyped

CHECKED = (
    "models",
    "curriculum.agent",
    "curriculum.collecting",
    "curriculum.envs",
    "curriculum.insight",
    "curriculum.learning",
    "curriculum.world",
)
CHECK = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""As type checkers do, it takes an int for a float."""


def check_annotations() -> None:
    """Has the packages above checked that are imported from now on."""
    sys.meta_path.insert(0, _Finder())


def checked(function: Callable) -> Callable:
    """Returns a function that refuses arrays which its annotations do not allow."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError:  # something that is imported for type checkers only
        return function
    if inspect.isgeneratorfunction(function):
        hints.pop("return", None)
    arrays = {name: hint for name, hint in hints.items() if _is_of_arrays(hint)}
    if not arrays:
        return function
    function.__annotations__ = arrays
    inner = CHECK(function)
    if not any(map(_is_shaped, itertools.chain.from_iterable(map(_parts, arrays.values())))):
        return inner

    @functools.wraps(function)
    def outer(*args: Any, **kwargs: Any) -> Any:
        with jaxtyped("context"):  # letters are this call's own
            return inner(*args, **kwargs)

    return outer


def _is_of_arrays(hint: Any) -> bool:
    parts = list(_parts(hint))
    stands_in = any(getattr(part, "_is_protocol", False) for part in parts)
    return not stands_in and any(part is np.ndarray or _is_shaped(part) for part in parts)


def _is_shaped(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, AbstractArray)


def _parts(hint: Any) -> Iterator[Any]:
    """Yields a hint and all that it is made of."""
    yield hint
    yield get_origin(hint)
    for part in get_args(hint):
        yield from _parts(part)


def _check_module(module: types.ModuleType) -> None:
    for name, value in list(vars(module).items()):
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            setattr(module, name, checked(value))
        elif inspect.isclass(value) and not getattr(value, "_is_protocol", False):
            _check_class(value)


def _check_class(kind: type) -> None:
    for name, value in list(vars(kind).items()):
        if inspect.isfunction(value):
            setattr(kind, name, checked(value))
        elif isinstance(value, (staticmethod, classmethod)):
            setattr(kind, name, type(value)(checked(value.__func__)))


class _Loader(SourceFileLoader):
    def exec_module(self, module: types.ModuleType) -> None:
        super().exec_module(module)
        _check_module(module)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if not any(f"{fullname}.".startswith(f"{package}.") for package in CHECKED):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            return spec
        return spec_from_file_location(
            fullname,
            spec.origin,
            loader=_Loader(fullname, spec.origin),
            submodule_search_locations=spec.submodule_search_locations,
        )
