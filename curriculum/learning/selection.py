"""Which of the agents that were learned is deployed: the one with the best check.

A check plays fresh real episodes. A score that would end the stage is confirmed by as many again,
so that luck does not end it; one below that costs no more real steps than it has. Where training
scores merely suggest a check, it may end at a glance. Check seeds are never evaluation seeds. What
is checked may be a running mean, which is better than what was learned last and less noisy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from curriculum.agent.episodes import Episode
from curriculum.agent.playing import mean_score
from curriculum.place import Place
from curriculum.records.agent_state import PARAMETERS, learned_part
from curriculum.statistics import mean, standard_error
from curriculum.stops import Guard
from models.interfaces import State

GLANCE = 4
"""Episodes after which a check that came too soon may end."""

_AVERAGED = "averaged"
"""How the names of what is averaged begin in a commit."""

Play = Callable[[State, Sequence[int], Guard], list[Episode]]
"""Plays an episode of an agent, given what it has learned, per seed."""


class Selection:
    """The best agent so far, and the checks that say so; all of it is committed.

    Args:
        place: of the stage.
        play: plays the episodes of checks.
        learned: what is deployed before any check; see `Agent.state`.
        target: the score that passes.
        margin: by what share of its size a confirmed check has to beat it to end the stage.
        episodes: of a check.
    """

    def __init__(
        self,
        place: Place,
        play: Play,
        learned: State,
        *,
        target: float,
        margin: float,
        episodes: int,
    ) -> None:
        self._place, self._play = place, play
        self._episodes = episodes
        self.learned = learned
        self.best_check = -np.inf
        self.confirmed = False
        self.checks: list[list[float]] = []
        """One `[number, mean score]` per check."""
        self.env_steps = 0
        self.target = target
        self.goal = target + margin * abs(target)
        """The check, confirmed, that the stage is over with."""

    def check(self, learned: State, number: int, guard: Guard, *, glance: bool = False) -> float:
        """Plays fresh real episodes and deploys an agent if it is better.

        Args:
            learned: what it has learned.
            number: names the check, and with it its seeds.
            guard: of whoever asks. Nothing of a check is counted before it is over, so after a
                stop it is played again.
            glance: end it after `GLANCE` episodes if these leave the goal out of reach. What was
                seen so briefly is not deployed.

        Returns:
            The mean score, of the confirmation too if there was one.
        """
        seeds = self._place.env_seeds("check", number, count=self._episodes)
        first = GLANCE if glance else len(seeds)
        played = self._play(learned, seeds[:first], guard)
        hopeless = len(played) < len(seeds) and self._out_of_reach(played)
        if len(played) < len(seeds) and not hopeless:
            played += self._play(learned, seeds[first:], guard)
        score = mean_score(played)
        if not hopeless and score >= self.goal:
            confirming = self._place.env_seeds("confirm", number, count=len(seeds))
            played += self._play(learned, confirming, guard)
            score = mean_score(played)
            self.confirmed = score >= self.goal
        if not hopeless and score > self.best_check:
            self.best_check = score
            self.learned = learned
        self.checks.append([float(number), score])
        self.env_steps += sum(e.steps for e in played)
        spread = _spread(played)
        self._place.record("check", generation=number, score=score, target=self.target, **spread)
        return score

    def meta(self) -> dict[str, Any]:
        """Returns all but what is deployed, as JSON-compatible facts for a commit."""
        best = self.best_check if np.isfinite(self.best_check) else None
        return {
            "best_check": best,
            "confirmed": self.confirmed,
            "checks": [list(check) for check in self.checks],
            "check_steps": self.env_steps,
        }

    def load(self, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `meta` gave, and from the arrays that a commit held beside it."""
        self.best_check = -np.inf if meta["best_check"] is None else meta["best_check"]
        self.confirmed = meta["confirmed"]
        self.checks = [list(check) for check in meta["checks"]]
        self.env_steps = meta["check_steps"]
        self.learned = {name: np.array(array) for name, array in learned_part(arrays).items()}

    def _out_of_reach(self, played: Sequence[Episode]) -> bool:
        """Whether the goal is further from the episodes' mean than two of its standard errors."""
        scores = np.array([e.score for e in played])
        return bool(mean(scores) + 2.0 * standard_error(scores) < self.goal)


def _spread(played: Sequence[Episode]) -> dict[str, float]:
    """Returns what a mean does not tell: how far games lie apart, and how many are different."""
    scores = np.array([e.score for e in played])
    return {
        "episodes": len(played),
        "median": float(np.median(scores)),
        "lowest": float(scores.min()),
        "highest": float(scores.max()),
        "std": float(scores.std()),
        "distinct_scores": len(set(scores.tolist())),
        "distinct_games": len({(e.score, e.steps) for e in played}),
    }


class RunningMean:
    """The exponential mean of an agent's learned parts (Polyak & Juditsky 1992).

    Args:
        kept: share of itself that it keeps at each step; 0 is what was learned last.
        learned: what it begins as; see `Agent.state`.
    """

    def __init__(self, kept: float, learned: State) -> None:
        self._kept = kept
        self.learned = learned

    def follow(self, learned: State, *, first: bool = False) -> None:
        """Moves on to what has been learned now; the first time it becomes just that."""
        kept = np.float32(0.0 if first else self._kept)
        rest = np.float32(1.0) - kept
        self.learned = {
            # What is counted has no mean.
            name: now if now.dtype.kind != "f" else kept * self.learned[name] + rest * now
            for name, now in learned.items()
        }

    def state(self) -> State:
        """Returns the mean, each name with `averaged` before it; `averaged` alone is C's."""
        return {_named(name): array for name, array in self.learned.items()}

    def load_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave, among other arrays."""
        self.learned = {
            name: np.array(arrays[_named(name)], old.dtype) for name, old in self.learned.items()
        }


def _named(name: str) -> str:
    return _AVERAGED if name == PARAMETERS else f"{_AVERAGED}/{name}"
