"""The house of the project: imports go down, light files stay light, files and folders small."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from diagnostics.architecture.layers import HEAVY, LAYERS, MAY_BE_HEAVY, PACKAGES
from diagnostics.architecture.plan import cycles, package_graph
from diagnostics.architecture.source import imported, imports_of, layer_of, read_modules

ROOT = Path(__file__).resolve().parents[2]
MODULES = read_modules(ROOT)
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc"}
MAX_LINES, MAX_FILES = 400, 12


def python_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_downwards(name: str) -> None:
    mine = layer_of(name, LAYERS)
    others = imports_of(MODULES[name], MODULES)
    above = sorted(other for other in others if layer_of(other, LAYERS) > mine)
    assert not above, f"{name} (floor {mine}) imports upwards: {above}"


def test_no_modules_import_each_other_as_they_load() -> None:
    graph = {name: imports_of(module, MODULES, on_import=True) for name, module in MODULES.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as e:
        pytest.fail(f"import cycle: {' -> '.join(e.args[1])}")


def test_no_packages_import_each_other() -> None:
    """Imports in functions and for types count: who reads one package must not need the other."""
    rings = cycles(package_graph(MODULES))
    pairs = [
        f"{name} -> {other}"
        for ring in rings
        for name, module in MODULES.items()
        for other in sorted(imports_of(module, MODULES))
        if {module.package, MODULES[other].package} <= set(ring)
        and module.package != MODULES[other].package
    ]
    assert not rings, "packages that import each other:\n" + "\n".join(pairs)


@pytest.mark.parametrize("name", MODULES)
def test_light_modules_stay_light(name: str) -> None:
    if any(fnmatchcase(name, pattern) for pattern in MAY_BE_HEAVY):
        return
    named = imported(MODULES[name].tree, on_import=True)
    heavy = {other.partition(".")[0] for other in named} & HEAVY
    assert not heavy, f"{name} imports {sorted(heavy)} at module level"


def test_models_and_the_ground_of_diagnostics_import_nothing_of_ours() -> None:
    runs = list(LAYERS).index("runs")
    for name, module in MODULES.items():
        own = name.partition(".")[0]
        grounded = own == "models" or (own == "diagnostics" and layer_of(name, LAYERS) < runs)
        foreign = {n for n in imports_of(module, MODULES) if n.partition(".")[0] != own}
        foreign.discard("diagnostics.cores")  # nothing of ours in it; the one count of cores
        assert not (grounded and foreign), f"{name} imports {sorted(foreign)}"


@pytest.mark.parametrize("path", python_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_are_small_and_well_named(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{path} has {lines} lines, at most {MAX_LINES}"
    assert path.stem not in FORBIDDEN_NAMES, f"{path} says nothing about what is in it"


def test_folders_are_small() -> None:
    for folder in {path.parent for path in [*python_files(), *(ROOT / "tests").rglob("*.py")]}:
        files = [p for p in folder.iterdir() if p.is_file() and p.suffix == ".py"]
        assert len(files) <= MAX_FILES, f"{folder} has {len(files)} files, at most {MAX_FILES}"


def test_packages_are_all_listed_for_installation() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = (path.parent for path in python_files() if path.name == "__init__.py")
    found = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    # Folders of files that lie elsewhere in a clone hold no modules.
    assert set(setuptools["packages"]) == found | setuptools["package-dir"].keys()
