"""Importing a stranger's file and seeing what it registers; in a guarded process only."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from diagnostics.vetting.reporting import raised


def overlay(sources: Mapping[str, str]) -> None:
    """Lets files be imported as if they held other text, in this process.

    Args:
        sources: a file's resolved path to its text.
    """
    read, stats = SourceFileLoader.get_data, SourceFileLoader.path_stats

    def get_data(self: Any, path: str) -> bytes:
        fixed = sources.get(str(Path(path).resolve()))
        return read(self, path) if fixed is None else fixed.encode()

    def path_stats(self: Any, path: Any) -> Mapping[str, Any]:
        if str(Path(path).resolve()) in sources:
            raise OSError("not to be taken from a cache")
        return stats(self, path)

    SourceFileLoader.get_data = get_data
    SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign]
    sys.dont_write_bytecode = True


def imported(file: Path) -> tuple[list[str], str]:
    """Imports a file; returns the ids it registers, sorted, and what it failed with, or ""."""
    before = _known()
    try:
        ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as e:
        return [], f"is no Python that can be read: {e}"
    try:
        load(file)
    except BaseException as e:  # noqa: BLE001 - whatever a stranger's module raises is the finding
        return [], "cannot be imported: it " + raised(e, "", str(file)).text
    return sorted(_known() - before), ""


def load(file: Path) -> None:
    """Imports a file under the name that it has in its package, else under one of its own.

    Its directory is looked into last, for what lies beside it.
    """
    packages = []
    root = file.parent
    while (root / "__init__.py").is_file() and root.name.isidentifier():
        packages.insert(0, root.name)
        root = root.parent
    sys.path.append(str(root))
    if packages:
        names = packages if file.stem == "__init__" else [*packages, file.stem]
        importlib.import_module(".".join(names))
        return
    name = f"vetted_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be loaded as a module: give it a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def _known() -> set[str]:
    """Ids that are registered here, or with Gymnasium where that is installed."""
    from curriculum.envs.registry import registered

    try:
        from gymnasium import registry
    except ImportError:
        return set(registered())
    return {*registered(), *registry}
