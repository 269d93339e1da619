"""Where boxes and arrows stand on paper: rows from the ground up, with few crossings.

A layered drawing after Sugiyama, Tagawa & Toda 1981: each floor is cut into rows so that arrows go
down from row to row; an arrow that passes a row gets a place in it; places are sorted by where
their neighbours stand, and moved towards them as far as the order allows. Arrows to one box share
their places, so that they join like rivers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from diagnostics.architecture.plan import Arrow, Box, Plan

LETTER, PADDING, GAP = 7.4, 22.0, 16.0
PASSING_WIDTH = 0.0

SWEEPS = 40


class Passing(NamedTuple):
    """What arrows to one box take up in a row; an arrow that is wrong has its own."""

    goal: Box | Arrow
    row: int


Spot = Box | Passing


@dataclass(frozen=True)
class Layout:
    """A drawing without its looks.

    Attributes:
        rows: boxes of each row and the arrows that pass it, from the ground up, left to right.
        x: the middle of each place.
        width: of each place.
        ways: the places that each drawn arrow leads through, from above to below.
    """

    rows: tuple[tuple[Spot, ...], ...]
    x: Mapping[Spot, float]
    width: Mapping[Spot, float]
    ways: Mapping[Arrow, tuple[Spot, ...]]


def lay_out(plan: Plan) -> Layout:
    """Places a plan's boxes, and the arrows that tell something."""
    level = _levels(plan)
    rows: list[list[Spot]] = [[] for _ in range(max(level.values()) + 1)]
    for box in plan.boxes:
        rows[level[box]].append(box)
    ways = {arrow: _way(plan, arrow, level) for arrow in sorted(plan.telling)}
    for place in dict.fromkeys(place for way in ways.values() for place in way):
        if isinstance(place, Passing):
            rows[place.row].append(place)
    neighbours = _neighbours(ways.values())
    width: dict[Spot, float] = {
        place: box_width(plan, place) if isinstance(place, Box) else PASSING_WIDTH
        for row in rows
        for place in row
    }
    rows = _sorted(rows, neighbours)
    x = _moved(rows, neighbours, width)
    left = min(x[place] - width[place] / 2 for place in x)
    x = {place: at - left for place, at in x.items()}
    return Layout(tuple(map(tuple, rows)), x, width, ways)


def box_width(plan: Plan, box: Box) -> float:
    """Returns what a box's longest line of text needs."""
    return PADDING + LETTER * max(map(len, labels(plan, box)))


def labels(plan: Plan, box: Box) -> tuple[str, str]:
    """Returns the two lines in a box: its name without the top folder, and its size."""
    modules = plan.boxes[box]
    files = f"{len(modules)} files, " if len(modules) > 1 else ""
    code = f"{sum(module.code for module in modules):,} lines"
    return box.package.partition(".")[2] or box.package, files + code


def _levels(plan: Plan) -> dict[Box, int]:
    """Gives each box a row: above all boxes of its floor that it imports, and above lower floors.

    What a cycle is made of does not count, so it stands side by side.
    """
    wrong = plan.wrong
    below: dict[Box, set[Box]] = defaultdict(set)
    for arrow in plan.arrows:
        if arrow.source.floor == arrow.target.floor and arrow not in wrong:
            below[arrow.source].add(arrow.target)
    level: dict[Box, int] = {}
    ground = 0
    for floor in sorted({box.floor for box in plan.boxes}):
        here = [box for box in plan.boxes if box.floor == floor]
        depth = {box: _depth(box, below) for box in here}
        level.update({box: ground + depth[box] for box in here})
        ground += max(depth.values()) + 1
    return level


def _depth(box: Box, below: Mapping[Box, set[Box]]) -> int:
    return max((1 + _depth(other, below) for other in below.get(box, ())), default=0)


def _way(plan: Plan, arrow: Arrow, level: Mapping[Box, int]) -> tuple[Spot, ...]:
    """Returns an arrow's ends and its places in the rows between them, the highest first."""
    high, low = sorted(arrow, key=lambda box: -level[box])
    goal = arrow if arrow in plan.wrong else low
    return (high, *(Passing(goal, row) for row in range(level[high] - 1, level[low], -1)), low)


def _neighbours(ways: Iterable[Sequence[Spot]]) -> dict[Spot, list[Spot]]:
    found: dict[Spot, list[Spot]] = defaultdict(list)
    for high, low in dict.fromkeys(pair for way in ways for pair in pairwise(way)):
        found[high].append(low)
        found[low].append(high)
    return found


def _sorted(rows: list[list[Spot]], neighbours: Mapping[Spot, Sequence[Spot]]) -> list[list[Spot]]:
    """Sorts rows by the middle of their neighbours' places, up and down; the best order wins."""
    best, fewest = rows, _crossings(rows, neighbours)
    for sweep in range(SWEEPS):
        order = {place: i / len(row) for row in rows for i, place in enumerate(row)}
        turned = rows if sweep % 2 else rows[::-1]
        for number, row in enumerate(turned):
            seen = set(turned[number - 1]) if number else set()
            key = {
                place: _mean([order[n] for n in neighbours[place] if n in seen], order[place])
                for place in row
            }
            row = sorted(row, key=key.__getitem__)
            turned[number] = row
            order.update({place: i / len(row) for i, place in enumerate(row)})
        rows = list(turned if sweep % 2 else turned[::-1])
        crossings = _crossings(rows, neighbours)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _crossings(rows: Sequence[Sequence[Spot]], neighbours: Mapping[Spot, Sequence[Spot]]) -> int:
    count = 0
    for low, high in pairwise(rows):
        order = {place: i for i, place in enumerate(low)}
        ends = [sorted(order[n] for n in neighbours[place] if n in order) for place in high]
        flat: list[int] = []
        for group in ends:
            count += sum(other > end for end in group for other in flat)
            flat += group
    return count


def _moved(
    rows: Sequence[Sequence[Spot]],
    neighbours: Mapping[Spot, Sequence[Spot]],
    width: Mapping[Spot, float],
) -> dict[Spot, float]:
    """Moves each row's places towards their neighbours as far as its order allows."""
    x: dict[Spot, float] = {}
    for row in rows:
        x.update(zip(row, _spread([0.0] * len(row), row, width), strict=True))
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 else rows[::-1]:
            wanted = [_mean([x[n] for n in neighbours[place]], x[place]) for place in row]
            x.update(zip(row, _spread(wanted, row, width), strict=True))
    return x


def _spread(
    wanted: Sequence[float], row: Sequence[Spot], width: Mapping[Spot, float]
) -> list[float]:
    """Returns the places nearest to those wanted, by squares, that do not overlap.

    Pools neighbours that would overlap (isotonic regression by pool-adjacent-violators).
    """
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (width[left] + width[right]) / 2 + GAP)
    pools: list[tuple[float, int]] = []
    for at, offset in zip(wanted, offsets, strict=True):
        mean, count = at - offset, 1
        while pools and pools[-1][0] > mean:
            before, size = pools.pop()
            mean, count = (before * size + mean * count) / (size + count), size + count
        pools.append((mean, count))
    flat = [mean for mean, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(flat, offsets, strict=True)]


def _mean(numbers: Sequence[float], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise
