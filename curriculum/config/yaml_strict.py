"""Strict YAML: the core types of YAML 1.2, every value with its place, nothing that surprises.

Refused: duplicate keys, anchors and aliases, tags, several documents, anything but UTF-8.
`1e-4` is a number, `on` and `yes` are texts. The tree is built from PyYAML's events, so no
constructor of any kind ever runs.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from curriculum.errors import ConfigError

MAX_BYTES = 2**18
MAX_DEPTH = 16

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_BASED_INT = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Refused:
    """Stands where a value was refused, so that it is complained about only once."""


REFUSED = Refused()


@dataclass(frozen=True)
class Node:
    """A value and its place.

    Attributes:
        value: None, bool, int, float, str, `list[Node]`, `dict[str, Node]` or `REFUSED`.
        place: how to name it in an error, e.g. `configs/x.yaml:12`; an entry of a mapping has
            the place of its key.
    """

    value: Any
    place: str

    def plain(self) -> Any:
        """Returns the value without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def node_of(value: Any, place: str) -> Node:
    """Turns plain data into a tree that has one place everywhere."""
    if isinstance(value, dict):
        return Node({key: node_of(item, place) for key, item in value.items()}, place)
    if isinstance(value, list | tuple):
        return Node([node_of(item, place) for item in value], place)
    return Node(value, place)


def load_yaml(path: Path, problems: list[str]) -> Node:
    """Reads a YAML file.

    Args:
        path: of the file.
        problems: sentences about what was refused are added here; the rest is still read.

    Raises:
        ConfigError: nothing can be read: no such file, not UTF-8, no YAML, or empty.
    """
    text = _read(path)
    node = parse_yaml(text, str(path), problems)
    if node.value is None:
        raise ConfigError(f"{path}: the file is empty, expected keys as in configs/default.yaml")
    return node


def parse_yaml(text: str, name: str, problems: list[str], fixed_place: bool = False) -> Node:
    """Reads YAML text.

    Args:
        text: one document.
        name: of the source, for places `name:line`.
        problems: sentences about what was refused are added here.
        fixed_place: use `name` alone as the place of everything.

    Raises:
        ConfigError: it is no YAML at all.
    """
    try:
        return _Composer(text, name, problems, fixed_place).document()
    except yaml.YAMLError as e:
        raise ConfigError(_explain(e, name, fixed_place)) from e
    except UnicodeEncodeError as e:
        # Options reach Python as surrogates where the locale is not that of the terminal.
        raise ConfigError(
            f"{name!a}: it holds bytes that are no text here: use a UTF-8 locale, e.g. LANG=C.UTF-8"
        ) from e


class _Composer:
    """Builds the tree from the parser's events."""

    def __init__(self, text: str, name: str, problems: list[str], fixed_place: bool) -> None:
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=_LOADER)
        self._name = name
        self._fixed_place = fixed_place
        self._problems = problems

    def document(self) -> Node:
        root = Node(None, self._name)
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(event, "a second document begins, expected one in a file")
                    break
            elif isinstance(event, yaml.NodeEvent):
                root = self._node(event, 0)
        return root

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise ConfigError(f"{self._place(event)}: nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._refuse(
                event, f"alias *{event.anchor}: aliases are not allowed; write it out"
            )
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        if isinstance(event, yaml.MappingStartEvent):
            node = self._mapping(event, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, depth)
        else:
            node = self._scalar(event)
        if anchor is not None:
            return self._refuse(event, f"anchor &{anchor}: anchors are not allowed; remove it")
        if tag is not None:
            return self._refuse(
                event, f"tag {_short(tag)}: tags are not allowed; write a plain value"
            )
        return node

    def _mapping(self, start: yaml.Event, depth: int) -> Node:
        entries: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if key.value is REFUSED:
                continue
            if not isinstance(key.value, str):
                self._refuse(event, f"key {key.plain()!r}: expected a text as key")
            elif key.value in entries:
                first = entries[key.value].place
                self._refuse(event, f"key {key.value} is given twice, first at {first}; keep one")
            else:
                entries[key.value] = Node(value.value, self._place(event))
        return Node(entries, self._place(start))

    def _sequence(self, start: yaml.Event, depth: int) -> Node:
        items = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Node(items, self._place(start))

    def _scalar(self, event: Any) -> Node:
        if _NO_TEXT.search(event.value):
            return self._refuse(event, "a text holds NUL or half a surrogate pair")
        if not event.implicit[0]:
            return Node(event.value, self._place(event))
        try:
            return Node(resolve(event.value), self._place(event))
        except ValueError:
            return self._refuse(event, f"number {event.value[:20]}… has too many digits")

    def _place(self, event: yaml.Event) -> str:
        if self._fixed_place:
            return self._name
        return f"{self._name}:{event.start_mark.line + 1}"

    def _refuse(self, event: yaml.Event, reason: str) -> Node:
        self._problems.append(f"{self._place(event)}: {reason}")
        return Node(REFUSED, self._place(event))


def resolve(text: str) -> bool | int | float | str | None:
    """Resolves a plain scalar by the core schema of YAML 1.2.2, section 10.3.2.

    Raises:
        ValueError: an integer with thousands of digits.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _BASED_INT.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if special := _SPECIAL.fullmatch(text):
        return math.nan if special[2] is None else math.copysign(math.inf, int(special[1] + "1"))
    return text


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!", 1)


def _read(path: Path) -> str:
    if not path.exists():
        raise ConfigError(f"there is no file {path}{_similar_file(path)}")
    if not path.is_file():
        raise ConfigError(f"{path} is not a file: expected a YAML file, e.g. configs/default.yaml")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as e:
        raise ConfigError(f"{path} cannot be read: {e.strerror}: make it readable") from e
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} has more than {MAX_BYTES} bytes: that is no configuration")
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise ConfigError(
            f"{path}:{line}: byte {data[e.start]:#04x} is not UTF-8: save the file as UTF-8"
        ) from e


def _similar_file(path: Path) -> str:
    try:
        names = [p.name for p in path.parent.iterdir()]
    except OSError:
        return f": nor can its directory {path.parent} be read"
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {path.parent / close[0]}?" if close else ""


def _explain(error: yaml.YAMLError, name: str, fixed_place: bool) -> str:
    mark = getattr(error, "problem_mark", None)
    place = name if fixed_place or mark is None else f"{name}:{mark.line + 1}"
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    return f"{place}: not valid YAML: {problem}{f' ({context})' if context else ''}"
