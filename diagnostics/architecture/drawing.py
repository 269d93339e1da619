"""A plan as a picture: rectangles, texts and curves, written as SVG or painted by Pillow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

from diagnostics.architecture.layout import Layout, Spot, labels, lay_out
from diagnostics.architecture.plan import Box, Plan
from diagnostics.architecture.table import counts

TONES = {
    "baselines": "#efe0f7",
    "curriculum": "#dbe9fb",
    "diagnostics": "#fdebd0",
    "models": "#dcf3dd",
}
INK, FAINT, LINE, WRONG, FLOOR = "#1f2933", "#66727f", "#8fa0b3", "#c62828", "#f5f6f8"
BOX_HEIGHT, ROW_HEIGHT, MARGIN, NAMES, HEAD = 40.0, 84.0, 24.0, 110.0, 64.0
STEPS = 24
"""Straight pieces that a painted curve consists of."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Rectangle:
    """A filled rectangle; `about` is shown where a pointer rests on it."""

    left: float
    top: float
    width: float
    height: float
    tone: str
    edge: str = "none"
    about: str = ""


@dataclass(frozen=True)
class Text:
    """One line of text; `at` is the middle of it, or its left end."""

    at: Point
    text: str
    size: int
    tone: str = INK
    middle: bool = True


@dataclass(frozen=True)
class Arc:
    """A line through points, upright at each, with an arrow's head at its end."""

    points: tuple[Point, ...]
    tone: str
    about: str = ""


Shape = Rectangle | Text | Arc


@dataclass(frozen=True)
class Sheet:
    """Shapes in the order in which they are painted."""

    width: float
    height: float
    shapes: tuple[Shape, ...]


def draw(plan: Plan) -> Sheet:
    """Draws floors from the ground up, boxes on them, and arrows from what imports."""
    layout = lay_out(plan)
    inner = max(layout.x[place] + layout.width[place] / 2 for place in layout.x)
    width = NAMES + inner + 2 * MARGIN
    height = HEAD + ROW_HEIGHT * len(layout.rows) + MARGIN
    shapes = [
        Rectangle(0, 0, width, height, "#ffffff"),
        *_head(plan),
        *_floors(plan, layout, width),
        *_curves(plan, layout),
        *(shape for box in plan.boxes for shape in _box(plan, layout, box)),
    ]
    return Sheet(width, height, tuple(shapes))


def as_svg(picture: Sheet) -> str:
    """Writes a picture as SVG."""
    size = f'width="{picture.width:.0f}" height="{picture.height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
        f'viewBox="0 0 {picture.width:.0f} {picture.height:.0f}" '
        'font-family="Helvetica, Arial, sans-serif">',
        *(f"  {_svg(shape)}" for shape in picture.shapes),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def save_png(picture: Sheet, path: Path) -> None:
    """Paints a picture at twice its size."""
    from PIL import Image, ImageDraw, ImageFont

    scale = 2
    size = (round(picture.width * scale), round(picture.height * scale))
    image = Image.new("RGB", size)
    pen = ImageDraw.Draw(image)
    for shape in picture.shapes:
        if isinstance(shape, Rectangle):
            corners = (shape.left, shape.top, shape.left + shape.width, shape.top + shape.height)
            edge = None if shape.edge == "none" else shape.edge
            pen.rounded_rectangle([scale * c for c in corners], 8, shape.tone, edge, scale)
        elif isinstance(shape, Text):
            at = (shape.at[0] * scale, shape.at[1] * scale)
            font = ImageFont.load_default(shape.size * scale)
            pen.text(at, shape.text, shape.tone, font, "mm" if shape.middle else "lm")
        else:
            line = [(x * scale, y * scale) for x, y in _pieces(shape.points)]
            pen.line(line, shape.tone, scale, "curve")
            pen.polygon([(x * scale, y * scale) for x, y in _tip(shape)], shape.tone)
    image.save(path)


def _head(plan: Plan) -> Iterator[Shape]:
    yield Text((MARGIN, 22), "who imports whom", 17, middle=False)
    drawn = f"; drawn are the {len(plan.telling)} that no longer way says already"
    yield Text((MARGIN, 44), ", ".join(counts(plan)) + drawn, 12, FAINT, middle=False)
    for number, (name, tone) in enumerate(TONES.items()):
        left = MARGIN + 190 + 120 * number
        yield Rectangle(left, 14, 14, 14, tone, LINE)
        yield Text((left + 20, 22), name, 12, FAINT, middle=False)


def _floors(plan: Plan, layout: Layout, width: float) -> Iterator[Shape]:
    rows: dict[int, list[int]] = defaultdict(list)
    for number, row in enumerate(layout.rows):
        for floor in {place.floor for place in row if isinstance(place, Box)}:
            rows[floor].append(number)
    for floor, numbers in rows.items():
        top = _middle(layout, max(numbers)) - ROW_HEIGHT / 2 + 3
        height = ROW_HEIGHT * len(numbers) - 6
        yield Rectangle(MARGIN / 2, top, width - MARGIN, height, FLOOR)
        at = (MARGIN, top + height / 2)
        yield Text(at, f"{floor}  {plan.floors[floor]}", 15, FAINT, middle=False)


