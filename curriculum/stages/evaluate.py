"""Stage evaluate: full episodes with true scores on fresh seeds, and the verdict's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from curriculum.agent.episodes import Episode
from curriculum.agent.playing import even_unit_size, judged, play
from curriculum.errors import require
from curriculum.records.evaluation import Evaluation, policy_name
from curriculum.records.finished import StageResult
from curriculum.stages.insights import driving_insights
from curriculum.stages.stage import LEARNING, StageContext, require_finite

NAME = "evaluate"


def verify_inputs(ctx: StageContext) -> None:
    """Needs V, M and C of this round."""
    for stage in LEARNING:
        ctx.place.completed(stage)


def run(ctx: StageContext) -> StageResult:
    """Plays the evaluation episodes; what is played already is not played again."""
    learned, settings = ctx.learned(), ctx.task.evaluate
    ctx.executor.refresh((ctx.work(learned),))
    commit = ctx.place.store.latest()
    names = [policy_name(settings.sampled)] + [policy_name(not settings.sampled)] * settings.both
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
            sampled=name == policy_name(True),
            before=played[name],
            on_more=partial(keep, name),
        )
    other = _evaluation(ctx, played[names[1]], names[1]) if settings.both else None
    result = _result(_evaluation(ctx, played[names[0]], names[0], other))
    result = _with_insights(result, driving_insights(ctx, save))
    save(complete=True, result=result.facts)
    return result


def verify_outputs(ctx: StageContext, result: StageResult) -> None:
    """All episodes were played and all scores are finite."""
    require_finite(result.metrics, NAME)
    played = len(Evaluation.from_facts(result.facts).scores)
    wanted = ctx.task.evaluate.episodes
    require(played == wanted, f"{played} evaluation episodes were played, expected {wanted}")


def _evaluation(
    ctx: StageContext, episodes: Sequence[Episode], policy: str, other: Evaluation | None = None
) -> Evaluation:
    return judged(
        episodes,
        policy=policy,
        confidence=ctx.task.evaluate.confidence,
        rng=ctx.place.rng("bootstrap"),
        other=other,
    )


def _result(evaluation: Evaluation) -> StageResult:
    (low, high), score = evaluation.interval, evaluation.score
    return StageResult(
        summary=f"{score:.1f} [{low:.1f}, {high:.1f}] over {len(evaluation.scores)} episodes",
        metrics={
            "score": score,
            "score_std": evaluation.std,
            "score_min": evaluation.lowest,
            "score_max": evaluation.highest,
            "score_median": evaluation.median,
            "distinct_scores": float(evaluation.distinct_scores),
            "distinct_games": float(evaluation.distinct_games or 0),
            "episode_steps": evaluation.episode_steps,
            "episodes_cut": float(evaluation.cut or 0),
            "episodes_looping": float(evaluation.looping or 0),
        },
        facts=evaluation.to_facts(),
    )


def _with_insights(result: StageResult, found: Mapping[str, Any]) -> StageResult:
    driving = found.get("driving")
    laps = f"; {driving['complete']} of {driving['episodes']} laps complete" if driving else ""
    return replace(result, summary=result.summary + laps, facts={**result.facts, **found})


def _arrays(episodes: list[Episode], name: str) -> dict[str, np.ndarray]:
    return {
        f"{name}/seeds": np.array([e.seed for e in episodes], np.int64),
        f"{name}/scores": np.array([e.score for e in episodes], np.float64),
        f"{name}/steps": np.array([e.steps for e in episodes], np.int64),
        f"{name}/terminated": np.array([e.terminated for e in episodes], np.bool_),
        f"{name}/lives_lost": np.array([e.lives_lost for e in episodes], np.int64),
        f"{name}/barren_steps": np.array([e.barren_steps for e in episodes], np.int64),
    }


def _episodes(arrays: Mapping[str, np.ndarray], name: str) -> list[Episode]:
    columns = ["seeds", "scores", "steps", "terminated"]
    # A commit of an earlier version has no more than these.
    later = ("lives_lost", "barren_steps")
    columns += [column for column in later if f"{name}/{column}" in arrays]
    rows = (arrays[f"{name}/{column}"].tolist() for column in columns)
    return [Episode(*row) for row in zip(*rows, strict=True)]
