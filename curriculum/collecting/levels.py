"""Prioritized level replay (Jiang et al. 2021, section 3): levels that went badly come again.

A level is what a seed makes of an environment: a track, a terrain. What C fails on is rare where
levels are drawn evenly, the more so the better it plays; here the levels of the lowest scores are
kept, and an episode plays one of them again with some probability. Each play renews a level's
score, so that what has been learned makes room for what has not. A level is drawn with a
probability in proportion to 1 / rank, rank 1 being the lowest score (their rank prioritization at
temperature 1); their priority by staleness is left out, as every kept level comes again anyhow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from models.interfaces import State

KEPT = 64
"""Levels that are kept."""


class Levels:
    """Chooses the seeds of practice episodes; committed with the collector.

    Args:
        seed_of: gives new levels: the seed of an environment's `n`-th one, from `(row, n)`.
        num_envs: N.
        share: probability that an episode plays a kept level again; at 0 nothing is kept.
    """

    def __init__(self, seed_of: Callable[[int, int], int], num_envs: int, share: float) -> None:
        self._seed_of, self._share = seed_of, share
        self._playing = np.zeros(num_envs, np.int64)
        self._replayed = np.zeros(num_envs, np.bool_)
        self._seeds = np.zeros(0, np.int64)
        self._scores = np.zeros(0)

    def seed(self, row: int, number: int) -> int:
        """Returns the seed of an environment's `number`-th episode."""
        fresh = self._seed_of(row, number)
        if not self._share:
            return fresh
        seed = self._again(fresh)
        self._playing[row], self._replayed[row] = seed, seed != fresh
        return seed

    def ended(self, row: int, score: float) -> bool:
        """Is told the score of an environment's episode, before the seed of the next is asked.

        Returns:
            Whether its level was new, so that the score tells how well C plays.
        """
        if not self._share:
            return True
        others = self._seeds != self._playing[row]
        seeds = np.append(self._seeds[others], self._playing[row])
        scores = np.append(self._scores[others], score)
        kept = np.argsort(scores, kind="stable")[:KEPT]
        self._seeds, self._scores = seeds[kept], scores[kept]
        return not self._replayed[row]

    def state(self) -> State:
        """Returns what is kept, if anything is to be."""
        if not self._share:
            return {}
        return {
            "playing": self._playing.copy(),
            "replayed": self._replayed.copy(),
            "seeds": self._seeds,
            "scores": self._scores,
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave."""
        if "playing" in state:
            self._playing[:], self._replayed[:] = state["playing"], state["replayed"]
            self._seeds = np.array(state["seeds"], np.int64)
            self._scores = np.array(state["scores"], np.float64)

    def _again(self, fresh: int) -> int:
        """Returns a kept level's seed, or the fresh one, which is the only source of chance."""
        # Of a stream of its own: the same numbers make the level.
        rng = np.random.default_rng((fresh, 1))
        if rng.random() >= self._share or not len(self._seeds):
            return fresh
        weights = 1.0 / np.arange(1, len(self._seeds) + 1)
        return int(rng.choice(self._seeds, p=weights / weights.sum()))
