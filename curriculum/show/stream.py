"""A stream that a display can lose without the run noticing."""

from __future__ import annotations

import os
import sys
from typing import TextIO


class LosableStream:
    """Writes to a stream until it is closed or refuses, and is silent from then on.

    A run is worth more than its picture: whoever reads our output may go away (`| head`, a closed
    terminal) at any time.

    Args:
        stream: where to write; None, as `sys.stdout` is where there is none, is lost already.

    Attributes:
        lost: why nothing is written any more; empty while all is well.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.lost = "" if stream is not None else "there is no stream"
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self.errors = "replace"

    def write(self, text: str) -> int:
        if not self.lost and self._stream is not None:
            try:
                self._stream.write(self._encodable(text))
            except (OSError, ValueError) as e:
                self._lose(e)
        return len(text)

    def flush(self) -> None:
        if not self.lost and self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as e:
                self._lose(e)

    def isatty(self) -> bool:
        """Whether a terminal is at the other end; a closed stream has none."""
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError as e:
            self._lose(e)
            return False

    def fileno(self) -> int:
        if self._stream is None:
            raise OSError("there is no stream")
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def _encodable(self, text: str) -> str:
        return text.encode(self.encoding, "replace").decode(self.encoding)

    def _lose(self, error: Exception) -> None:
        self.lost = f"{type(error).__name__}: {error}"
        if self._stream is not None and self._stream is sys.stdout and not self._stream.closed:
            # What is still buffered would fail again when the interpreter flushes at its end.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
