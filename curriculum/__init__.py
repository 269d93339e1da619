"""A curriculum trainer for world models that runs anywhere, steps down, and resumes exactly.

Its siblings are imported from where it is, though a folder of the user's has the same name: names
like `models` are common, and Python looks into the working directory first.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - a clone is run by what is there
    raise SystemExit(
        f"world-models-curriculum needs Python 3.11 or later, this is "
        f"{sys.version_info.major}.{sys.version_info.minor}: make its environment with a later one"
    )
if sys.platform == "win32":
    raise SystemExit(
        "world-models-curriculum runs on Linux and macOS; its locks and process groups are theirs. "
        "On Windows, use the Windows Subsystem for Linux"
    )

SIBLINGS = ("baselines", "diagnostics", "models")


def _hold_siblings() -> None:
    """Imports each sibling from where this package is, if another would be found in its place.

    Raises:
        ImportError: another one was imported already.
    """
    root = Path(__file__).resolve().parents[1]
    for name in SIBLINGS:
        ours = PathFinder.find_spec(name, [str(root)])
        if ours is None or ours.origin is None or ours.loader is None:
            continue  # an installation that keeps them elsewhere finds them by itself
        there = sys.modules.get(name)
        if there is not None:
            origin = getattr(there, "__file__", None)
            if origin is None or not Path(origin).samefile(ours.origin):
                where = origin or ", ".join(getattr(there, "__path__", ()))
                raise ImportError(
                    f"a package named {name} was imported from {where} before curriculum, which "
                    f"has one of that name: import curriculum first, or rename yours"
                )
            continue
        found = _found(name)
        if found is not None and Path(found).samefile(ours.origin):
            continue
        module = importlib.util.module_from_spec(ours)
        sys.modules[name] = module
        ours.loader.exec_module(module)


def _found(name: str) -> str | None:
    """Returns the file that an import would take, None if it is none."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return spec.origin if spec is not None and spec.has_location else None


_hold_siblings()
