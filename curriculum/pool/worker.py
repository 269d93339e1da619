"""The working side of the pool: a process that does units as they come over a socket."""

from __future__ import annotations

import faulthandler
import os
import queue
import signal
import socket
import struct
import threading
import traceback
from multiprocessing.reduction import ForkingPickler
from typing import Any

from curriculum.errors import EnvironmentFault
from curriculum.pool.reference import resolve

LENGTH = struct.Struct("!Q")


class Bench:
    """A process's context and the units done with it, in a worker and in the parent alike."""

    def __init__(self, build: str, args: tuple[Any, ...]) -> None:
        self._build = build
        self._args = args
        self._context: Any = None
        self._built = False

    def answer(self, function: str, unit: Any) -> bytes:
        """Returns the message that tells the unit's result or error."""
        try:
            if not self._built and self._build:
                self._context = resolve(self._build)(*self._args)
            self._built = True
            return dumps(("done", resolve(function)(self._context, unit)))
        except (Exception, SystemExit) as e:  # noqa: BLE001 - the parent records it and decides
            fault = dumps(e) if isinstance(e, EnvironmentFault) else b""
            return dumps(("error", f"{type(e).__name__}: {e}", traceback.format_exc(), fault))

    def close(self) -> None:
        """Closes the context if it can be closed."""
        close = getattr(self._context, "close", None)
        if close is not None:
            close()


def serve(fd: int) -> None:
    """Does units as they come over a socket until it closes: the body of a worker process.

    Args:
        fd: the worker's end of the socket.
    """
    handle_signals()
    os.set_inheritable(fd, False)
    connection = socket.socket(fileno=fd)
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
    _post(connection, dumps(("ready",)))
    bench = Bench("", ())
    while True:
        kind, *content = loads(inbox.get())
        if kind == "context":
            bench.close()
            bench = Bench(*content)
        else:
            function, unit = content
            _post(connection, bench.answer(function, unit))


def handle_signals() -> None:
    """Leaves Ctrl-C to the parent, and has the log show where the worker was at its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    faulthandler.register(signal.SIGTERM, chain=True)


def _listen(connection: socket.socket, inbox: queue.SimpleQueue[bytes]) -> None:
    """Takes messages until the parent is gone, then ends this process, busy or not."""
    try:
        with connection.makefile("rb") as stream:
            while len(head := stream.read(LENGTH.size)) == LENGTH.size:
                message = stream.read(size := LENGTH.unpack(head)[0])
                if len(message) < size:
                    break
                inbox.put(message)
    finally:
        # Also where reading raised: a parent that was killed with something of ours unread resets
        # the connection instead of closing it.
        os._exit(0)


def _post(connection: socket.socket, message: bytes) -> None:
    try:
        connection.sendall(LENGTH.pack(len(message)))
        connection.sendall(message)
    except ConnectionError:
        os._exit(0)  # the parent has gone, and `_listen` is about to see it


def dumps(value: Any) -> bytes:
    """Returns a message for another process of the same pool."""
    return bytes(ForkingPickler.dumps(value, 5))


def loads(data: bytes) -> Any:
    """Reads what another process of this same pool wrote into its private socket."""
    return ForkingPickler.loads(data)  # pyright: ignore[reportAttributeAccessIssue]
