"""Code that a configuration names: imported on a person's word, never on a run directory's.

A run directory is handed on like a picture, and nobody expects a picture to run code. So what a
configuration in one wants to be imported is asked for again, and a module that lies inside one is
never imported.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from curriculum.config.schema import Config
from curriculum.errors import ConfigError


def code_of(config: Config) -> tuple[str, ...]:
    """Returns the modules that a configuration wants to be imported, each once.

    They are its plugins, and what stands before the colon in an environment id.
    """
    before_colon = (t.env_id.partition(":")[0] for t in config.tasks if ":" in t.env_id)
    return tuple(dict.fromkeys([*config.curriculum.plugins, *before_colon]))


def flag(config: Config) -> str:
    """Returns ` --plugins a,b`, to be added to a command on a run; empty if it needs no code."""
    names = code_of(config)
    return f" --plugins {','.join(names)}" if names else ""


def require_agreed(config: Config, agreed: Collection[str], where: Path) -> None:
    """Refuses to import what only a run directory asks for.

    Args:
        config: as it lies in a run directory.
        agreed: modules that were named on the command line.
        where: the directory, for the sentence.

    Raises:
        ConfigError: it names others, or one that lies inside a run directory.
    """
    names = code_of(config)
    for name in names:
        refuse_inside_run(name)
    missing = [name for name in names if name not in agreed]
    if missing:
        raise ConfigError(
            f"{where} wants Python modules to be imported: {', '.join(missing)}; a run directory "
            f"may come from anyone, so none was. If you know and trust them, add{flag(config)}"
        )


def refuse_inside_run(name: str) -> None:
    """Raises ConfigError if a module's name leads into a run directory.

    Args:
        name: of the module; nothing of it is imported to find out.
    """
    for path in _candidates(name):
        run = run_of(path)
        if run is not None:
            raise ConfigError(
                f"the plugin {name} is {path}, which lies in the run directory {run}: code from "
                f"there is never imported; keep plugins beside your configuration, outside of runs"
            )


def run_of(path: Path) -> Path | None:
    """Returns the run directory that a file lies in, as it is named or where links lead."""
    for whole in (path.absolute(), path.resolve()):
        for folder in (whole, *whole.parents):
            if all(os.path.lexists(folder / name) for name in ("run.json", "config.yaml")):
                return folder
    return None


def _candidates(name: str) -> Iterator[Path]:
    """Yields what Python could import under a dotted name, the packages around it included."""
    top, *inner = name.split(".")
    places = [Path(entry or ".") for entry in sys.path]
    yield from _known_to_finders(top)
    for part in (top, *inner):
        for place in places:
            files = (place / f"{part}{ending}" for ending in importlib.machinery.all_suffixes())
            yield from (path for path in (place / part, *files) if os.path.lexists(path))
        places = [place / part for place in places if (place / part).is_dir()]


def _known_to_finders(top: str) -> Iterator[Path]:
    """Yields where installed finders, such as those of editable installs, know a module."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        # Whoever imports it is told what is wrong with it.
        return
    if spec is not None:
        found = [spec.origin or "", *(spec.submodule_search_locations or ())]
        yield from (path for path in map(Path, found) if path.is_absolute())
