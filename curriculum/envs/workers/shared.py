"""The memory that workers share with their parent: one step of the whole batch."""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import NamedTuple

import numpy as np

from curriculum.envs.interface import ActionSpec, EnvSpec

_ALIGNMENT = 64


class SharedStep(NamedTuple):
    """Actions and what came of them, `[N, ...]` each; a worker writes its own rows only.

    Where `following` is no negative number, a worker begins the next episode with that seed as
    soon as one ends, and shows it in `beginnings`.
    """

    actions: np.ndarray
    following: np.ndarray
    beginnings: np.ndarray
    taken: np.ndarray
    observations: np.ndarray
    facts: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    life_lost: np.ndarray

    def part(self, rows: slice) -> SharedStep:
        """Returns some environments' part of it."""
        return SharedStep(*(array[rows] for array in self))


def unmapped() -> SharedStep:
    """Returns what takes the place of the arrays when the memory is to go."""
    return SharedStep(**dict.fromkeys(SharedStep._fields, np.zeros(0, np.float32)))


def new_memory() -> int:
    """Returns a file descriptor of memory without a name, which ends with its last user."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("environments")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def reserve(fd: int, spec: EnvSpec, num_envs: int) -> None:
    """Makes the memory large enough, and never smaller, as others may use it already.

    Raises:
        OSError: the machine has not that much. Without asking, writing to it would kill.
    """
    size_bytes = _size_bytes(_layout(spec, num_envs))
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size_bytes)
    elif os.fstat(fd).st_size < size_bytes:
        os.ftruncate(fd, size_bytes)


def map_step(fd: int, spec: EnvSpec, num_envs: int) -> SharedStep:
    """Returns the arrays in the memory, which stays mapped as long as one of them lives."""
    layout = _layout(spec, num_envs)
    memory = mmap.mmap(fd, _size_bytes(layout))
    arrays, offset = [], 0
    for shape, dtype in layout:
        arrays.append(np.ndarray(shape, dtype, memory, offset))
        offset += _room(shape, dtype)
    return SharedStep(*arrays)


def action_array(action: ActionSpec, num_envs: int) -> tuple[tuple[int, ...], np.dtype]:
    """Returns shape and dtype of the actions of so many environments."""
    if action.kind == "discrete":
        return (num_envs,), np.dtype(np.int64)
    return (num_envs, action.size), np.dtype(np.float32)


def observation_array(spec: EnvSpec, num_envs: int) -> tuple[tuple[int, ...], np.dtype]:
    """Returns shape and dtype of the observations of so many environments."""
    dtype = np.uint8 if spec.observation == "pixels" else np.float32
    return (num_envs, *spec.shape), np.dtype(dtype)


def _layout(spec: EnvSpec, num_envs: int) -> list[tuple[tuple[int, ...], np.dtype]]:
    actions = action_array(spec.action, num_envs)
    observations = observation_array(spec, num_envs)
    seeds, rewards, flag = (((num_envs,), np.dtype(kind)) for kind in ("i8", "f4", "?"))
    facts = ((num_envs, len(spec.facts)), np.dtype(np.float32))
    asked = [actions, seeds, observations]
    return [*asked, actions, observations, facts, rewards, flag, flag, flag]


def _size_bytes(layout: list[tuple[tuple[int, ...], np.dtype]]) -> int:
    return sum(_room(shape, dtype) for shape, dtype in layout)


def _room(shape: tuple[int, ...], dtype: np.dtype) -> int:
    size_bytes = int(np.prod(shape)) * dtype.itemsize
    return -(-size_bytes // _ALIGNMENT) * _ALIGNMENT
