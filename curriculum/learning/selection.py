"""What a controller stage deploys: the parameters with the best check.

A check plays fresh real episodes. A score that would end the stage is confirmed by as many again,
so that luck does not end it; one below that costs no more real steps than it has. Where training
scores merely suggest a check, it may end at a glance. Check seeds are never evaluation seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from curriculum.agent.episodes import Episode
from curriculum.stages.evaluate import mean_score, play
from curriculum.stages.stage import StageContext
from models.interfaces import Float

GLANCE = 4
"""Episodes after which a check that came too soon may end."""


class Deployment:
    """The best parameters so far, and the checks that say so; all of it is committed.

    Args:
        ctx: of the stage; its pool already knows V and M.
        parameters: what is deployed before any check, `[P]`.
    """

    def __init__(self, ctx: StageContext, parameters: Float) -> None:
        self._ctx = ctx
        self.parameters = parameters
        self.best_check = -np.inf
        self.confirmed = False
        self.checks: list[list[float]] = []
        """One `[number, mean score]` per check."""
        self.env_steps = 0
        self.target = ctx.target
        self.goal = ctx.target + ctx.task.controller.stop_margin * abs(ctx.target)
        """The check, confirmed, that the stage is over with."""

    def check(
        self, parameters: Float, number: int, save: Callable[[], None], *, glance: bool = False
    ) -> float:
        """Plays fresh real episodes and deploys the parameters if they are better.

        Args:
            parameters: `[P]`.
            number: names the check, and with it its seeds.
            save: commits what stands; called where the run may have to stop.
            glance: end it after `GLANCE` episodes if these leave the goal out of reach. What was
                seen so briefly is not deployed.

        Returns:
            The mean score, of the confirmation too if there was one.
        """
        ctx = self._ctx
        seeds = ctx.env_seeds("check", number, count=ctx.task.controller.check_episodes)
        first = GLANCE if glance else len(seeds)
        played = self._play(parameters, save, seeds[:first])
        hopeless = len(played) < len(seeds) and self._out_of_reach(played)
        if len(played) < len(seeds) and not hopeless:
            played += self._play(parameters, save, seeds[first:])
        score = mean_score(played)
        if not hopeless and score >= self.goal:
            confirming = ctx.env_seeds("confirm", number, count=len(seeds))
            played += self._play(parameters, save, confirming)
            score = mean_score(played)
            self.confirmed = score >= self.goal
        if not hopeless and score > self.best_check:
            self.best_check = score
            self.parameters = parameters.astype(np.float32)
        self.checks.append([float(number), score])
        self.env_steps += sum(e.steps for e in played)
        ctx.record("check", generation=number, score=score, target=ctx.target)
        return score

    def meta(self) -> dict[str, Any]:
        """Returns all but the parameters, as JSON-compatible facts for a commit."""
        best = self.best_check if np.isfinite(self.best_check) else None
        return {
            "best_check": best,
            "confirmed": self.confirmed,
            "checks": [list(check) for check in self.checks],
            "check_steps": self.env_steps,
        }

    def load(self, meta: Mapping[str, Any], parameters: np.ndarray) -> None:
        """Goes on from what `meta` gave, and the parameters deployed then."""
        self.best_check = -np.inf if meta["best_check"] is None else meta["best_check"]
        self.confirmed = meta["confirmed"]
        self.checks = [list(check) for check in meta["checks"]]
        self.env_steps = meta["check_steps"]
        self.parameters = np.array(parameters, np.float32)

    def _out_of_reach(self, played: Sequence[Episode]) -> bool:
        """Whether the goal is further from the episodes' mean than two of its standard errors."""
        scores = np.array([e.score for e in played])
        error = scores.std(ddof=1) / np.sqrt(len(scores))
        return bool(scores.mean() + 2.0 * error < self.goal)

    def _play(
        self, parameters: Float, save: Callable[[], None], seeds: Sequence[int]
    ) -> list[Episode]:
        ctx = self._ctx
        return play(
            ctx,
            parameters,
            seeds,
            sampled=ctx.task.evaluate.sampled,
            # Nothing of a check is counted before it is over, so it can be played again.
            on_more=lambda played: ctx.barrier.may_stop(save),
        )
