"""A Config as plain data, as YAML text that loads back to it, as a hash, and as differences."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import yaml

from curriculum.config.schema import Config
from curriculum.config.yaml_strict import resolve

HARMLESS = frozenset(
    {
        "name",
        "run_dir",
        "curriculum.tasks",
        "curriculum.timeout_seconds",
        "curriculum.max_retries",
        "curriculum.advance",
        "curriculum.attempts",
        "curriculum.stage_deadline_seconds",
        "curriculum.unit_deadline_seconds",
        "curriculum.commit_seconds",
        "curriculum.workers",
        "curriculum.env_workers",
        "curriculum.save_videos",
        "curriculum.tensorboard",
        "curriculum.sinks",
    }
)
"""Keys that cannot change what a task learns or scores: they may differ when a run is resumed."""


def to_dict(config: Config) -> dict[str, Any]:
    """Returns plain dicts, lists and scalars in the layout of a configuration file."""
    plain = plain_of(config)
    plain["tasks"] = {task.pop("name"): task for task in plain["tasks"]}
    return plain


def dump(config: Config) -> str:
    """Returns YAML that loads back to an equal Config, every key of every task written out."""
    return yaml.dump(
        to_dict(config), Dumper=_Dumper, sort_keys=False, width=10**6, default_flow_style=False
    )


def config_hash(config: Config) -> str:
    """Returns the SHA-256 of all keys that can change a result, as 64 hexadecimal digits."""
    relevant = {key: value for key, value in _flat(to_dict(config)).items() if key not in HARMLESS}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def diff(a: Config, b: Config) -> list[str]:
    """Returns a line `key: old -> new` for every key that differs."""
    return _differences(_flat(to_dict(a)), _flat(to_dict(b)))


def changes(a: Config, b: Config) -> list[str]:
    """Returns the differences that can change the result of a task that both have."""
    common = {task.name for task in a.tasks} & {task.name for task in b.tasks}
    left, right = (_flat(_relevant(config, common)) for config in (a, b))
    return _differences(left, right)


def changed_keys(a: Config, b: Config) -> list[str]:
    """Returns the dotted keys of those differences."""
    common = {task.name for task in a.tasks} & {task.name for task in b.tasks}
    left, right = (_flat(_relevant(config, common)) for config in (a, b))
    return _differing(left, right)


def _relevant(config: Config, tasks: set[str]) -> dict[str, Any]:
    plain = to_dict(config)
    plain["tasks"] = {name: task for name, task in plain["tasks"].items() if name in tasks}
    for key in HARMLESS:
        section, _, name = key.rpartition(".")
        (plain[section] if section else plain).pop(name)
    return plain


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    return [f"{key}: {_shown(a, key)} -> {_shown(b, key)}" for key in _differing(a, b)]


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    keys = dict.fromkeys([*a, *b])
    return [key for key in keys if key not in a or key not in b or a[key] != b[key]]


def _shown(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key], ensure_ascii=False) if key in values else "not set"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat.update(_flat(item, f"{prefix}.{key}" if prefix else key))
    return flat


def plain_of(value: Any) -> Any:
    """Returns plain data; the keys of contained settings stand among those of their section."""
    if dataclasses.is_dataclass(value):
        plain = {}
        for f in dataclasses.fields(value):
            item = plain_of(getattr(value, f.name))
            plain |= item if f.metadata.get("inline") else {f.name: item}
        return plain
    if isinstance(value, dict):
        return {key: plain_of(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_of(item) for item in value]
    return value


class _Dumper(yaml.SafeDumper):
    """Writes every text so that the strict reader takes it for a text, and never an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    quoted = not isinstance(resolve_or_text(text), str)
    style = '"' if quoted or not text.isprintable() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


def resolve_or_text(text: str) -> Any:
    """Resolves like the reader, but takes a number too long to read for what it is: no text."""
    try:
        return resolve(text)
    except ValueError:
        return None


_Dumper.add_representer(str, _represent_text)
