"""A film in a terminal while the episode is played."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live

from curriculum.figures.half_blocks import half_blocks
from curriculum.films.reels import Reel
from curriculum.insight.drawing import Picture

MARGIN = 3
"""Rows that are left below the picture."""


class LiveFilm(Reel):
    """Shows pictures at the game's own speed, or as fast as they come.

    A terminal that draws slowly is shown fewer of them, so that it does not hold up the game.

    Args:
        console: that can show pictures, see `half_blocks.can_show`.
        step_seconds: that a picture lasts.
    """

    def __init__(self, console: Console, step_seconds: float) -> None:
        self._console, self._seconds = console, step_seconds
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._due = 0.0

    @property
    def full(self) -> bool:
        return False

    def take(self, picture: Picture) -> None:
        now = time.monotonic()
        if not self._due:
            self._live.start()
            self._due = now
        if now > self._due + self._seconds:
            # Late by more than a picture: this one is left out, unless much is.
            self._due = max(self._due + self._seconds, now - 1.0)
            return
        time.sleep(max(0.0, self._due - now))
        self._due += self._seconds
        console = self._console
        drawn = half_blocks(picture, console.width - 1, max(4, console.height - MARGIN))
        self._live.update(drawn, refresh=True)

    def end(self, well: bool) -> None:
        """Takes the picture away."""
        self._live.stop()
