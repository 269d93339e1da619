"""Programs that work side by side, told while they do: one live table, or lines with a mark."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from types import TracebackType
from typing import IO, Any, Generic, Self, TypeVar, cast

from rich.console import Console
from rich.live import Live
from rich.table import Table

from curriculum.errors import ExitCode
from curriculum.show.lines import LosableStream

K = TypeVar("K", bound=Hashable)
Event = dict[str, Any]
Words = Mapping[int, tuple[str, str]]
"""What exit codes are called, and their colours."""

_STOPPED = (ExitCode.RESUMABLE, ExitCode.INTERRUPTED, ExitCode.TERMINATED)
STOPPED: Words = dict.fromkeys(_STOPPED, ("stopped", "cyan"))


def ending(code: int, words: Words) -> tuple[str, str]:
    """Returns the word for an exit code, and its colour."""
    return words.get(code, (f"failed, exit code {code}", "bold red"))


class SideBySide(Generic[K]):
    """Shows programs; entered before the first, left after the last. This one shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Is called when all have ended, or nothing more is to be shown."""

    def turned(self, key: K, code: int | None) -> None:
        """Takes that a program was begun, or ended with a code."""

    def told(self, key: K, event: Event) -> None:
        """Takes one event of a program's ledger."""

    def refresh(self) -> None:
        """Is called about twice a second."""


class MarkedLines(SideBySide[K]):
    """Writes what happens in each program, its mark in front.

    Args:
        tellers: by program, what writes the lines of its events to a `Marked` stream.
        marks: of the programs.
        running: the word for one that works.
        words: for those that have ended.
        stream: where to write.
    """

    def __init__(
        self,
        tellers: Mapping[K, Callable[[Event], object]],
        marks: Mapping[K, str],
        running: str,
        words: Words,
        stream: LosableStream,
    ) -> None:
        self._tellers, self._marks = tellers, marks
        self._running, self._words, self._stream = running, words, stream

    def end(self) -> None:
        """Waits until all is written."""
        self._stream.flush()
        self._stream.drain()

    def turned(self, key: K, code: int | None) -> None:
        """Writes that a program works, or how it ended."""
        word = self._running if code is None else ending(code, self._words)[0]
        self._stream.write(f"{self._marks[key]}: {word}\n")
        self._stream.flush()

    def told(self, key: K, event: Event) -> None:
        """Writes what an event means to a person, if anything."""
        self._tellers[key](event)


class Marked:
    """A stream whose every line begins with a mark."""

    encoding = "utf-8"

    def __init__(self, mark: str, stream: LosableStream) -> None:
        self._mark, self._stream = mark, stream

    def write(self, text: str) -> int:
        return self._stream.write(self._mark + text)

    def flush(self) -> None:
        self._stream.flush()


class LiveTable(SideBySide[K]):
    """One table that is drawn again and again; `picture` is what a kind of program fills in.

    Args:
        console: where to draw.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._codes: dict[K, int | None] = {}
        self._live = Live(
            console=console,
            get_renderable=self.picture,
            auto_refresh=False,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def end(self) -> None:
        """Leaves the last picture where it is."""
        self._live.refresh()
        self._live.stop()
        if isinstance(self._console.file, LosableStream):
            self._console.file.drain()

    def turned(self, key: K, code: int | None) -> None:
        """Takes the state of a program for its row."""
        self._codes[key] = code

    def refresh(self) -> None:
        """Draws the table."""
        self._live.refresh()

    def picture(self) -> Table:
        """Returns what is to be seen now."""
        raise NotImplementedError


def console_on(stream: LosableStream) -> Console:
    """Returns what draws a `LiveTable` there."""
    return Console(file=cast(IO[str], stream), highlight=False, markup=False)
