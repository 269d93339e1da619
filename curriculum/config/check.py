"""Checks a tree against the schema: every wrong value becomes one sentence with its place."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from curriculum.config.schema import MODULE, NAME, Config, TaskConfig
from curriculum.config.yaml_strict import REFUSED, Node

_TYPE_NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "a text"}
NAME_RULE = "a name of up to 64 letters, digits, dots, dashes and underscores"
_WRONG = object()

MAX_SHOWN = 20
"""Problems that are shown; a file with more of them is not even looked at for likely meanings."""


Known = Mapping[str, tuple[dataclasses.Field[Any], Any]]
"""Keys that can be given, each with its field (which holds its range) and its type."""


@cache
def fields_of(cls: type) -> Known:
    """Returns a section's keys, those of a model's settings that it contains among them."""
    hints = get_type_hints(cls)
    known = {}
    for f in dataclasses.fields(cls):
        kind = hints[f.name]
        known |= fields_of(kind) if f.metadata.get("inline") else {f.name: (f, kind)}
    return types.MappingProxyType(known)


def section_of(cls: type, values: Mapping[str, Any]) -> Any:
    """Returns a section with these values, the contained settings with theirs."""
    hints, own = get_type_hints(cls), dict(values)
    for f in dataclasses.fields(cls):
        if f.metadata.get("inline"):
            kind = hints[f.name]
            given = {name: own.pop(name) for name in fields_of(kind) if name in own}
            own[f.name] = kind(**given)
    return cls(**own)


def sections_of(cls: type) -> dict[str, Any]:
    """Returns the keys of a class that are sections themselves, with their classes."""
    return {
        name: kind for name, (_, kind) in fields_of(cls).items() if dataclasses.is_dataclass(kind)
    }


TASK_SECTIONS = sections_of(TaskConfig)
TOP_SECTIONS = {**sections_of(Config), **TASK_SECTIONS}


def check_section(known: Known, node: Node, name: str, problems: list[str]) -> dict[str, Any]:
    """Returns what a mapping gives of a section's keys, converted to their types.

    Args:
        known: the keys that can be given here; sections among them become nested dicts.
        node: the mapping; null counts as empty.
        name: of the section with a final dot, or "" at the top.
        problems: one sentence is added for every key that is wrong.
    """
    entries = mapping(node, name.rstrip(".") or "the configuration", problems)
    values: dict[str, Any] = {}
    for key, child in entries.items():
        if key not in known:
            meant = suggestion(key, known) if len(problems) < MAX_SHOWN else ""
            problems.append(f"{child.place}: {name}{key[:60]}: unknown key{meant}")
            continue
        field, kind = known[key]
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            values[key] = check_section(fields_of(kind), child, f"{name}{key}.", problems)
            continue
        value = _value(kind, field.metadata, child, f"{name}{key}", problems)
        if value is not _WRONG:
            values[key] = value
    return values


def mapping(node: Node, name: str, problems: list[str]) -> dict[str, Node]:
    """Returns the entries of a mapping; of anything else none, with a problem."""
    if isinstance(node.value, dict):
        return node.value
    if node.value is not None and node.value is not REFUSED:
        problems.append(
            f"{node.place}: {name}: given {show(node)}, expected keys with values below it"
        )
    return {}


def suggestion(key: str, known: Iterable[str]) -> str:
    """Returns `; did you mean …?`, from the same place or from another section, or nothing."""
    close = difflib.get_close_matches(key, list(known), n=1)
    if close:
        return f"; did you mean {close[0]}?"
    homes = [f"{s}.{key}" for s, cls in TOP_SECTIONS.items() if key in fields_of(cls)]
    return f"; did you mean {' or '.join(homes)}?" if homes else f"; known are {', '.join(known)}"


def show(node: Node) -> str:
    """Shows a given value, shortened."""
    value = node.plain()
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _value(kind: Any, meta: Mapping[str, Any], node: Node, name: str, problems: list[str]) -> Any:
    if node.value is REFUSED:
        return _WRONG
    origin = get_origin(kind)
    if origin is tuple and get_origin(get_args(kind)[0]) is tuple:
        return _table(node, name, problems)
    if origin is tuple:
        return _items(get_args(kind)[0], meta, node, name, problems)
    if origin is dict:
        return _free(node, name, problems)
    value = _scalar(kind, meta, node.value)
    if value is _WRONG:
        expected = _expected(kind, meta) + _hint(kind, meta, node)
        problems.append(f"{node.place}: {name}: given {show(node)}, expected {expected}")
    return value


def _scalar(kind: type, meta: Mapping[str, Any], value: Any) -> Any:
    """Returns the value in its exact type, or `_WRONG`."""
    if kind is float and type(value) is int and abs(value) < 2**1023:
        value = float(value)
    if type(value) is not kind:
        return _WRONG
    if kind is float and not math.isfinite(value):
        return _WRONG
    choices, low, high = (meta.get(k) for k in ("choices", "low", "high"))
    if choices is not None and value not in choices:
        return _WRONG
    if low is not None and (value < low or (meta.get("open_low") and value == low)):
        return _WRONG
    if high is not None and value > high:
        return _WRONG
    if kind is str and not _good_text(str(value), meta):
        return _WRONG
    return value


def _good_text(text: str, meta: Mapping[str, Any]) -> bool:
    if meta.get("name"):
        return NAME.fullmatch(text) is not None
    if meta.get("module"):
        return len(text) <= 200 and MODULE.fullmatch(text) is not None
    return len(text) >= meta.get("min_items", 0)


def _items(kind: type, meta: Mapping[str, Any], node: Node, name: str, problems: list[str]) -> Any:
    item = _expected(kind, meta)
    if not isinstance(node.value, list):
        hint = f"; write [{node.value}]" if isinstance(node.value, str | int | float) else ""
        problems.append(
            f"{node.place}: {name}: given {show(node)}, expected a list, each item {item}{hint}"
        )
        return _WRONG
    values = []
    for number, child in enumerate(node.value):
        value = _value(kind, meta, child, f"{name}[{number}]", problems)
        if value is _WRONG:
            return _WRONG
        values.append(value)
    if meta.get("unique") and len(set(values)) < len(values):
        problems.append(f"{node.place}: {name}: given {show(node)}, expected no item twice")
        return _WRONG
    most = meta.get("max_items")
    if most is not None and len(values) > most:
        problems.append(f"{node.place}: {name}: given {len(values)} items, expected {most} at most")
        return _WRONG
    if len(values) < meta.get("min_items", 0):
        problems.append(f"{node.place}: {name}: given an empty list, expected at least one: {item}")
        return _WRONG
    side = meta.get("rectangle")
    if side and values and not _is_rectangle(values, side):
        problems.append(
            f"{node.place}: {name}: given {show(node)}, expected [first row, end row, first "
            f"column, end column] with at least {side} rows and {side} columns between, or []"
        )
        return _WRONG
    return tuple(values)


def _table(node: Node, name: str, problems: list[str]) -> Any:
    """Accepts rows of numbers: none, or at least two of one length and none twice."""
    given = node.plain()
    rows: list[Any] = given if isinstance(given, list) else [given]
    plain = all(isinstance(row, list) and row and all(map(_is_number, row)) for row in rows)
    expected = ""
    if not plain:
        expected = "a list of lists of finite numbers, e.g. [[0, 1], [1, 0]]"
    elif len({len(row) for row in rows}) > 1:
        expected = "as many numbers in one list as in another"
    elif len(rows) == 1 or len({tuple(row) for row in rows}) < len(rows):
        expected = "at least two lists, and none of them twice"
    if expected:
        problems.append(f"{node.place}: {name}: given {show(node)}, expected {expected}")
        return _WRONG
    return tuple(tuple(map(float, row)) for row in rows)


def _is_number(value: Any) -> bool:
    return _scalar(float, {}, value) is not _WRONG


def _is_rectangle(values: Sequence[int], side: int) -> bool:
    """Whether values are a first and an end of rows and of columns, at least so far apart."""
    if len(values) != 4:
        return False
    top, bottom, left, right = values
    return bottom - top >= side and right - left >= side


def _free(node: Node, name: str, problems: list[str]) -> Any:
    """Accepts any plain values below a mapping, as long as they are finite."""
    entries = mapping(node, name, problems)
    for key, child in entries.items():
        _finite(child, f"{name}.{key}", problems)
    return {key: child.plain() for key, child in entries.items()}


def _finite(node: Node, name: str, problems: list[str]) -> None:
    if isinstance(node.value, float) and not math.isfinite(node.value):
        problems.append(f"{node.place}: {name}: given {show(node)}, expected a finite number")
    elif isinstance(node.value, dict):
        for key, child in node.value.items():
            _finite(child, f"{name}.{key}", problems)
    elif isinstance(node.value, list):
        for number, child in enumerate(node.value):
            _finite(child, f"{name}[{number}]", problems)


def _expected(kind: type, meta: Mapping[str, Any]) -> str:
    choices, low, high = (meta.get(k) for k in ("choices", "low", "high"))
    if choices is not None:
        return f"one of {', '.join(map(str, choices))}"
    if meta.get("name"):
        return NAME_RULE
    if meta.get("module"):
        return "the name of a Python module, e.g. my_plugin or my_package.envs"
    if kind is str and meta.get("min_items"):
        return "a text that is not empty"
    name = _TYPE_NAMES[kind]
    if low is None:
        return name
    if high is None:
        return f"{name} {'above' if meta.get('open_low') else 'of at least'} {low}"
    if meta.get("open_low"):
        return f"{name} above {low} and up to {high}"
    return f"{name} between {low} and {high}"


def _hint(kind: type, meta: Mapping[str, Any], node: Node) -> str:
    value = node.value
    if kind is int and isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}"
    if kind is str and isinstance(value, bool | int | float):
        return f'; write "{value}"'
    choices = meta.get("choices")
    if choices and isinstance(value, str):
        close = difflib.get_close_matches(value.lower(), [c.lower() for c in choices], n=1)
        match = next((c for c in choices if close and c.lower() == close[0]), None)
        return f"; did you mean {match}?" if match else ""
    if kind in (int, float) and isinstance(value, str) and _number_like(value):
        return "; write it without quotes"
    return ""


def _number_like(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
