"""What a learner sees of a step, and the true statistics of episodes beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curriculum.envs.interface import Step


class Lesson(NamedTuple):
    """A step as a learner sees it: rewards `[N]` float32, and where its episodes end `[N]` bool.

    A terminated episode is worth nothing afterwards; a truncated one goes on unseen, so the value
    of its last observation counts (Pardo et al. 2018, equation 6).
    """

    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


@dataclass(frozen=True)
class LessonRules:
    """What of a step a learner is shown; scores stay true whatever it is.

    Attributes:
        clip_rewards: only the sign of rewards, as in DQN (Mnih et al. 2015).
        end_on_life_loss: a lost life ends an episode for the learner while the game plays on.
        end_on_reward: so does a reward, as a point in Pong: what follows begins anew, whoever won
            it, and would only add noise to what the actions before it were worth (Karpathy 2016,
            "Pong from Pixels", resets its sum of rewards there too).
        reward_scale: factor on rewards.
    """

    clip_rewards: bool = False
    end_on_life_loss: bool = False
    end_on_reward: bool = False
    reward_scale: float = 1.0


def lesson_of(
    step: Step,
    rules: LessonRules,
    *,
    dreamed: bool = False,
    added: NDArray[np.float32] | None = None,
    ended: NDArray[np.bool_] | None = None,
) -> Lesson:
    """Returns a step as a learner sees it.

    Args:
        step: as the environment gave it, which it stays.
        rules: what of it is shown.
        dreamed: rewards are expected ones, whose sign means nothing when they are small: they are
            clipped to [-1, 1], and end an episode from 1/2 on.
        added, ended: rewards and ends `[N]` that are not the environment's
            (`curriculum.collecting.shaping`).
    """
    rewards, terminated = step.rewards, step.terminated
    if rules.end_on_life_loss:
        terminated = terminated | step.life_lost
    if rules.end_on_reward:
        terminated = terminated | (np.abs(rewards) >= 0.5 if dreamed else rewards != 0)
    if ended is not None:
        terminated = terminated | ended
    if rules.clip_rewards:
        rewards = np.clip(rewards, -1.0, 1.0) if dreamed else np.sign(rewards)
    if added is not None:
        rewards = rewards + added
    scaled = (rewards * np.float32(rules.reward_scale)).astype(np.float32)
    return Lesson(scaled, terminated, step.truncated & ~terminated)


class Ended(NamedTuple):
    """The true statistics of one finished episode."""

    row: int
    score: float
    steps: int
    terminated: bool


class EpisodeStatistics:
    """True scores and lengths of the episodes of a batch, whatever a learner is shown.

    Args:
        num_envs: N.
    """

    def __init__(self, num_envs: int) -> None:
        self._scores = np.zeros(num_envs)
        self._steps = np.zeros(num_envs, np.int64)

    def add(self, step: Step) -> list[Ended]:
        """Takes a step of a batch in which no environment is parked; returns what ended."""
        self._scores += step.rewards
        self._steps += 1
        ended = []
        for row in np.flatnonzero(step.terminated | step.truncated).tolist():
            score, steps = float(self._scores[row]), int(self._steps[row])
            ended.append(Ended(row, score, steps, bool(step.terminated[row])))
            self._scores[row], self._steps[row] = 0.0, 0
        return ended

    def state(self) -> dict[str, np.ndarray]:
        """Returns what has been added up of the episodes that have begun, as copies."""
        return {"scores": self._scores.copy(), "steps": self._steps.copy()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave."""
        self._scores[:], self._steps[:] = state["scores"], state["steps"]

    def clear(self) -> None:
        """Forgets the episodes that have begun."""
        self._scores[:], self._steps[:] = 0.0, 0
