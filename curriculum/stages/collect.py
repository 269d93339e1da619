"""Stage collect: episodes for V and M, at random first, later by the learned controller.

Those of the first round may also come from a public dataset.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from curriculum.agent.work import CollectUnit, Recording, WorkSpec, collect_episodes
from curriculum.datasets.episodes import EpisodeWriter
from curriculum.errors import ConfigError, TaskUnsuitable, require
from curriculum.pool import in_order
from curriculum.records.finished import StageResult
from curriculum.stages.stage import LEARNING, StageContext

if TYPE_CHECKING:
    from curriculum.minari.reading import MinariEpisodes

NAME = "collect"


def verify_inputs(ctx: StageContext) -> None:
    """Needs no more than a dataset in the first round, and the last round's agent in later ones."""
    if ctx.place.fresh:
        _given(ctx)
    else:
        for stage in LEARNING:
            ctx.place.completed(stage, ctx.place.round - 1)


def run(ctx: StageContext) -> StageResult:
    """Plays, records and appends the episodes in order; goes on where the last commit ended."""
    writer = _open_writer(ctx)
    given = _given(ctx)
    source = "" if given is None else given.identity
    if given is None:
        _play(ctx, writer)
    else:
        _take(ctx, writer, given)
    _save(ctx, writer, source, complete=True)
    scores = writer.scores()
    return StageResult(
        summary=f"{writer.num_episodes} episodes, {writer.num_steps} steps"
        + (f", from the dataset {ctx.task.collect.dataset}" if given else ""),
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


def _given(ctx: StageContext) -> MinariEpisodes | None:
    """Opens the dataset whose episodes this round takes; None where it plays its own.

    Raises:
        TaskUnsuitable: it is not there, or is of something else, or another than was begun with.
    """
    source = ctx.task.collect.dataset
    if not source or not ctx.place.fresh or ctx.place.simulated:
        return None
    from curriculum.minari.reading import MinariEpisodes

    try:
        given = MinariEpisodes(source)
        given.require_of(ctx.spec)
    except ConfigError as e:
        raise TaskUnsuitable(f"{ctx.task.name}: {e}") from e
    commit = ctx.place.store.latest()
    begun = commit.meta.get("source") if commit else given.identity
    if begun != given.identity:
        raise TaskUnsuitable(
            f"{ctx.task.name}: the dataset {source} is {given.identity}, but this stage began with "
            f"{begun or 'episodes of its own'}: put it back, or choose another run directory"
        )
    return given


def _play(ctx: StageContext, writer: EpisodeWriter) -> None:
    collect = ctx.task.collect
    count = collect.num_random_rollouts if ctx.place.fresh else collect.num_policy_rollouts
    ctx.executor.refresh((_work(ctx),))
    take = in_order(partial(_append, ctx, writer))

    def on_result(number: int, result: list[Recording]) -> None:
        take(number, result)
        _come_so_far(ctx, writer, count)

    ctx.executor.map(
        collect_episodes,
        _units(ctx, writer.num_episodes, count),
        on_result=on_result,
        on_wait=lambda: ctx.place.barrier.may_stop(lambda: _save(ctx, writer)),
        keep=False,
    )


def _take(ctx: StageContext, writer: EpisodeWriter, given: MinariEpisodes) -> None:
    collect = ctx.task.collect
    count = min(collect.num_random_rollouts, given.num_episodes)
    first, longest = writer.num_episodes, collect.max_steps_per_rollout
    try:
        for recording in given.recordings(ctx.spec, first, count, longest):
            _append(ctx, writer, [recording])
            _come_so_far(ctx, writer, count, given.identity)
    except ConfigError as e:
        raise TaskUnsuitable(f"{ctx.task.name}: {e}") from e


def _come_so_far(ctx: StageContext, writer: EpisodeWriter, count: int, source: str = "") -> None:
    ctx.place.say(writer.num_episodes, count, "episodes", steps=float(writer.num_steps))
    ctx.place.barrier.reached(lambda: _save(ctx, writer, source))


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


def _save(
    ctx: StageContext, writer: EpisodeWriter, source: str = "", complete: bool = False
) -> None:
    writer.sync()
    meta: dict[str, object] = {"episodes": writer.num_episodes, "steps": writer.num_steps}
    if source:
        meta["source"] = source
    ctx.place.store.save({}, meta, complete=complete, appended=writer.lengths())
