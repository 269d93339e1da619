"""What learning is told beyond the score, in training only: costs, bonuses and early ends.

Nobody else sees any of it: scores of training episodes, checks and evaluation are the
environment's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from curriculum.config.practice import ShapingConfig, TrainingConfig
from curriculum.envs.interface import EnvSpec, Step
from curriculum.envs.lap import COMPLETE, LAP_REWARD, LEFT_BEHIND, TILES
from curriculum.errors import ConfigError
from models.interfaces import Float, State
from models.shapes import Bool


class Shaped(NamedTuple):
    """A step as training goes on from it: early ends are truncations in it, and no reward differs.

    `added` `[N]` float32 is what learning is given beside its rewards, and `ended` `[N]` bool where
    it is told that an episode has ended; None where there is nothing of the kind.
    """

    step: Step
    added: Float | None = None
    ended: Bool[np.ndarray, " N"] | None = None


class Shaping:
    """Shapes the steps of a batch; committed with the collector.

    Args:
        spec: of the environments.
        num_envs: N.
        settings: costs and bonuses.
        idle_steps: steps without a reward above 0 after which an episode is cut; 0 never.
        idle_penalty: 0 cuts it as a truncation, so that its value goes on; above 0 it is an end
            for what learns, and this is deducted.

    Raises:
        ConfigError: what is asked for needs facts that the environment does not tell.
    """

    def __init__(
        self,
        spec: EnvSpec,
        num_envs: int,
        settings: ShapingConfig | None = None,
        *,
        idle_steps: int = 0,
        idle_penalty: float = 0.0,
    ) -> None:
        self._settings = settings or ShapingConfig()
        self._columns = _lap_columns(spec, self._settings)
        self._frame_cost = np.float32(self._settings.frame_cost * spec.frames_per_step)
        self._idle_steps, self._idle_penalty = idle_steps, np.float32(idle_penalty)
        self._idle = np.zeros(num_envs, np.int64)
        self._left_behind = np.zeros(num_envs, np.float32)

    def __call__(self, step: Step) -> Shaped:
        """Shapes a step of a batch in which no environment is parked."""
        added = self._added(step)
        if not self._idle_steps:
            return Shaped(step, added)
        over = step.terminated | step.truncated
        self._idle = np.where(step.rewards > 0, 0, self._idle + 1)
        idle = (self._idle >= self._idle_steps) & ~over
        self._idle[over | idle] = 0
        self._left_behind[idle] = 0.0
        step = step._replace(truncated=step.truncated | idle)
        if not self._idle_penalty:
            return Shaped(step, added)
        deducted = -self._idle_penalty * idle.astype(np.float32)
        return Shaped(step, deducted if added is None else added + deducted, idle)

    def state(self) -> State:
        """Returns what has been counted of the episodes that have begun, if anything is."""
        state: State = {"idle": self._idle.copy()} if self._idle_steps else {}
        return {**state, "left_behind": self._left_behind.copy()} if self._columns else state

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave."""
        self.clear()
        if "idle" in state:
            self._idle[:] = state["idle"]
        if "left_behind" in state:
            self._left_behind[:] = state["left_behind"]

    def clear(self) -> None:
        """Forgets the episodes that have begun."""
        self._idle[:], self._left_behind[:] = 0, 0.0

    def _added(self, step: Step) -> Float | None:
        if not (self._columns or self._frame_cost):
            return None
        added = np.full(len(step.rewards), -self._frame_cost)
        return added + self._of_lap(step) if self._columns else added

    def _of_lap(self, step: Step) -> Float:
        """Returns what the lap adds `[N]`; a tile that is fetched after all is not paid for."""
        assert step.facts is not None, "the environment names facts and tells none"
        tiles, left, complete = step.facts[:, self._columns].T
        cost = self._settings.left_behind_cost * LAP_REWARD / np.maximum(tiles, 1.0)
        paid = cost * (left - self._left_behind)
        over = step.terminated | step.truncated
        self._left_behind = np.where(over, np.float32(0), left)
        return (self._settings.lap_bonus * complete - paid).astype(np.float32)


def learned_from(training: TrainingConfig, shaping: ShapingConfig) -> str:
    """Says what learning is told, where it is more than the score; empty where it is not."""
    costs = {
        f" - {shaping.left_behind_cost:g} tiles' reward for each tile left behind": (
            shaping.left_behind_cost
        ),
        f" + {shaping.lap_bonus:g} for a complete lap": shaping.lap_bonus,
        f" - {shaping.frame_cost:g} for each frame": shaping.frame_cost,
    }
    parts = ["score" + "".join(words for words, weight in costs.items() if weight)]
    if training.idle_steps:
        price = f", for {training.idle_penalty:g}" if training.idle_penalty else ""
        parts.append(f"episodes end after {training.idle_steps} steps without a reward{price}")
    if training.disturbance:
        parts.append(f"bursts of random actions begin in {training.disturbance:.2%} of steps")
    return "; ".join(parts) if parts != ["score"] else ""


def _lap_columns(spec: EnvSpec, settings: ShapingConfig) -> list[int]:
    """Returns where the facts of a lap stand, none if they do not matter."""
    wanted = {"left_behind_cost": settings.left_behind_cost, "lap_bonus": settings.lap_bonus}
    asked = [f"shaping.{name}" for name, weight in wanted.items() if weight]
    if not asked:
        return []
    names = (TILES, LEFT_BEHIND, COMPLETE)
    if not set(names) <= set(spec.facts):
        raise ConfigError(
            f"{' and '.join(asked)} need an environment that tells of a lap, {spec.env_id} tells "
            f"{', '.join(spec.facts) or 'nothing beside its score'}: leave them out"
        )
    return [spec.facts.index(name) for name in names]