def _box(plan: Plan, layout: Layout, box: Box) -> Iterator[Shape]:
    x, width = NAMES + MARGIN + layout.x[box], layout.width[box]
    y = _middle(layout, _row_of(layout)[box])
    tone = TONES[box.package.partition(".")[0]]
    edge = WRONG if any(box in arrow for arrow in plan.wrong) else LINE
    about = "\n".join(f"{module.name}: {module.code} lines" for module in plan.boxes[box])
    yield Rectangle(x - width / 2, y - BOX_HEIGHT / 2, width, BOX_HEIGHT, tone, edge, about)
    name, size = labels(plan, box)
    yield Text((x, y - 7), name, 14)
    yield Text((x, y + 10), size, 11, FAINT)


def _curves(plan: Plan, layout: Layout) -> Iterator[Arc]:
    """Draws what is wrong last, so that it is seen."""
    wrong, rows = plan.wrong, _row_of(layout)
    leave, arrive, left = _docks(layout, 0), _docks(layout, 1), NAMES + MARGIN
    for arrow, way in sorted(layout.ways.items(), key=lambda item: item[0] in wrong):
        points: list[Point] = []
        for high, low in pairwise(way):
            over = BOX_HEIGHT / 2 if rows[high] == rows[low] else -BOX_HEIGHT / 2
            points += [
                (
                    left + layout.x[high] + leave[high, low],
                    _middle(layout, rows[high]) + BOX_HEIGHT / 2,
                ),
                (left + layout.x[low] + arrive[high, low], _middle(layout, rows[low]) + over),
            ]
        if way[0] != arrow.source:
            points.reverse()
        pairs = "\n".join(f"{one} -> {other}" for one, other in plan.arrows[arrow])
        yield Arc(tuple(points), WRONG if arrow in wrong else LINE, pairs)


def _docks(layout: Layout, end: int) -> dict[tuple[Spot, Spot], float]:
    """Returns where on a place's side each way ends, from the middle: sorted, so none cross.

    Args:
        layout: has the ways.
        end: 0 is where a step of a way begins, 1 where it ends.
    """
    sides: dict[Spot, list[tuple[Spot, Spot]]] = defaultdict(list)
    for step in dict.fromkeys(step for way in layout.ways.values() for step in pairwise(way)):
        sides[step[end]].append(step)
    docks: dict[tuple[Spot, Spot], float] = {}
    for place, steps in sides.items():
        steps.sort(key=lambda step: layout.x[step[1 - end]])
        for number, step in enumerate(steps, start=1):
            docks[step] = layout.width[place] * (number / (len(steps) + 1) - 0.5)
    return docks


def _row_of(layout: Layout) -> Mapping[Spot, int]:
    return {place: number for number, row in enumerate(layout.rows) for place in row}


def _middle(layout: Layout, row: int) -> float:
    return HEAD + ROW_HEIGHT * (len(layout.rows) - row - 0.5)


def _svg(shape: Shape) -> str:
    if isinstance(shape, Text):
        anchor = "middle" if shape.middle else "start"
        x, y = shape.at
        where = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" dominant-baseline="central"'
        look = f'font-size="{shape.size}" fill="{shape.tone}"'
        return f"<text {where} {look}>{escape(shape.text)}</text>"
    about = f"<title>{escape(shape.about)}</title>" if shape.about else ""
    if isinstance(shape, Rectangle):
        where = f'x="{shape.left:.1f}" y="{shape.top:.1f}"'
        size = f'width="{shape.width:.1f}" height="{shape.height:.1f}" rx="4"'
        return f'<rect {where} {size} fill="{shape.tone}" stroke="{shape.edge}">{about}</rect>'
    tip = " ".join(f"{x:.1f},{y:.1f}" for x, y in _tip(shape))
    return (
        f'<g stroke="{shape.tone}"><path d="{_path(shape.points)}" fill="none"/>'
        f'<polygon points="{tip}" fill="{shape.tone}"/>{about}</g>'
    )


def _path(points: tuple[Point, ...]) -> str:
    parts = [f"M{points[0][0]:.1f},{points[0][1]:.1f}"]
    for start, end in pairwise(points):
        one, other = _handles(start, end)
        parts.append("C" + " ".join(f"{x:.1f},{y:.1f}" for x, y in (one, other, end)))
    return " ".join(parts)


def _handles(start: Point, end: Point) -> tuple[Point, Point]:
    """Returns a Bezier curve's two handles: upright; below both ends where they are level."""
    bend = (end[1] - start[1]) / 2 or ROW_HEIGHT / 4
    level = start[1] == end[1]
    return (start[0], start[1] + bend), (end[0], end[1] + bend if level else end[1] - bend)


def _pieces(points: tuple[Point, ...]) -> list[Point]:
    line = [points[0]]
    for start, end in pairwise(points):
        bends = (start, *_handles(start, end), end)
        for step in range(1, STEPS + 1):
            t = step / STEPS
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
            sums = [
                sum(w * p[axis] for w, p in zip(weights, bends, strict=True)) for axis in (0, 1)
            ]
            line.append((sums[0], sums[1]))
    return line


def _tip(curve: Arc) -> list[Point]:
    x, y = curve.points[-1]
    level = curve.points[0][1] == y
    back = -6 if y > curve.points[-2][1] and not level else 6
    return [(x, y), (x - 3.5, y + back), (x + 3.5, y + back)]
