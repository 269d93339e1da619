"""Counter-based random streams: a stream is named by its place in the run, never by its turn.

`generator(root, "pong", 0, "collect", episode)` gives the same numbers whether the run was
interrupted, retried or spread over workers.
"""

from __future__ import annotations

import zlib

import numpy as np


def _sequence(root: int, path: tuple[int | str, ...]) -> np.random.SeedSequence:
    words = [zlib.crc32(p.encode()) if isinstance(p, str) else p for p in path]
    return np.random.SeedSequence([root, *words])


def generator(root: int, *path: int | str) -> np.random.Generator:
    """Returns the generator of a place in the run.

    Args:
        root: the run's seed, >= 0.
        path: names and counters, outermost first: task, round, stage, generation, episode.
    """
    return np.random.Generator(np.random.PCG64(_sequence(root, path)))


def env_seed(root: int, *path: int | str) -> int:
    """Returns the seed of an environment's episode, in `[0, 2**31)`, as emulators want it."""
    return int(_sequence(root, path).generate_state(1)[0] >> 1)
