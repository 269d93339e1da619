"""This package as pip knows it: its name, its version, and how its requirements are installed."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

NAME = "world-models-curriculum"
_ROOT = Path(__file__).resolve().parents[1]


def version() -> str:
    """Returns the version that is installed, or says that none is."""
    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return "of a clone that is not installed"


def is_clone() -> bool:
    """Tells whether this is a clone of the project, with the versions that it is tested with."""
    return all((_ROOT / name).is_file() for name in ("pyproject.toml", "constraints.txt"))


def install(*requirements: str) -> str:
    """Returns the command that installs requirements; without any, this package with all it uses.

    In a clone it takes the versions that the project is tested with.
    """
    clone = is_clone()
    whole = '-e ".[full]"' if clone else f'"{NAME}[full]"'
    named = " ".join(f'"{name}"' for name in requirements) or whole
    return f"pip install {'-c constraints.txt ' if clone else ''}{named}"
