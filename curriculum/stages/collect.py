"""Stage collect: episodes for V and M, at random first, later by the learned controller."""

from __future__ import annotations

from functools import partial

import numpy as np

from curriculum.agent.work import CollectUnit, Recording, WorkSpec, collect_episodes
from curriculum.datasets.episodes import EpisodeWriter
from curriculum.errors import require
from curriculum.pool import in_order
from curriculum.records.finished import StageResult
from curriculum.stages.stage import LEARNING, StageContext

NAME = "collect"


def verify_inputs(ctx: StageContext) -> None:
    """Needs nothing in the first round, and the agent of the last round in later ones."""
    if not ctx.place.fresh:
        for stage in LEARNING:
            ctx.place.completed(stage, ctx.place.round - 1)


def run(ctx: StageContext) -> StageResult:
    """Plays, records and appends the episodes in order; goes on where the last commit ended."""
    collect = ctx.task.collect
    count = collect.num_random_rollouts if ctx.place.fresh else collect.num_policy_rollouts
    writer = _open_writer(ctx)
    start = writer.num_episodes
    ctx.executor.refresh((_work(ctx),))
    take = in_order(partial(_append, ctx, writer))

    def on_result(number: int, result: list[Recording]) -> None:
        take(number, result)
        ctx.place.say(writer.num_episodes, count, "episodes", steps=float(writer.num_steps))
        ctx.place.barrier.reached(lambda: _save(ctx, writer))

    units = _units(ctx, start, count)
    ctx.executor.map(
        collect_episodes,
        units,
        on_result=on_result,
        on_wait=lambda: ctx.place.barrier.may_stop(lambda: _save(ctx, writer)),
        keep=False,
    )
    _save(ctx, writer, complete=True)
    scores = writer.scores()
    return StageResult(
        summary=f"{writer.num_episodes} episodes, {writer.num_steps} steps",
        metrics={
            "episodes": float(writer.num_episodes),
            "score_mean": float(np.mean(scores)),
            "score_max": float(np.max(scores)),
        },
        env_steps=writer.num_steps,
    )


def verify_outputs(ctx: StageContext, result: StageResult) -> None:
    """There are steps, and observations are not all the same."""
    require(result.env_steps > 0, "nothing was collected")
    observations = ctx.data().observations(np.arange(min(result.env_steps, 64)))
    require(bool(np.isfinite(observations).all()), "collected observations are not finite")
    require(
        bool((observations != observations[0]).any()),
        "all collected observations are equal: the environment does not answer or does not draw",
    )


def _open_writer(ctx: StageContext) -> EpisodeWriter:
    writer = EpisodeWriter(
        ctx.place.directory / "data",
        observation_shape=ctx.spec.shape,
        observation_dtype="uint8" if ctx.spec.observation == "pixels" else "float32",
        action_size=ctx.spec.action.size,
    )
    commit = ctx.place.store.latest()
    writer.cut(commit.appended if commit else {})
    return writer


def _work(ctx: StageContext) -> WorkSpec:
    if ctx.place.fresh:
        return ctx.work()
    return ctx.work(ctx.learned("vision", "memory", round=ctx.place.round - 1))


def _units(ctx: StageContext, start: int, count: int) -> list[CollectUnit]:
    seeds = ctx.place.env_seeds("episodes", count=count)
    size, fresh = ctx.task.env.num_envs, ctx.place.fresh
    learned = None if fresh else ctx.learned("controller", round=ctx.place.round - 1)
    path = (ctx.task.name, ctx.place.round, NAME)
    return [
        CollectUnit(path, first, tuple(seeds[first : min(first + size, count)]), learned)
        for first in range(start, count, size)
    ]


def _append(ctx: StageContext, writer: EpisodeWriter, recordings: list[Recording]) -> None:
    for recording in recordings:
        writer.append_episode(
            recording.observations,
            ctx.spec.action.encode(recording.actions),
            recording.rewards,
            terminated=recording.terminated,
            seed=recording.seed,
        )


def _save(ctx: StageContext, writer: EpisodeWriter, complete: bool = False) -> None:
    writer.sync()
    meta = {"episodes": writer.num_episodes, "steps": writer.num_steps}
    ctx.place.store.save({}, meta, complete=complete, appended=writer.lengths())
