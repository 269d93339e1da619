"""Stage evaluate: full episodes with true scores on fresh seeds, and the verdict's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from curriculum.agent.episodes import Episode
from curriculum.agent.playing import even_unit_size, play
from curriculum.errors import require
from curriculum.records.finished import StageResult
from curriculum.stages.stage import LEARNING, StageContext, require_finite

NAME = "evaluate"

_DRAWN_TOGETHER = 1 << 20
"""Numbers of a bootstrap that are in memory together."""


def verify_inputs(ctx: StageContext) -> None:
    """Needs V, M and C of this round."""
    for stage in LEARNING:
        ctx.place.completed(stage)


def run(ctx: StageContext) -> StageResult:
    """Plays the evaluation episodes; what is played already is not played again."""
    learned, settings = ctx.learned(), ctx.task.evaluate
    ctx.executor.refresh((ctx.work(learned),))
    commit = ctx.place.store.latest()
    names = [_policy(settings.sampled)] + [_policy(not settings.sampled)] * settings.both
    played = {name: _episodes(commit.arrays, name) if commit else [] for name in names}

    def save(complete: bool = False, **meta: Any) -> None:
        arrays = {k: v for name in names for k, v in _arrays(played[name], name).items()}
        meta["episodes"] = sum(len(episodes) for episodes in played.values())
        ctx.place.store.save(arrays, meta, complete=complete)

    def keep(name: str, episodes: list[Episode]) -> None:
        played[name] = list(episodes)
        ctx.place.barrier.reached(save)

    seeds = ctx.place.env_seeds("episodes", count=settings.episodes)
    for name in names:
        played[name] = play(
            ctx.place,
            ctx.executor,
            {},
            seeds,
            unit_size=even_unit_size(len(seeds), ctx.task.env.num_envs),
            sampled=name == _policy(True),
            before=played[name],
            on_more=partial(keep, name),
        )
    result, *others = (_summary(ctx, played[name], name) for name in names)
    for other in others:
        result.facts["other"] = other.facts
    save(complete=True, result=result.facts)
    return result


def verify_outputs(ctx: StageContext, result: StageResult) -> None:
    """All episodes were played and all scores are finite."""
    require_finite(result.metrics, NAME)
    played, wanted = len(result.facts["scores"]), ctx.task.evaluate.episodes
    require(played == wanted, f"{played} evaluation episodes were played, expected {wanted}")


def summarise(ctx: StageContext, scores: np.ndarray, steps: np.ndarray) -> StageResult:
    """Returns mean score, its bootstrap interval, and every score."""
    confidence = ctx.task.evaluate.confidence
    low, high = bootstrap_interval(scores, confidence, ctx.place.rng("bootstrap"))
    mean = float(scores.mean())
    facts: dict[str, Any] = {
        "score": mean,
        "interval": [low, high],
        "confidence": confidence,
        "scores": scores.tolist(),
        "evaluation_steps": int(steps.sum()),
        "policy": _policy(ctx.task.evaluate.sampled),
    }
    return StageResult(
        summary=f"{mean:.1f} [{low:.1f}, {high:.1f}] over {len(scores)} episodes",
        metrics={
            "score": mean,
            "score_std": float(scores.std()),
            "score_min": float(scores.min()),
            "score_max": float(scores.max()),
            "episode_steps": float(steps.mean()),
        },
        facts=facts,
    )


def bootstrap_interval(
    scores: np.ndarray, confidence: float, rng: np.random.Generator, resamples: int = 10_000
) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of the mean (Efron & Tibshirani 1993, ch. 13)."""
    rows = max(1, _DRAWN_TOGETHER // len(scores))
    means = np.empty(resamples)
    for first in range(0, resamples, rows):
        part = means[first : first + rows]
        # The same stream as if all were drawn at once, which took 160 kB an episode.
        draws = rng.integers(len(scores), size=(len(part), len(scores)))
        part[:] = scores[draws].mean(axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)


def _policy(sampled: bool) -> str:
    return "sampled" if sampled else "greedy"


def _summary(ctx: StageContext, episodes: list[Episode], name: str) -> StageResult:
    scores, steps = np.array([e.score for e in episodes]), np.array([e.steps for e in episodes])
    result = summarise(ctx, scores, steps)
    result.facts["policy"] = name
    return result


def _arrays(episodes: list[Episode], name: str) -> dict[str, np.ndarray]:
    return {
        f"{name}/seeds": np.array([e.seed for e in episodes], np.int64),
        f"{name}/scores": np.array([e.score for e in episodes], np.float64),
        f"{name}/steps": np.array([e.steps for e in episodes], np.int64),
        f"{name}/terminated": np.array([e.terminated for e in episodes], np.bool_),
    }


def _episodes(arrays: Mapping[str, np.ndarray], name: str) -> list[Episode]:
    columns = ("seeds", "scores", "steps", "terminated")
    rows = (arrays[f"{name}/{column}"].tolist() for column in columns)
    return [Episode(*row) for row in zip(*rows, strict=True)]
