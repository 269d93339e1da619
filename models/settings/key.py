"""A setting: a dataclass field that carries its meaning and its range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any


def key(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Any] | None = None,
    open_low: bool = False,
    min_items: int = 0,
    max_items: int | None = None,
    unique: bool = False,
    rectangle: int = 0,
    name: bool = False,
    module: bool = False,
) -> Any:
    """Returns a field with default, meaning, and the closed range (or `open_low`) or choices.

    For a list, range and choices are those of its items, `min_items`, `max_items` and `unique` its
    own, and `rectangle` says that it is empty or two ranges, each of at least so many numbers; for
    a text `min_items` counts characters, `name` marks one that becomes a directory's name, and
    `module` one that is imported.
    """
    meta = {
        "help": help,
        "low": low,
        "high": high,
        "choices": choices,
        "open_low": open_low,
        "min_items": min_items,
        "max_items": max_items,
        "unique": unique,
        "rectangle": rectangle,
        "name": name,
        "module": module,
    }
    return field(default=default, metadata=meta)
