"""What a door and its engine say to each other: one JSON object a line, over a socket.

The door gives its orders with a nonce that only this engine learns, and believes no message
without it: a result that somebody else's code writes, or an exit code alone, proves nothing.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from dataclasses import asdict
from typing import Any

from curriculum.progress import Orders

LOSABLE = frozenset({"alive"})
"""Messages of which the next one says the same; one is left out where the door does not listen."""

_ORDERS_BYTES = 1 << 20


class EngineEnd:
    """The engine's end (`curriculum.progress.Watcher`).

    Args:
        connection: to the door, which has written its orders into it.

    Raises:
        EOFError: the door has gone already.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        with connection.makefile("r", encoding="utf-8") as stream:
            line = stream.readline(_ORDERS_BYTES)
        if not line.endswith("\n"):
            raise EOFError("the door closed before it gave its orders")
        entry = json.loads(line)
        self._nonce: str = entry["nonce"]
        self.orders = Orders(**entry["orders"])

    def tell(self, kind: str, **facts: Any) -> None:
        """Tells the door; what can be lost does not wait for it."""
        line = json.dumps({"nonce": self._nonce, "kind": kind, **facts}).encode() + b"\n"
        flags = socket.MSG_DONTWAIT if kind in LOSABLE else 0
        # A door that has gone hears nothing; `wait_for_end` sees that it has.
        with self._sending, contextlib.suppress(OSError):
            sent = self._connection.send(line, flags)
            # A line is begun only where there was room; its rest has to follow.
            self._connection.sendall(line[sent:])

    def wait_for_end(self) -> None:
        """Returns when the door has gone."""
        with contextlib.suppress(OSError):
            while self._connection.recv(1 << 16):
                continue


class DoorEnd:
    """The door's end; never waits.

    Args:
        connection: to the engine.
        nonce: what its messages have to carry.
    """

    def __init__(self, connection: socket.socket, nonce: str) -> None:
        self._connection = connection
        self._nonce = nonce
        self._rest = b""
        self.open = True

    def order(self, orders: Orders) -> None:
        """Gives the engine its orders, the first thing that it reads."""
        line = json.dumps({"nonce": self._nonce, "orders": asdict(orders)}).encode() + b"\n"
        # An engine that died at once does not read them; how it ended is seen elsewhere.
        with contextlib.suppress(OSError):
            self._connection.sendall(line)
        self._connection.setblocking(False)

    def fileno(self) -> int:
        """Returns what to wait on."""
        return self._connection.fileno()

    def messages(self) -> list[dict[str, Any]]:
        """Returns what the engine has said since the last call, as far as it is signed."""
        try:
            while data := self._connection.recv(1 << 16):
                self._rest += data
            self.open = False
        except BlockingIOError:
            pass  # that was all for now
        except OSError:
            self.open = False  # it died with something of ours unread
        *lines, self._rest = self._rest.split(b"\n")
        return [entry for entry in map(_parsed, lines) if entry.pop("nonce", "") == self._nonce]

    def close(self) -> None:
        """Closes the connection: the engine, if it lives, commits and ends."""
        self._connection.close()


def _parsed(line: bytes) -> dict[str, Any]:
    """Reads one line; what is no message is one that nobody signed."""
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
