"""Python files as modules: where each stands in the house, how long it is, what it imports.

Files are parsed, never imported, so a checkout can be read that does not run here.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from curriculum.errors import ConfigError
from diagnostics.architecture.layers import PACKAGES

Floors = Mapping[str, Sequence[str]]
"""Names of floors, from the ground up, and the patterns of their modules."""

DEFINITIONS = ("diagnostics/architecture/layers.py", "tests/architecture/test_layers.py")
"""Where a checkout says what its floors are; the second is of checkouts before the first."""

_LAYOUT = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER),
}
_WITH_DOCSTRINGS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Module:
    """One file of Python that is not empty.

    Attributes:
        name: as it is imported.
        file: relative to the root of its checkout.
        tree: what it says.
        lines: all its lines.
        code: those that are neither empty nor a comment nor a docstring.
    """

    name: str
    file: Path
    tree: ast.Module
    lines: int
    code: int

    @property
    def package(self) -> str:
        """Its folder; what lies directly in a top folder stands for itself."""
        top, *inner = self.file.parts[:-1]
        return ".".join([top, *inner]) if inner or len(self.file.parts) == 1 else self.name


def read_modules(root: Path) -> dict[str, Module]:
    """Parses all files of a checkout's packages that are not empty.

    Raises:
        ConfigError: there is none, or one is no Python.
    """
    found = [path for top in PACKAGES for path in sorted((root / top).rglob("*.py"))]
    modules = [_read(path, root) for path in found if path.stat().st_size]
    if not modules:
        raise ConfigError(
            f"{root} has no Python files in {', '.join(PACKAGES)}: name the root of a checkout"
        )
    return {module.name: module for module in modules}


def read_layers(root: Path) -> dict[str, tuple[str, ...]]:
    """Reads a checkout's own floors, without running its code; unnamed ones are numbered.

    Raises:
        ConfigError: it does not say what its floors are.
    """
    for path in (root / place for place in DEFINITIONS):
        value = _assigned("LAYERS", path) if path.is_file() else None
        if value is not None:
            layers = ast.literal_eval(value)
            return layers if isinstance(layers, dict) else dict(_numbered(layers))
    raise ConfigError(
        f"{root} does not say what its floors are: expected LAYERS in {' or '.join(DEFINITIONS)}"
    )


def layer_of(module: str, layers: Floors) -> int:
    """Returns the number of a module's floor, 0 being the ground.

    Raises:
        ConfigError: it is on none.
    """
    if module.endswith(".__main__"):
        return len(layers) - 1
    for number, patterns in enumerate(layers.values()):
        if any(fnmatchcase(module, p) or fnmatchcase(f"{module}.", p) for p in patterns):
            return number
    raise ConfigError(f"{module} is on no floor: name it in LAYERS")


def imported(tree: ast.Module, *, on_import: bool = False) -> Iterator[str]:
    """Yields what a file imports, `from x import y` as `x.y`.

    Args:
        tree: the file.
        on_import: only what runs as the file is imported.

    Raises:
        ConfigError: a relative import, which hides where a module lives.
    """
    for node in _at_module_level(tree) if on_import else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ConfigError(f"line {node.lineno}: a relative import; name the whole module")
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_of(
    module: Module, modules: Collection[str], *, on_import: bool = False
) -> frozenset[str]:
    """Returns the names among `modules` that a module imports, itself left out."""
    named = (_owner(name, modules) for name in imported(module.tree, on_import=on_import))
    return frozenset(name for name in named if name and name != module.name)


def _read(path: Path, root: Path) -> Module:
    text = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError as e:
        raise ConfigError(f"{path}, line {e.lineno}: {e.msg}") from e
    file = path.relative_to(root)
    parts = file.with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, file, tree, len(text.splitlines()), len(_code_lines(text, tree)))


def _code_lines(text: str, tree: ast.Module) -> set[int]:
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        for text_node in _texts(node):
            lines.difference_update(range(text_node.lineno, (text_node.end_lineno or 0) + 1))
    return lines


def _texts(node: ast.AST) -> Iterator[ast.Expr]:
    """Yields the docstrings of a module, class or function, those of its variables included."""
    if isinstance(node, _WITH_DOCSTRINGS):
        for child in node.body:
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                yield child


def _at_module_level(tree: ast.Module) -> Iterator[ast.AST]:
    """Yields everything outside functions and `if TYPE_CHECKING`."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        pending.extend(ast.iter_child_nodes(node))


def _owner(name: str, modules: Collection[str]) -> str:
    """Returns the module that a dotted name is in, or is; the empty string if it is not ours."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def _assigned(name: str, path: Path) -> ast.expr | None:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return getattr(node, "value", None)
    return None


def _numbered(layers: Sequence[Sequence[str]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    return ((str(number), tuple(patterns)) for number, patterns in enumerate(layers))
