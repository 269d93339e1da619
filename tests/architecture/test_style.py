"""Rules of style that a linter does not know: modes, and the length of functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from curriculum.mode import Mode
from diagnostics.architecture.source import Module, read_modules

MODULES = read_modules(Path(__file__).resolve().parents[2])
MAX_FUNCTION = 40
"""Lines of its statements: no parameters, no docstring, no functions that it defines."""

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

MODES = {mode.value for mode in Mode}
MODES_AS_TEXT = {
    "curriculum.mode": "where they are named",
    "curriculum.config.schema": "what a file may say, on the floor below the enum",
    "curriculum.cli.arguments.readers": "what may be typed; help loads nothing but argparse",
}
"""Modules that may write a mode's name as a string, and why."""

MODE_MEMBERS = ("curriculum.mode", "curriculum.records.ledger", "curriculum.show.report")


@pytest.mark.parametrize("name", MODULES)
def test_mode_members_are_named_only_where_modes_are_the_subject(name: str) -> None:
    if name in MODE_MEMBERS or name.startswith("curriculum.backends"):
        return
    named = [
        node.attr
        for node in ast.walk(MODULES[name].tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Mode"
    ]
    assert not named, f"{name} asks for Mode.{named[0]}: let the backend decide"


@pytest.mark.parametrize("name", MODULES)
def test_modes_are_no_strings(name: str) -> None:
    if name in MODES_AS_TEXT:
        return
    lines = [
        node.lineno
        for node in ast.walk(MODULES[name].tree)
        if isinstance(node, ast.Constant) and node.value in MODES
    ]
    assert not lines, f"{name} writes a mode as a string in lines {lines}: use curriculum.mode.Mode"


def test_no_exception_is_left_over() -> None:
    for name in MODES_AS_TEXT:
        constants = {n.value for n in ast.walk(MODULES[name].tree) if isinstance(n, ast.Constant)}
        assert constants & MODES, (
            f"{name} no longer writes a mode as a string: take it off the list"
        )


@pytest.mark.parametrize("name", MODULES)
def test_functions_are_short(name: str) -> None:
    long = {called: n for called, n in _functions(MODULES[name]) if n > MAX_FUNCTION}
    assert not long, f"{name} has functions of more than {MAX_FUNCTION} lines: {long}"


def _functions(module: Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(module.tree):
        if isinstance(node, FUNCTIONS):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            inner = [n for child in body for n in ast.walk(child) if isinstance(n, FUNCTIONS)]
            lines = {n for part in body for n in _lines(part)}
            yield node.name, len(lines.difference(*map(_lines, inner)))


def _lines(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)
