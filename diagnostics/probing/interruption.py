"""A request to stop while probes run: first everything is cleaned up, then the signal is obeyed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_held() -> Iterator[Callable[[], bool]]:
    """Holds SIGINT, SIGTERM and SIGHUP back until the block has ended; ignored ones stay ignored.

    Yields:
        A function that tells whether one came: then the block should end soon.

    Raises:
        KeyboardInterrupt: SIGINT came, and nobody handles it in another way.
        SystemExit: another one came; its code is 128 and the signal's number.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # only the main thread may change handlers
        return
    came: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        came.append(number)

    handlers = {n: signal.getsignal(n) for n in SIGNALS}
    held = {n: h for n, h in handlers.items() if h not in (signal.SIG_IGN, None)}
    for number in held:
        signal.signal(number, on_signal)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        if came:
            _obey(came[0])


def _obey(number: int) -> None:
    # The default of SIGTERM ends the process at once, without what has to be done on the way out.
    if signal.getsignal(number) != signal.SIG_DFL:
        signal.raise_signal(number)
    raise SystemExit(128 + number)
