"""The plan of imports: boxes on floors, arrows between them, and what is wrong with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from diagnostics.architecture.source import (
    Floors,
    Module,
    imports_of,
    layer_of,
    read_layers,
    read_modules,
)


class Box(NamedTuple):
    """What one package has on one floor."""

    floor: int
    package: str


class Arrow(NamedTuple):
    """Imports from one box to another."""

    source: Box
    target: Box


Graph = Mapping[str, Iterable[str]]


@dataclass(frozen=True)
class Plan:
    """What a checkout's packages are and what they import.

    Attributes:
        floors: their names, from the ground up.
        boxes: the modules of each.
        arrows: all imports between boxes, as pairs of modules.
        cycles: packages that import each other, over however many steps.
    """

    floors: tuple[str, ...]
    boxes: Mapping[Box, tuple[Module, ...]]
    arrows: Mapping[Arrow, tuple[tuple[str, str], ...]]
    cycles: tuple[tuple[str, ...], ...]

    @property
    def modules(self) -> list[Module]:
        return [module for modules in self.boxes.values() for module in modules]

    @property
    def up(self) -> list[Arrow]:
        """Arrows that go to a higher floor."""
        return [arrow for arrow in self.arrows if arrow.target.floor > arrow.source.floor]

    @property
    def wrong(self) -> set[Arrow]:
        """Arrows that go up, and those that a cycle is made of."""
        ring = {package: number for number, ring in enumerate(self.cycles) for package in ring}
        within = {
            arrow
            for arrow in self.arrows
            if arrow.source.package != arrow.target.package
            and ring.get(arrow.source.package, -1) == ring.get(arrow.target.package, -2)
        }
        return within | set(self.up)

    @property
    def telling(self) -> set[Arrow]:
        """Arrows that are wrong, or that no longer way from box to box says already."""
        wrong = self.wrong
        right = [arrow for arrow in self.arrows if arrow not in wrong]
        below: dict[Box, set[Box]] = defaultdict(set)
        for arrow in right:
            below[arrow.source].add(arrow.target)
        reached = {box: _reached(box, below) for box in self.boxes}
        said = {
            arrow
            for arrow in right
            if any(arrow.target in reached[box] for box in below[arrow.source])
        }
        return set(self.arrows) - said


def plan_of(root: Path) -> Plan:
    """Reads the plan of a checkout, with its own floors.

    Raises:
        ConfigError: it has no packages or no floors, or a module is on none.
    """
    modules, layers = read_modules(root), read_layers(root)
    return make_plan(modules, layers)


def make_plan(modules: Mapping[str, Module], layers: Floors) -> Plan:
    """Puts modules on floors and finds the arrows between their boxes.

    Raises:
        ConfigError: a module is on no floor.
    """
    homes = {name: Box(layer_of(name, layers), module.package) for name, module in modules.items()}
    boxes: dict[Box, list[Module]] = defaultdict(list)
    arrows: dict[Arrow, list[tuple[str, str]]] = defaultdict(list)
    for name, module in modules.items():
        boxes[homes[name]].append(module)
        for other in sorted(imports_of(module, modules)):
            if homes[other] != homes[name]:
                arrows[Arrow(homes[name], homes[other])].append((name, other))
    return Plan(
        tuple(layers),
        {box: tuple(boxes[box]) for box in sorted(boxes)},
        {arrow: tuple(pairs) for arrow, pairs in arrows.items()},
        cycles(package_graph(modules)),
    )


def package_graph(modules: Mapping[str, Module]) -> dict[str, set[str]]:
    """Returns which packages each package imports, in functions and for types as well."""
    graph: dict[str, set[str]] = defaultdict(set)
    for module in modules.values():
        others = {modules[name].package for name in imports_of(module, modules)}
        graph[module.package] |= others - {module.package}
    return graph


def cycles(graph: Graph) -> tuple[tuple[str, ...], ...]:
    """Returns the groups of nodes that reach each other: strongly connected, of two or more."""
    reached = {node: _reached(node, graph) for node in graph}
    rings = {
        tuple(sorted(other for other in reached[node] if node in reached.get(other, ())))
        for node in graph
        if node in reached[node]
    }
    return tuple(sorted(rings))


def _reached(start, graph) -> set:
    """Returns all nodes that a way leads to from `start`, itself only over a ring."""
    found: set = set()
    pending = list(graph.get(start, ()))
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending.extend(graph.get(node, ()))
    return found
