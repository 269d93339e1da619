"""From YAML text to a validated Config, and back.

A value comes from the first of these that gives it: `--set` for the task, `--set`, the preset for
the task, the preset, the file's `tasks.<name>`, the built-in task, the file's section, the
schema's default. All that is wrong is told at once, each with its place.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from curriculum.config.check import (
    MAX_SHOWN,
    NAME_RULE,
    TASK_SECTIONS,
    check_section,
    fields_of,
    mapping,
    section_of,
)
from curriculum.config.moved import Say, up_to_date
from curriculum.config.overrides import parse_overrides
from curriculum.config.presets import PRESETS
from curriculum.config.schema import NAME, Config, CurriculumConfig, TaskConfig
from curriculum.config.writing import changed_keys, changes, config_hash, diff, dump, to_dict
from curriculum.config.yaml_strict import Node, load_yaml, node_of
from curriculum.errors import ConfigError

__all__ = ["changed_keys", "changes", "config_hash", "diff", "dump", "load_config", "to_dict"]

CUSTOM_TASK_KEYS = ("env_id", "observation", "target")
"""What a task that is not built in cannot do without."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})
TOP = {name: known for name, known in fields_of(Config).items() if name != "tasks"} | {
    name: fields_of(TaskConfig)[name] for name in TASK_SECTIONS
}
TASK = {name: known for name, known in fields_of(TaskConfig).items() if name != "name"}
"""Keys that stand at the top of a file, `tasks` aside, and in one of its tasks."""


@dataclass(frozen=True)
class _Layer:
    """What one source gives, checked: top-level values, and values of each task it names."""

    node: Node
    top: dict[str, Any]
    tasks: dict[str, dict[str, Any]]

    @property
    def sections(self) -> dict[str, Any]:
        """The top-level sections that are defaults of every task."""
        return {name: self.top[name] for name in TASK_SECTIONS if name in self.top}

    def place(self, *path: str) -> str | None:
        """Returns where a key was given, or None if it was not."""
        node = self.node
        for key in path:
            if not isinstance(node.value, dict) or key not in node.value:
                return None
            node = node.value[key]
        return node.place


def load_config(
    path: Path | str,
    sets: Sequence[str] = (),
    preset: str | None = None,
    builtin: Mapping[str, Mapping[str, Any]] = _NOTHING,
    notice: Say = lambda text: None,
) -> Config:
    """Reads, merges and checks a whole configuration.

    Args:
        path: YAML file.
        sets: overrides `a.b=c`.
        preset: `quick`, `full` or `paper`.
        builtin: what the built-in tasks are, by name; they are all walked unless the file has
            `tasks`. (`curriculum.tasks.load_config` passes them.)
        notice: is told of every key that stands at an old place, and where it belongs now.

    Returns:
        The configuration, with the selected tasks in the order they are walked.

    Raises:
        ConfigError: naming everything that is wrong, one line each.
    """
    problems: list[str] = []
    sources = [load_yaml(Path(path), problems)]
    if preset is not None:
        sources.append(_preset(preset))
    sources.append(parse_overrides(sets, problems))
    layers = [_layer(up_to_date(node, problems, notice), problems) for node in sources]
    known = {
        name: check_section(
            TASK, node_of(dict(values), f"built-in task {name}"), f"tasks.{name}.", problems
        )
        for name, values in builtin.items()
    }
    config = _assemble(layers, known, problems)
    if problems:
        raise ConfigError(_message(problems))
    return config


def _layer(node: Node, problems: list[str]) -> _Layer:
    entries = mapping(node, "the configuration", problems)
    rest = {key: child for key, child in entries.items() if key != "tasks"}
    top = check_section(
        {**TOP, "tasks": fields_of(Config)["tasks"]}, Node(rest, node.place), "", problems
    )
    tasks = {}
    for name, child in _tasks(entries, problems).items():
        if NAME.fullmatch(name):
            tasks[name] = check_section(TASK, child, f"tasks.{name}.", problems)
        else:
            problems.append(f"{child.place}: tasks: given the name {name!r}, expected {NAME_RULE}")
    return _Layer(node, top, tasks)


def _tasks(entries: Mapping[str, Node], problems: list[str]) -> Mapping[str, Node]:
    node = entries.get("tasks")
    if node is None:
        return {}
    if isinstance(node.value, list | str):
        problems.append(
            f"{node.place}: tasks: given {node.plain()!r}, expected task names with their keys "
            f"below; to choose tasks write curriculum.tasks"
        )
        return {}
    return mapping(node, "tasks", problems)


