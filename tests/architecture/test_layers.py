"""The house of the project: imports go down, light files stay light, files and folders small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("baselines", "curriculum", "diagnostics", "models")

LAYERS: tuple[tuple[str, ...], ...] = (
    (
        "curriculum.errors",
        "curriculum.registration",
        "curriculum.config.*",
        "curriculum.envs.interface",
        "diagnostics.components",
        "diagnostics.cores",
        "diagnostics.probe*",
        "diagnostics.probing.*",
        "diagnostics.processes",
        "models.interfaces",
    ),
    (
        "curriculum.mode",
        "curriculum.place",
        "curriculum.seeds",
        "curriculum.tasks",
        "curriculum.pretrained.*",
        "curriculum.progress",
        "curriculum.stops",
        "curriculum.records.*",
        "curriculum.datasets.*",
        "curriculum.envs.contract",
        "curriculum.envs.aliases",
        "diagnostics.cache",
    ),
    (
        "models.controller_cpu",
        "models.evolution",
        "models.pca",
        "models.echo",
        "models.normaliser",
        "models.numeric.*",
        "curriculum.envs.simulation.*",
        "curriculum.pool.*",
    ),
    (
        "models.vae",
        "models.mdnrnn",
        "models.controller",
        "models.ppo",
        "models.cma_es",
        "models.neural.*",
        "curriculum.envs.*",
    ),
    ("curriculum.backends.*",),
    ("curriculum.world.*",),
    ("curriculum.agent.*",),
    ("curriculum.collecting.*",),
    ("curriculum.learning.*", "curriculum.insight.*"),
    ("curriculum.stages.*",),
    ("curriculum.runs.*", "curriculum.show.*", "baselines.*", "diagnostics.*"),
    ("curriculum.cli.*", "curriculum.door.*"),
)
"""From the ground up; the first layer with a matching pattern owns a module."""

HEAVY = {"torch", "gymnasium", "ale_py", "stable_baselines3", "cma", "pygame", "Box2D", "cv2"}
MAY_BE_HEAVY = (
    *LAYERS[3],
    "curriculum.agent.dream_env",
    "curriculum.backends.full",
    "baselines.ppo",
    "baselines.throughput",
    "baselines.vec_env",
    "diagnostics.bench.rivals",
)
FORBIDDEN_NAMES = {"utils", "helpers", "common", "misc"}
MAX_LINES, MAX_FILES = 400, 12


def python_files() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> int:
    if module.endswith(".__main__"):
        return len(LAYERS) - 1
    for number, patterns in enumerate(LAYERS):
        if any(fnmatchcase(module, p) or fnmatchcase(f"{module}.", p) for p in patterns):
            return number
    raise AssertionError(f"{module} belongs to no layer: name it in LAYERS")


def imports(path: Path, *, top_level: bool) -> Iterator[str]:
    """Yields the modules that a file imports, those of `from x import y` as `x` and `x.y`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = _module_level(tree) if top_level else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a module lives"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module_level(tree: ast.Module) -> Iterator[ast.AST]:
    """Yields what runs on import: everything outside functions and `if TYPE_CHECKING`."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        pending.extend(ast.iter_child_nodes(node))


MODULES = {module_name(path): path for path in python_files() if path.stat().st_size}


def internal_imports(module: str) -> set[str]:
    found = {name for name in imports(MODULES[module], top_level=False) if name in MODULES}
    # `from a.b import c` names a.b too; where c is itself a module, a.b is only its package.
    return {n for n in found if n != module and MODULES[n].name != "__init__.py"}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downwards(module: str) -> None:
    mine = layer_of(module)
    above = {name for name in internal_imports(module) if layer_of(name) > mine}
    assert not above, f"{module} (layer {mine}) imports upwards: {sorted(above)}"


def test_no_import_cycles() -> None:
    graph = {
        module: {n for n in imports(path, top_level=True) if n in MODULES and n != module}
        for module, path in MODULES.items()
        if path.name != "__init__.py"
    }
    graph = {m: {n for n in targets if n in graph} for m, targets in graph.items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as e:
        pytest.fail(f"import cycle: {' -> '.join(e.args[1])}")


@pytest.mark.parametrize("module", MODULES)
def test_light_modules_stay_light(module: str) -> None:
    if any(fnmatchcase(module, pattern) for pattern in MAY_BE_HEAVY):
        return
    heavy = {name.partition(".")[0] for name in imports(MODULES[module], top_level=True)} & HEAVY
    assert not heavy, f"{module} imports {sorted(heavy)} at module level"


def test_models_and_the_ground_of_diagnostics_import_nothing_of_ours() -> None:
    for module in MODULES:
        own = module.partition(".")[0]
        grounded = own == "models" or (own == "diagnostics" and layer_of(module) < 9)
        foreign = {n for n in internal_imports(module) if n.partition(".")[0] != own}
        foreign.discard("diagnostics.cores")  # nothing of ours in it; the one count of cores
        assert not (grounded and foreign), f"{module} imports {sorted(foreign)}"


def test_mode_members_are_named_only_where_modes_are_the_subject() -> None:
    allowed = {"curriculum.mode", "curriculum.records.ledger", "curriculum.show.report"}
    for module, path in MODULES.items():
        if module in allowed or module.startswith("curriculum.backends"):
            continue
        named = [
            node.attr
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "Mode"
        ]
        assert not named, f"{module} asks for Mode.{named[0]}: let the backend decide"


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
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {module_name(path) for path in python_files() if path.name == "__init__.py"}
    assert set(listed) == found
