"""The channel between a process and its worker: whole messages, in order, whatever their size."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import pytest

from curriculum.pool.channel import ParentEnd, WorkerEnd, dumps, loads
from tests.patience import HANG_S, eventually

READY, ECHO = b"r", b"e"


def serve(fd: int) -> None:
    """Sends back what comes: the body of a worker of these tests."""
    parent = WorkerEnd(fd)
    print("these are the last words", flush=True)
    parent.post(READY)
    while True:
        kind, content = parent.read()
        parent.post(kind, content)


@pytest.fixture
def end() -> Iterator[ParentEnd]:
    end = ParentEnd("tests.curriculum.test_channel", 1)
    end.socket.setblocking(False)
    yield end
    end.interpreter.signal(signal.SIGKILL)
    end.interpreter.process.wait()
    end.release()


def next_message(end: ParentEnd) -> tuple[bytes, bytes]:
    found: list[tuple[bytes, bytes]] = []

    def arrived() -> bool:
        end.flush()
        end.fill()
        # It is asked once more after it came true.
        if not found and (message := end.take()) is not None:
            found.append(message)
        return bool(found)

    assert eventually(arrived)
    return found[0]


def test_messages_come_back_whole_and_in_order(end: ParentEnd) -> None:
    assert next_message(end) == (READY, b"")
    contents = [b"", b"x", os.urandom(3_000_000), dumps({"a": (1, None)})]
    for content in contents:
        end.put(ECHO, content)
    assert [next_message(end) for _ in contents] == [(ECHO, content) for content in contents]
    assert loads(contents[-1]) == {"a": (1, None)}
    assert end.take() is None


def test_a_worker_that_has_gone_is_told_by_either_direction(end: ParentEnd) -> None:
    assert next_message(end) == (READY, b"")
    end.interpreter.signal(signal.SIGKILL)
    end.interpreter.process.wait()
    with pytest.raises(EOFError):
        end.fill()
    end.put(ECHO)
    with pytest.raises(EOFError):
        end.flush()
    assert end.interpreter.describe_end() == "was killed by SIGKILL"
    assert "the last words" in end.release()
    assert end.release() == end.release() and end.released


def test_a_worker_ends_when_its_parent_closes_the_socket(end: ParentEnd) -> None:
    assert next_message(end) == (READY, b"")
    end.socket.shutdown(socket.SHUT_RDWR)
    assert end.interpreter.process.wait(HANG_S) == 0


def test_time_is_counted_from_the_first_question(end: ParentEnd) -> None:
    end.allow(1e6)
    assert 0 < end.left() <= 1e6
    end.allow(0.0)
    assert end.left() == 0.0
