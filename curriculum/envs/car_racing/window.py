"""The window that CarRacing draws in, and the small picture that it makes of it."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pygame
from gymnasium.envs.box2d import car_racing as native

from models.interfaces import Frames

WIDTH, HEIGHT = native.WINDOW_W, native.WINDOW_H
_ROWS, _COLUMNS = native.STATE_H, native.STATE_W
_BAR_HEIGHT = HEIGHT // 8
"""The instruments and the score, at the lower end of the window."""
_FONT_SIZE = 42


class Window:
    """A window of 1000 by 800 pixels whose y axis points upwards until its picture is made.

    Its width is shrunk row by row and then its height column by column. So where neither
    instruments nor score are wanted, it is turned over between the two, when it is small.

    Args:
        top_rows: rows of the picture's 96 that are wanted.

    Attributes:
        surface: what is drawn on.
        lowest: the first of its rows that is wanted.
    """

    def __init__(self, top_rows: int) -> None:
        height, rest = divmod(top_rows * HEIGHT, _ROWS)
        self._bare = rest == 0 and height <= HEIGHT - _BAR_HEIGHT
        self._top_rows = top_rows
        canvas = _Sheet(np.zeros((HEIGHT, WIDTH, 4), np.uint8))
        self.surface = canvas.surface
        self.lowest = HEIGHT - height if self._bare else 0
        self._wanted = _Sheet(canvas.pixels[self.lowest :])
        narrow = np.empty((height, _COLUMNS, 4), np.uint8)
        self._narrow = _Sheet(narrow) if self._bare else self._wanted
        self._upright = _Sheet(np.empty_like(self._narrow.pixels))
        rows = top_rows if self._bare else _ROWS
        self._small = _Sheet(np.empty((rows, _COLUMNS, 4), np.uint8))
        self._score: tuple[str, pygame.Surface] | None = None

    def clear(self, colour: list[int]) -> None:
        """Fills the wanted rows with a colour, red, green and blue in 0..255."""
        self._wanted.pixels.view(np.uint32).fill(int.from_bytes((*colour, 0), sys.byteorder))

    def picture(self, racing: Any, score: float) -> Frames:
        """Shrinks what was drawn.

        Args:
            racing: the environment, which draws the instruments.
            score: the number beside them.

        Returns:
            `[top_rows, 96, 3]` uint8, read-only.
        """
        if self._bare:
            _shrink(self._wanted.surface, self._narrow.surface)
        self._upright.pixels[:] = self._narrow.pixels[::-1]
        if not self._bare:
            self._draw_bar(racing, score)
        _shrink(self._upright.surface, self._small.surface)
        # The quickest of pygame's ways to a contiguous array of red, green and blue.
        colours = np.frombuffer(pygame.image.tobytes(self._small.surface, "RGB"), np.uint8)
        return colours.reshape(-1, _COLUMNS, 3)[: self._top_rows]

    def _draw_bar(self, racing: Any, score: float) -> None:
        racing.surf = self._upright.surface
        racing._render_indicators(WIDTH, HEIGHT)
        text = f"{score:04.0f}"
        if self._score is None or self._score[0] != text:
            self._score = (text, _rendered(text))
        image = self._score[1]
        racing.surf.blit(image, image.get_rect(center=(60, HEIGHT - HEIGHT * 2.5 / 40.0)))


class _Sheet:
    """Pixels `[H, W, 4]` uint8 that are also a surface: red, green, blue, and a byte unused."""

    def __init__(self, pixels: Frames) -> None:
        height, width, _ = pixels.shape
        self.pixels = pixels
        self.surface = pygame.image.frombuffer(pixels.data, (width, height), "RGBX")


def _shrink(source: pygame.Surface, target: pygame.Surface) -> None:
    pygame.transform.smoothscale(source, target.get_size(), target)


def _rendered(text: str) -> pygame.Surface:
    pygame.font.init()
    font = pygame.font.Font(pygame.font.get_default_font(), _FONT_SIZE)
    return font.render(text, True, (255, 255, 255), (0, 0, 0))
