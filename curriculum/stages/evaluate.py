"""Stage evaluate: full episodes with true scores on fresh seeds, and the verdict's numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from curriculum.rollout import Episode
from curriculum.stages.stage import StageContext, StageResult, require, require_finite
from curriculum.stages.work import EpisodesUnit

NAME = "evaluate"


def verify_inputs(ctx: StageContext) -> None:
    """Needs V, M and C of this round."""
    for stage in ("vision", "memory", "controller"):
        ctx.completed(stage)


def run(ctx: StageContext) -> StageResult:
    """Plays the evaluation episodes; what is played already is not played again."""
    ctx.pool.refresh((ctx.work(vision=ctx.vision().state(), memory=ctx.memory().state()),))
    parameters = ctx.completed("controller").arrays["parameters"]
    commit = ctx.store.latest()
    episodes = play(
        ctx,
        parameters,
        ctx.env_seeds("episodes", count=ctx.task.evaluate.episodes),
        sampled=ctx.task.evaluate.sampled,
        before=_episodes(commit.arrays) if commit else (),
        on_more=lambda played: ctx.barrier.reached(lambda: _save(ctx, played)),
    )
    scores = np.array([e.score for e in episodes])
    result = summarise(ctx, scores, np.array([e.steps for e in episodes]))
    meta = {"episodes": len(episodes), "result": result.facts}
    ctx.store.save(_arrays(episodes), meta, complete=True)
    return result


def verify_outputs(ctx: StageContext, result: StageResult) -> None:
    """All episodes were played and all scores are finite."""
    require_finite(result.metrics, NAME)
    played, wanted = len(result.facts["scores"]), ctx.task.evaluate.episodes
    require(played == wanted, f"{played} evaluation episodes were played, expected {wanted}")


def play(
    ctx: StageContext,
    parameters: np.ndarray,
    seeds: Sequence[int],
    *,
    sampled: bool,
    before: Sequence[Episode] = (),
    on_more: Callable[[list[Episode]], None] = lambda played: None,
) -> list[Episode]:
    """Plays one full episode per seed, in batches cut by configuration alone.

    Args:
        ctx: its pool already knows V and M.
        parameters: of the controller, `[P]`.
        seeds: of the episodes.
        sampled: draw actions from the policy instead of taking the most likely one.
        before: episodes of the first seeds that were played already.
        on_more: is told all episodes so far, in order, when there are more and about once a second.
    """
    played = list(before)
    size = ctx.task.env.num_envs
    units = [
        EpisodesUnit(parameters, tuple(seeds[i : i + size]), sampled)
        for i in range(len(played), len(seeds), size)
    ]
    waiting: dict[int, list[Episode]] = {}
    following = 0

    def on_result(number: int, result: list[Episode]) -> None:
        nonlocal following
        waiting[number] = result
        while following in waiting:
            played.extend(waiting.pop(following))
            following += 1
        facts = {"score": mean_score(played)} if played else {}
        ctx.say(len(played), len(seeds), "episodes", **facts)
        on_more(played)

    ctx.pool.map(
        "curriculum.stages.work:play_episodes",
        units,
        on_result=on_result,
        on_wait=lambda: on_more(played),
    )
    return played


def mean_score(episodes: Sequence[Episode]) -> float:
    """Returns the mean score of episodes."""
    return float(np.mean([e.score for e in episodes]))


def summarise(ctx: StageContext, scores: np.ndarray, steps: np.ndarray) -> StageResult:
    """Returns mean score, its bootstrap interval, and every score."""
    confidence = ctx.task.evaluate.confidence
    low, high = bootstrap_interval(scores, confidence, ctx.rng("bootstrap"))
    mean = float(scores.mean())
    facts: dict[str, Any] = {
        "score": mean,
        "interval": [low, high],
        "confidence": confidence,
        "scores": scores.tolist(),
        "evaluation_steps": int(steps.sum()),
        "policy": "sampled" if ctx.task.evaluate.sampled else "greedy",
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
    draws = rng.integers(len(scores), size=(resamples, len(scores)))
    means = scores[draws].mean(axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)


def _save(ctx: StageContext, played: list[Episode]) -> None:
    ctx.store.save(_arrays(played), {"episodes": len(played)})


def _arrays(episodes: list[Episode]) -> dict[str, np.ndarray]:
    return {
        "seeds": np.array([e.seed for e in episodes], np.int64),
        "scores": np.array([e.score for e in episodes], np.float64),
        "steps": np.array([e.steps for e in episodes], np.int64),
        "terminated": np.array([e.terminated for e in episodes], np.bool_),
    }


def _episodes(arrays: Any) -> list[Episode]:
    columns = (arrays[name].tolist() for name in ("seeds", "scores", "steps", "terminated"))
    return [Episode(*row) for row in zip(*columns, strict=True)]
