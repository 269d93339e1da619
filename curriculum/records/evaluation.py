"""The evaluation of an agent: what its episodes scored, from the stage to the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curriculum.records.facts import WrongFact, entry, finite
from curriculum.statistics import bootstrap_interval, mean

LOOPING_STEPS = 1000
"""Steps without a reward after which an episode counts as one that goes round in circles."""

POLICIES = ("greedy", "sampled")
"""Ways of acting: the most likely action, or one drawn from the policy."""


def policy_name(sampled: bool) -> str:
    """Returns what a way of acting is called."""
    return POLICIES[sampled]


@dataclass(frozen=True)
class Evaluation:
    """Full episodes of one policy, with true scores on seeds that nothing learned from.

    Attributes:
        score: the mean.
        interval: bootstrap interval of the mean.
        scores: of each episode, in the order of the seeds; empty where a file does not tell.
        policy: `greedy`, `sampled`, or of a baseline `random`.
        confidence: level of the interval; None where a file does not tell.
        evaluation_steps: of all episodes together; None where nobody counted.
        other: the other way of acting, on the same seeds; None where it was not asked for.
        lengths: steps of each episode; empty where a file does not tell.
        lives: lost in each while the game went on; empty where a file does not tell.
        cut: episodes that a limit of frames or steps ended; None where a file does not tell.
        looping: episodes in which no reward came for more than 1,000 steps; None likewise.
    """

    score: float
    interval: tuple[float, float]
    scores: tuple[float, ...] = ()
    policy: str = ""
    confidence: float | None = None
    evaluation_steps: int | None = None
    other: Evaluation | None = None
    lengths: tuple[int, ...] = ()
    lives: tuple[int, ...] = ()
    cut: int | None = None
    looping: int | None = None

    @classmethod
    def of(
        cls,
        scores: Sequence[float] | np.ndarray,
        *,
        policy: str,
        confidence: float,
        rng: np.random.Generator,
        steps: int | None = None,
        other: Evaluation | None = None,
    ) -> Evaluation:
        """Judges episodes.

        Args:
            scores: of each, `[n]`, n >= 1.
            policy: that played them.
            confidence: level of the interval, in (0, 1).
            rng: of the bootstrap.
            steps: of all of them.
            other: see the class.

        Raises:
            ValueError: there are no scores.
        """
        values = np.asarray(scores, np.float64)
        interval = bootstrap_interval([values], mean, confidence, rng)
        return cls(
            score=float(mean(values)),
            interval=interval,
            scores=tuple(values.tolist()),
            policy=policy,
            confidence=confidence,
            evaluation_steps=steps,
            other=other,
        )

    @classmethod
    def from_facts(cls, facts: Any) -> Evaluation:
        """Reads what `to_facts` gave, or an earlier version of it, back.

        Raises:
            WrongFact: it is something else, or holds numbers that are not finite.
        """
        found = entry(cls, facts)
        for name in ("score", "interval", "scores"):
            values = np.atleast_1d(getattr(found, name)).tolist()
            if not all(map(finite, values)):
                raise WrongFact(f"`{name}` holds a number that is not finite")
        return found

    @classmethod
    def told(cls, facts: Any) -> Evaluation | None:
        """Returns the evaluation that a ledger tells of; None where it tells of none."""
        try:
            return cls.from_facts(facts)
        except WrongFact:
            return None  # what is no evaluation has no score to show

    def to_facts(self) -> dict[str, Any]:
        """Returns it as JSON-compatible data."""
        facts: dict[str, Any] = {
            "score": self.score,
            "interval": list(self.interval),
            "confidence": self.confidence,
            "scores": list(self.scores),
            "evaluation_steps": self.evaluation_steps,
            "policy": self.policy,
        }
        told = {
            "lengths": list(self.lengths),
            "lives": list(self.lives),
            "cut": self.cut,
            "looping": self.looping,
        }
        facts |= {name: value for name, value in told.items() if value not in (None, [])}
        return facts | ({"other": self.other.to_facts()} if self.other else {})

    @property
    def both(self) -> tuple[Evaluation, ...]:
        """This way of acting, and the other one where there is one."""
        return (self, self.other) if self.other else (self,)

    @property
    def std(self) -> float:
        """Standard deviation of the scores."""
        return float(np.std(self.scores))

    @property
    def median(self) -> float:
        """The median of the scores."""
        return float(np.median(self.scores))

    @property
    def distinct_scores(self) -> int:
        """How many scores differ: few of many episodes are one game played again and again."""
        return len(set(self.scores))

    @property
    def distinct_games(self) -> int | None:
        """How many pairs of score and length differ; None where lengths are not told."""
        if not self.lengths or len(self.lengths) != len(self.scores):
            return None
        return len(set(zip(self.scores, self.lengths, strict=True)))

    @property
    def lives_played(self) -> float | None:
        """Lives of an episode, the mean; None where none was ever lost, or none is told of."""
        return float(np.mean(self.lives)) + 1.0 if any(self.lives) else None

    @property
    def lowest(self) -> float:
        """The lowest score."""
        return min(self.scores)

    @property
    def highest(self) -> float:
        """The highest score."""
        return max(self.scores)

    @property
    def episode_steps(self) -> float:
        """Steps of an episode, the mean."""
        return (self.evaluation_steps or 0) / len(self.scores)
