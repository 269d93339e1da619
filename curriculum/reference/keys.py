"""Every key of the configuration with its default, its range and its meaning, as Markdown."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

from curriculum.config.check import Known, fields_of
from curriculum.config.loading import TASK, TOP
from curriculum.show.markdown import table

_HEADER = ("key", "default", "may be", "meaning")


def reference() -> str:
    """Returns the sections as tables, in the order in which a file usually has them."""
    sections = {
        "": ("The run", _plain(TOP)),
        "tasks.<name>.": ("A task", _plain(TASK)),
    }
    for name, (_, kind) in TOP.items():
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            told = (kind.__doc__ or name).strip().partition("\n")[0]
            sections[f"{name}."] = (told, fields_of(kind))
    parts = [
        "# Every key of the configuration\n",
        "Any of them is set by `--set key=value`; those of a task's sections for one task alone by "
        "`--set tasks.<name>.key=value`, or under that task in the file.\n",
    ]
    for prefix, (told, known) in sections.items():
        parts += [f"## {told}\n", table(_HEADER, _rows(prefix, known))]
    return "\n".join(parts)


def _plain(known: Known) -> Known:
    """Returns the keys that are no sections."""
    return {
        name: (field, kind)
        for name, (field, kind) in known.items()
        if not dataclasses.is_dataclass(kind) and name != "tasks"
    }


def _rows(prefix: str, known: Known) -> Iterator[list[str]]:
    for name, (field, _) in known.items():
        default = field.default
        shown = "" if default is dataclasses.MISSING else _shown(default)
        yield [f"{prefix}{name}", shown, _range(field.metadata), field.metadata.get("help", "")]


def _range(meta: Mapping[str, Any]) -> str:
    if meta.get("choices") is not None:
        return ", ".join(map(str, meta["choices"]))
    low, high = meta.get("low"), meta.get("high")
    above = "above" if meta.get("open_low") else "at least"
    if low is not None and high is not None and not meta.get("open_low"):
        return f"{low:,} to {high:,}"
    told = [f"{above} {low:,}"] if low is not None else []
    return ", ".join([*told, *([f"at most {high:,}"] if high is not None else [])])


def _shown(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)
