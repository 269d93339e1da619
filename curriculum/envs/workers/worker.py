"""The working side: a process that plays a batch of environments as its parent says."""

from __future__ import annotations

import os
import threading
import time
import traceback
from typing import Any

import numpy as np

from curriculum.envs.interface import EnvSpec, VectorEnv
from curriculum.envs.trace import Trace, retrace
from curriculum.envs.workers.shared import SharedStep, map_step, reserve
from curriculum.pool.channel import WorkerEnd, dumps, loads
from curriculum.pool.reference import resolve

BUILD, RESET, STEP, REPLAY, CLOSE = b"B", b"R", b"S", b"A", b"C"
READY, SHOWN, TAKEN, STEPPED, REPLAYED, BUSY, RAISED = b"r", b"o", b"t", b"s", b"a", b"b", b"e"

_BUSY_S = 0.2


def serve(command_fd: int, lifeline_fd: int, memory_fd: int) -> None:
    """Plays environments until told to close or until the parent is gone: a worker's body.

    Args:
        command_fd: the worker's end of the socket.
        lifeline_fd: what can be read only when the parent is gone.
        memory_fd: the shared memory.
    """
    parent = WorkerEnd(command_fd)
    for fd in (lifeline_fd, memory_fd):
        os.set_inheritable(fd, False)
    threading.Thread(target=_end_with_parent, args=(lifeline_fd,), daemon=True).start()
    try:
        _Host(parent, memory_fd).play()
    except (Exception, SystemExit) as e:  # noqa: BLE001 - the parent records it and decides
        told = (f"{type(e).__name__}: {e}", traceback.format_exc(), _pickled(e))
        parent.post(RAISED, dumps(told))
        # The parent reads that and ends this process.
        parent.read()


def _end_with_parent(lifeline_fd: int) -> None:
    os.read(lifeline_fd, 1)
    os._exit(0)


class _Host:
    """The environments of one worker and its connection to the parent."""

    def __init__(self, parent: WorkerEnd, memory_fd: int) -> None:
        self._parent = parent
        kind, content = self._next()
        assert kind == BUILD, f"a worker is told first what to build, not {kind!r}"
        make, args, rows, batch_size = content
        self._env: VectorEnv = resolve(make)(*args, rows.stop - rows.start)
        spec: EnvSpec = self._env.spec
        reserve(memory_fd, spec, batch_size)
        self._shared: SharedStep = map_step(memory_fd, spec, batch_size).part(rows)
        os.close(memory_fd)
        parent.post(READY, dumps(spec))

    def play(self) -> None:
        """Does what the parent says until it says close."""
        while True:
            kind, content = self._next()
            if kind == STEP:
                self._step()
            elif kind == RESET:
                rows, seeds = content
                self._show(self._env.reset(seeds, rows))
                self._parent.post(SHOWN)
            elif kind == REPLAY:
                self._parent.post(REPLAYED, dumps(self._replay(content)))
            else:
                self._env.close()
                return

    def _next(self) -> tuple[bytes, Any]:
        kind, content = self._parent.read()
        return kind, loads(content) if content else None

    def _step(self) -> None:
        shared = self._shared
        taken = self._env.send(shared.actions.copy())
        if self._env.spec.replaces_actions:
            shared.taken[:] = taken
            self._parent.post(TAKEN)
        step = self._env.recv()
        self._show(step.observations)
        shared.rewards[:] = step.rewards
        shared.terminated[:] = step.terminated
        shared.truncated[:] = step.truncated
        shared.life_lost[:] = step.life_lost
        if step.facts is not None:
            shared.facts[:] = step.facts
        over = (step.terminated | step.truncated) & (shared.following >= 0)
        if over.any():
            # The parent would ask for it in a moment: a message less, and no other worker waits.
            rows = np.flatnonzero(over)
            begun = self._env.reset(shared.following[rows].tolist(), rows.tolist())
            shared.beginnings[rows] = begun[rows]
        self._parent.post(STEPPED)

    def _show(self, observations: np.ndarray) -> None:
        np.copyto(self._shared.observations, observations)

    def _replay(self, trace: Trace) -> list[int]:
        """Plays episodes again; returns the environments in which one ended, as none should."""
        told = time.monotonic()

        def tell_now_and_then() -> None:
            nonlocal told
            if time.monotonic() - told > _BUSY_S:
                self._parent.post(BUSY)
                told = time.monotonic()

        seen, ended = retrace(self._env, trace, go_on=False, after_step=tell_now_and_then)
        if seen is not None:
            self._show(seen)
        return np.flatnonzero(ended).tolist()


def _pickled(error: BaseException) -> bytes:
    """Returns an error as it can be sent to another process; empty if it cannot."""
    try:
        data = dumps(error)
        loads(data)
    except Exception:  # noqa: BLE001 - an error can be of any class; its text is sent anyway
        return b""
    return data
