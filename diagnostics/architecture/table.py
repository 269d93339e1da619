"""A plan as text: each floor's packages, what they import, and the counts that matter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from diagnostics.architecture.plan import Box, Plan

LARGEST = 5


def counts(plan: Plan) -> list[str]:
    """Returns the sizes of a tree and what is wrong with its imports, each in a few words."""
    modules = plan.modules
    return [
        f"{len(modules)} files",
        f"{sum(module.lines for module in modules):,} lines",
        f"{sum(module.code for module in modules):,} lines of code",
        f"{len(plan.arrows)} arrows between packages",
        f"{len(plan.up)} going up",
        f"{len(plan.cycles)} package cycles",
    ]


def as_text(plan: Plan) -> str:
    """Returns the table of packages, the highest floor first, and the counts below it."""
    rows = [("floor", "package", "files", "lines", "code", "imports"), *_rows(plan)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [_line(row, widths) for row in rows]
    lines += ["", *counts(plan), *_faults(plan), "", "largest files:", *_largest(plan)]
    return "\n".join(lines) + "\n"


def _rows(plan: Plan) -> Iterator[tuple[str, ...]]:
    for box in sorted(plan.boxes, key=lambda box: (-box.floor, box.package)):
        modules = plan.boxes[box]
        sizes = (
            len(modules),
            sum(module.lines for module in modules),
            sum(module.code for module in modules),
        )
        targets = {arrow.target for arrow in plan.arrows if arrow.source == box}
        floor = f"{box.floor} {plan.floors[box.floor]}"
        yield floor, box.package, *(f"{size:,}" for size in sizes), _names(box, targets)


def _names(box: Box, targets: Iterable[Box]) -> str:
    """Names what is imported, the highest first, without the folder it shares with the box."""
    top = box.package.partition(".")[0] + "."
    found = sorted({(-target.floor, target.package) for target in targets})
    return " ".join(dict.fromkeys(package.removeprefix(top) for _, package in found))


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    floor, package, *sizes, imports = row
    texts = [floor.ljust(widths[0]), package.ljust(widths[1])]
    numbers = [size.rjust(width) for size, width in zip(sizes, widths[2:], strict=True)]
    return "  ".join([*texts, *numbers, imports]).rstrip()


def _faults(plan: Plan) -> Iterator[str]:
    for arrow in plan.up:
        pairs = ", ".join(f"{one} -> {other}" for one, other in plan.arrows[arrow])
        yield f"up: {pairs}"
    for ring in plan.cycles:
        yield f"cycle: {', '.join(ring)}"


def _largest(plan: Plan) -> Iterator[str]:
    largest = sorted(plan.modules, key=lambda module: (-module.lines, module.name))[:LARGEST]
    return (f"{module.lines:5}  {module.file}" for module in largest)
