"""Facts that come from a file, checked against the types that the program expects.

Whoever reads JSON says what it has to hold, as a dataclass or a type; anything else becomes one
sentence that names the place, what is there and what was expected.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

_Entry = TypeVar("_Entry")

MAX_INT = 2**63
"""Whole numbers from here on fit into no array and no float; no count comes near."""

_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


class WrongFact(Exception):
    """A file holds something else than it has to; its text says where, what, and what instead."""


def entry(cls: type[_Entry], value: Any, place: str = "") -> _Entry:
    """Builds a dataclass from a JSON object; keys that it does not know are left out.

    Args:
        cls: the dataclass; a field with a default may be missing.
        value: what the file holds.
        place: of the object within the file, for the sentence.

    Raises:
        WrongFact: it is no object, a key is missing, or a value is of another type.
    """
    if not isinstance(value, Mapping):
        raise WrongFact(_sentence(place, value, "an object with keys"))
    found = {}
    for field, kind in _fields(cls):
        inner = f"{place}.{field.name}" if place else field.name
        if field.name in value:
            found[field.name] = fact(kind, value[field.name], inner)
        elif _is_required(field):
            raise WrongFact(f"`{inner}` is missing, expected {_name(kind)}")
    return cls(**found)


def fact(kind: Any, value: Any, place: str) -> Any:
    """Returns a value if it is of a type, tuples made of lists and floats of whole numbers.

    Args:
        kind: str, int, float, bool, None, Any, a dataclass, `Literal[...]`, a union, or a dict,
            list or tuple of these. A float may be any number, `nan` and `inf` included.
        value: what the file holds.
        place: within the file.

    Raises:
        WrongFact: it is of another type, or a whole number that is too large.
    """
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _either(get_args(kind), value, place)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return entry(kind, value, place)
    if origin is Literal:
        good = value if isinstance(value, str) and value in get_args(kind) else None
    elif origin is dict and isinstance(value, Mapping):
        good = {k: fact(get_args(kind)[1], v, f"{place}.{k}") for k, v in value.items()}
    elif origin in (list, tuple) and isinstance(value, list | tuple):
        good = _items(kind, value, place)
    else:
        good = _scalar(kind, value)
    if good is None and (value is not None or kind not in (None, type(None))):
        raise WrongFact(_sentence(place, value, _name(kind)))
    return good


def finite(value: Any) -> bool:
    """Tells whether a value is a number that fits into a float and is finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < MAX_INT if isinstance(value, int) else math.isfinite(value)


def shown(value: Any) -> str:
    """Shows a value as it stands in a file, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _either(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    for kind in kinds:
        try:
            return fact(kind, value, place)
        except WrongFact:
            continue
    some = [kind for kind in kinds if kind is not type(None)]
    if len(some) == 1:
        # What an optional value lacks is told more closely than that it is none of two.
        return fact(some[0], value, place)
    raise WrongFact(_sentence(place, value, " or ".join(map(_name, kinds))))


def _items(kind: Any, value: list[Any] | tuple[Any, ...], place: str) -> Any:
    kinds = get_args(kind)
    if get_origin(kind) is list or kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        return None
    pairs = enumerate(zip(kinds, value, strict=True))
    good = [fact(k, item, f"{place}[{number}]") for number, (k, item) in pairs]
    return good if get_origin(kind) is list else tuple(good)


def _scalar(kind: Any, value: Any) -> Any:
    if kind is float and type(value) is int and abs(value) < MAX_INT:
        return float(value)
    if type(value) is not kind or (kind is int and abs(value) >= MAX_INT):
        return None
    return value


@cache
def _fields(cls: type) -> list[tuple[dataclasses.Field[Any], Any]]:
    hints = get_type_hints(cls)
    return [(field, hints[field.name]) for field in dataclasses.fields(cls)]


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _name(kind: Any) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if origin in (list, tuple):
        return "a list"
    if origin is dict or dataclasses.is_dataclass(kind):
        return "an object with keys"
    if origin in (Union, types.UnionType):
        return " or ".join(map(_name, get_args(kind)))
    return _NAMES.get(kind, "nothing")


def _sentence(place: str, value: Any, expected: str) -> str:
    where = f"`{place}` is" if place else "it holds"
    return f"{where} {shown(value)}, expected {expected}"
