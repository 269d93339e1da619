"""Stage evaluate: full episodes with true scores on fresh seeds, and the verdict's numbers."""

from __future__ import annotations

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
    episodes = evaluate(ctx, parameters, ctx.task.evaluate.episodes)
    scores = np.array([e.score for e in episodes])
    result = summarise(ctx, scores, np.array([e.steps for e in episodes]))
    ctx.store.save(_arrays(episodes), {"result": result.facts}, complete=True)
    return result


def verify_outputs(ctx: StageContext, result: StageResult) -> None:
    """All episodes were played and all scores are finite."""
    require_finite(result.metrics, NAME)
    played, wanted = len(result.facts["scores"]), ctx.task.evaluate.episodes
    require(played == wanted, f"{played} evaluation episodes were played, expected {wanted}")


def evaluate(ctx: StageContext, parameters: np.ndarray, count: int) -> list[Episode]:
    """Plays `count` full episodes of a controller on this stage's seeds, in order."""
    seeds = ctx.env_seeds("episodes", count=count)
    size = ctx.task.env.num_envs
    played: list[Episode] = []
    commit = ctx.store.latest()
    if commit is not None:
        played = _episodes(commit.arrays)[:count]
    units = [
        EpisodesUnit(parameters, tuple(seeds[i : i + size]), ctx.task.evaluate.sampled)
        for i in range(len(played), count, size)
    ]
    in_order: dict[int, list[Episode]] = {}
    following = 0

    def on_result(number: int, result: list[Episode]) -> None:
        nonlocal following
        in_order[number] = result
        while following in in_order:
            played.extend(in_order.pop(following))
            following += 1
        mean = float(np.mean([e.score for e in played])) if played else 0.0
        ctx.say(len(played), count, "episodes", score=mean)
        ctx.barrier.reached(lambda: _save(ctx, played))

    ctx.pool.map("curriculum.stages.work:play_episodes", units, on_result=on_result)
    return played


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
    ctx.store.save(_arrays(played), {})


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
