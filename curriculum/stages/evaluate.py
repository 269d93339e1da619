"""Stage evaluate: full episodes with true scores on fresh seeds, and the verdict's numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from curriculum.agent.episodes import Episode
from curriculum.agent.work import EpisodesUnit
from curriculum.stages.stage import StageContext, StageResult, require, require_finite
from curriculum.agent.work import EpisodesUnit, play_episodes

NAME = "evaluate"

_DRAWN_TOGETHER = 1 << 20
"""Numbers of a bootstrap that are in memory together."""


def verify_inputs(ctx: StageContext) -> None:
    """Needs V, M and C of this round."""
    for stage in ("vision", "memory", "controller"):
        ctx.completed(stage)


def run(ctx: StageContext) -> StageResult:
    """Plays the evaluation episodes; what is played already is not played again."""
    ctx.pool.refresh((ctx.work(vision=ctx.vision().state(), memory=ctx.memory().state()),))
    parameters = ctx.completed("controller").arrays["parameters"]
    settings = ctx.task.evaluate
    commit = ctx.store.latest()
    names = [_policy(settings.sampled)] + [_policy(not settings.sampled)] * settings.both
    played = {name: _episodes(commit.arrays, name) if commit else [] for name in names}

    def save(complete: bool = False, **meta: Any) -> None:
        arrays = {k: v for name in names for k, v in _arrays(played[name], name).items()}
        meta["episodes"] = sum(len(episodes) for episodes in played.values())
        ctx.store.save(arrays, meta, complete=complete)

    def keep(name: str, episodes: list[Episode]) -> None:
        played[name] = list(episodes)
        ctx.barrier.reached(save)

    for name in names:
        played[name] = play(
            ctx,
            parameters,
            ctx.env_seeds("episodes", count=settings.episodes),
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
    size = _unit_size(len(seeds), ctx.task.env.num_envs)
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
        play_episodes,
        units,
        on_result=on_result,
        on_wait=lambda: on_more(played),
    )
    return played


def _unit_size(episodes: int, num_envs: int) -> int:
    """Returns how many episodes a unit of work has: equal parts, an even number of them.

    Users have two cores as often as not, and a game that is over is stepped on until its batch is.
    """
    parts = 2 * -(-episodes // (2 * num_envs))
    return -(-episodes // parts)


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
