"""Pictures in a terminal."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from curriculum.figures.half_blocks import can_show, half_blocks, show_film

RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(height: int = 4, width: int = 6) -> np.ndarray:
    """Red above blue."""
    made = np.zeros((height, width, 3), np.uint8)
    made[: height // 2], made[height // 2 :] = RED, BLUE
    return made


def console(**options) -> Console:
    settings = {"width": 40, "height": 12, "force_terminal": True, "color_system": "truecolor"}
    settings |= {"file": io.StringIO(), "_environ": {"TERM": "xterm"}}
    return Console(**{**settings, **options})


def test_a_cell_holds_two_pixels() -> None:
    text = half_blocks(picture(2, 3), 3)
    assert text.plain == "▀▀▀"
    style = text.spans[0].style
    assert style.color.triplet == RED and style.bgcolor.triplet == BLUE


@pytest.mark.parametrize(
    ("shape", "columns", "rows", "size"),
    [
        ((64, 64), 20, 0, (20, 10)),
        ((64, 64), 80, 12, (24, 12)),
        ((210, 160), 40, 0, (40, 26)),
        ((400, 600), 60, 10, (30, 10)),
        ((1, 500), 10, 0, (10, 1)),
    ],
)
def test_a_picture_keeps_its_shape_and_fits(
    shape: tuple[int, int], columns: int, rows: int, size: tuple[int, int]
) -> None:
    lines = half_blocks(picture(*shape), columns, rows).plain.split("\n")
    assert (len(lines[0]), len(lines)) == size
    assert len({len(line) for line in lines}) == 1


def test_pictures_are_only_for_terminals_that_can_show_them() -> None:
    assert can_show(console())
    assert not can_show(console(force_terminal=False))
    assert not can_show(console(color_system=None))
    assert not can_show(console(_environ={"TERM": "dumb"}))
    latin = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert not can_show(console(file=latin))


def test_films_of_different_lengths_end_with_the_last_pictures() -> None:
    shown = console()
    show_film(shown, [("one", [picture()] * 3), ("two", [picture()] * 1)], 0.001)
    text = shown.file.getvalue()
    assert "one" in text and "two" in text and "▀" in text
