"""Pictures in a terminal: two pixels to a cell, the upper one its ink and the lower its ground."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import zip_longest

import numpy as np
from PIL import Image
from rich.align import Align
from rich.color import Color
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.style import Style
from rich.text import Text

from models.shapes import UInt8

Picture = UInt8[np.ndarray, "_ _ 3"]
UPPER_HALF = "▀"


def can_show(console: Console) -> bool:
    """Tells whether a console can show pictures: a terminal with colours and with half blocks."""
    if not console.is_terminal or console.color_system is None or console.is_dumb_terminal:
        return False
    try:
        UPPER_HALF.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def half_blocks(picture: Picture, columns: int, rows: int = 0) -> Text:
    """Draws a picture in as many columns, or fewer where its height would take too many rows.

    Args:
        picture: `[H, W, 3]` uint8.
        columns: cells it may be wide.
        rows: cells it may be high; 0 sets no limit.
    """
    height, width = picture.shape[:2]
    if rows:
        columns = max(1, min(columns, 2 * rows * width // height))
    lines = max(1, round(columns * height / width / 2))
    image = Image.fromarray(picture).resize((columns, 2 * lines), Image.Resampling.BOX)
    pixels = np.asarray(image).reshape(lines, 2, columns, 3)
    text = Text(no_wrap=True, end="")
    for number, (upper, lower) in enumerate(pixels.tolist()):
        if number:
            text.append("\n")
        for ink, ground in zip(upper, lower, strict=True):
            style = Style(color=Color.from_rgb(*ink), bgcolor=Color.from_rgb(*ground))
            text.append(UPPER_HALF, style)
    return text


def show_film(
    console: Console,
    films: Sequence[tuple[str, Sequence[Picture]]],
    seconds: float,
    rows: int = 0,
) -> None:
    """Plays films side by side at real speed; a slow terminal is shown fewer pictures.

    Args:
        console: that can show pictures, see `can_show`.
        films: names and pictures of equal size; who has fewer keeps its last one.
        seconds: that a picture lasts.
        rows: cells that the pictures may be high; 0 is as the terminal.
    """
    names = [name for name, _ in films]
    frames = list(zip_longest(*(pictures for _, pictures in films)))
    last = [pictures[-1] for _, pictures in films]
    frames = [
        [end if one is None else one for one, end in zip(frame, last, strict=True)]
        for frame in frames
    ]
    began = time.monotonic()
    with Live(console=console, auto_refresh=False) as live:
        shown = -1
        while shown < len(frames) - 1:
            due = min(int((time.monotonic() - began) / seconds), len(frames) - 1)
            if due > shown:
                live.update(_side_by_side(console, names, frames[due], rows), refresh=True)
                shown = due
            else:
                time.sleep(min(seconds / 4, 0.02))


def _side_by_side(
    console: Console, names: Sequence[str], pictures: Sequence[Picture], rows: int
) -> RenderableType:
    columns = max(8, (console.width - 2 * len(names)) // len(names))
    most = max(4, console.height - 4)
    drawn = [half_blocks(picture, columns, min(rows or most, most)) for picture in pictures]
    parts = [
        Group(Align.center(Text(name, style="dim"), width=_width(text)), text)
        for name, text in zip(names, drawn, strict=True)
    ]
    return Columns(parts, padding=(0, 1))


def _width(text: Text) -> int:
    return len(text.plain.split("\n", 1)[0])