def _preset(name: str) -> Node:
    if name not in PRESETS:
        raise ConfigError(f"preset {name!r} is unknown, expected one of {', '.join(PRESETS)}")
    return node_of(PRESETS[name], f"preset {name}")


def _assemble(
    layers: Sequence[_Layer], builtin: Mapping[str, dict[str, Any]], problems: list[str]
) -> Config:
    """Merges the layers; where there are problems, the result is not to be used."""
    top: dict[str, Any] = {}
    for layer in layers:
        top = _merged(top, {k: v for k, v in layer.top.items() if k not in TASK_SECTIONS})
    given = dict.fromkeys([*layers[0].tasks, *layers[-1].tasks])
    for name in given:
        if name not in builtin:
            _require_custom_keys(name, layers, builtin, problems)
    names = _walked(layers, builtin, top.get("curriculum", {}).get("tasks", ()), problems)
    tasks = []
    for name in names:
        values: dict[str, Any] = {}
        for number, layer in enumerate(layers):
            values = _merged(values, layer.sections)
            if number == 0:
                values = _merged(values, builtin.get(name, {}))
            values = _merged(values, layer.tasks.get(name, {}))
        sections = {s: section_of(cls, values.pop(s, {})) for s, cls in TASK_SECTIONS.items()}
        tasks.append(TaskConfig(name=name, **values, **sections))
    curriculum = CurriculumConfig(**top.pop("curriculum", {}))
    return Config(**top, curriculum=curriculum, tasks=tuple(tasks))


def _walked(
    layers: Sequence[_Layer],
    builtin: Mapping[str, Any],
    selected: Sequence[str],
    problems: list[str],
) -> list[str]:
    """Returns the names of the tasks to walk, in order.

    The file's `tasks` say which are configured; without them the built-in ones are. A built-in
    task can be selected even where the file does not mention it.
    """
    file, overrides = layers[0], layers[-1]
    configured = list(file.tasks) if file.place("tasks") is not None else list(builtin)
    configured += [n for n in overrides.tasks if n not in configured and n not in builtin]
    known = list(dict.fromkeys([*configured, *builtin]))
    place = next(
        (p for layer in reversed(layers) if (p := layer.place("curriculum", "tasks"))),
        file.node.place,
    )
    for name in selected:
        if name not in known:
            problems.append(
                f"{place}: curriculum.tasks: given the unknown task {name!r}{_meant(name, known)}; "
                f"known are {', '.join(known)}"
            )
    if not configured and not selected and not problems:
        place = file.place("tasks") or file.node.place
        problems.append(f"{place}: tasks: no task is configured, expected at least one")
    return [name for name in selected if name in known] if selected else configured


def _require_custom_keys(
    name: str, layers: Sequence[_Layer], builtin: Mapping[str, Any], problems: list[str]
) -> None:
    given = {key for layer in layers for key in _keys_given(layer.node, name)}
    missing = [key for key in CUSTOM_TASK_KEYS if key not in given]
    if not missing:
        return
    place = next(p for layer in layers if (p := layer.place("tasks", name)))
    problems.append(
        f"{place}: tasks.{name}: not a built-in task{_meant(name, builtin)}; a task of your own "
        f"needs {', '.join(CUSTOM_TASK_KEYS)}: missing {', '.join(missing)}"
    )


def _keys_given(root: Node, task: str) -> list[str]:
    """Returns a task's keys in a tree, wrong ones included: those are complained about already."""
    node: Node | None = root
    for key in ("tasks", task):
        node = node.value.get(key) if node and isinstance(node.value, dict) else None
    return list(node.value) if node and isinstance(node.value, dict) else []


def _meant(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            result[key] = _merged(old, value)
        else:
            result[key] = value
    return result


def _message(problems: Sequence[str]) -> str:
    unique = list(dict.fromkeys(problems))
    if len(unique) == 1:
        return unique[0]
    shown = "\n  ".join(unique[:MAX_SHOWN])
    more = f"\n  and {len(unique) - MAX_SHOWN} more" if len(unique) > MAX_SHOWN else ""
    return f"the configuration has {len(unique)} problems:\n  {shown}{more}"
