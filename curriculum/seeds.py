"""Counter-based random streams: a stream is named by its place in the run, never by its turn.

`generator(root, "pong", 0, "collect", episode)` gives the same numbers whether the run was
interrupted, retried or spread over workers.
"""

from __future__ import annotations

import zlib

import numpy as np

_WORD = 2**64 - 1


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


def following_seed(seed: int, turn: int) -> int:
    """Returns the seed of the `turn`-th episode that follows one seeded with `seed`.

    SplitMix64 (Steele et al. 2014, figure 17), because it is asked at each reset of environments
    that reset thousands of times a second.

    Args:
        seed: >= 0.
        turn: counted from 1.

    Returns:
        A seed in `[0, 2**31)`.
    """
    z = (seed + turn * 0x9E3779B97F4A7C15) & _WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _WORD
    return (z ^ (z >> 31)) >> 33
