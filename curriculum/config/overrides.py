"""`--set a.b=c`: one key and a value, read as strictly as the configuration file."""

from __future__ import annotations

from collections.abc import Sequence

from curriculum.config.yaml_strict import Node, parse_yaml
from curriculum.errors import ConfigError


def parse_overrides(sets: Sequence[str], problems: list[str]) -> Node:
    """Turns overrides into a tree like that of a file.

    Args:
        sets: texts `a.b=c`; the value is flow YAML. Of two for one key the later one wins.
        problems: sentences about what was refused are added here.

    Returns:
        A mapping whose places are `--set a.b=c`.
    """
    root = Node({}, "--set")
    for text in sets:
        place = f"--set {text}"
        path, value = _parse(text, place, problems)
        if value is not None:
            _put(root, path, value, place)
    return root


def _parse(text: str, place: str, problems: list[str]) -> tuple[list[str], Node | None]:
    key, equals, value_text = text.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not equals or not all(path):
        problems.append(f"{place}: expected KEY=VALUE, e.g. --set vae.beta=0.1")
        return path, None
    if not value_text.strip():
        problems.append(f'{place}: the value is missing; write "" for an empty text')
        return path, None
    try:
        return path, parse_yaml(value_text, place, problems, fixed_place=True)
    except ConfigError as e:
        problems.append(str(e))
        return path, None


def _put(root: Node, path: list[str], value: Node, place: str) -> None:
    node = root
    for part in path[:-1]:
        child = node.value.get(part)
        if child is None or not isinstance(child.value, dict):
            child = Node({}, place)
            node.value[part] = child
        node = child
    last, old = path[-1], node.value.get(path[-1])
    if old is not None and isinstance(old.value, dict) and isinstance(value.value, dict):
        for key, child in value.value.items():
            _put(old, [key], child, place)
        return
    node.value[last] = value
