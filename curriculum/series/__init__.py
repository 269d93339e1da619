"""Runs of one configuration that differ in their seed alone: walked side by side, told as one."""

from __future__ import annotations

from pathlib import Path

FILE = "series.json"
"""What a directory of such runs holds."""


def exists(path: Path) -> bool:
    """Tells whether a directory holds a series."""
    return (path / FILE).is_file()
