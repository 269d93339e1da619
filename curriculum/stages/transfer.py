"""What V and M of a task begin from: the weights of the task that was finished before, or nothing.

Only weights are taken: moments of optimisers, counters and means over data belong to the task that
they were gathered in. Once it is decided it is told to the ledger, and from then on the ledger
decides, so that a stage which is begun again begins from the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from curriculum.errors import ConfigError, NoCheckpoint
from curriculum.place import Place
from curriculum.records.agent_state import part_of, weights_of
from curriculum.stages.stage import StageContext
from models.interfaces import Memory, State, Vision

TRANSFERRED = "transferred"

STAGES: Mapping[str, tuple[str, ...]] = {
    "none": (),
    "vision": ("vision",),
    "world": ("vision", "memory"),
}
"""The stages whose models begin from other weights, by what `curriculum.transfer` says."""


@dataclass(frozen=True)
class Source:
    """A finished task of the same run and mode, and the round of its agent."""

    task: str
    round: int


def begun_from(ctx: StageContext, source: Source | None) -> StageContext:
    """Returns a stage's context with what its model begins from, where the configuration asks so.

    Args:
        ctx: of the stage.
        source: what was finished last, if anything was; what was decided before counts instead.

    Raises:
        NoCheckpoint: what was decided for is damaged by now.
    """
    place = ctx.place
    if place.stage not in STAGES[ctx.config.curriculum.transfer] or not place.fresh:
        return ctx
    told = _told(place, place.stage)
    if told is None:
        told = _decide(ctx, source)
        place.record(TRANSFERRED, **told)
    if not told["taken"]:
        return ctx
    return replace(ctx, inherited=_weights(ctx, Source(told["source"], told["source_round"])))


def _decide(ctx: StageContext, source: Source | None) -> dict[str, Any]:
    facts = {
        "source": source.task if source else None,
        "source_round": source.round if source else None,
    }
    reason = _misfit(ctx, source)
    return {**facts, "taken": not reason, "reason": reason}


def _misfit(ctx: StageContext, source: Source | None) -> str:
    """Says why a model begins anew; empty if it does not."""
    if source is None:
        return "no task was finished before in this mode"
    if ctx.place.stage == "memory":
        seen = _told(ctx.place, "vision")
        if not ctx.task.mdnrnn.trained:
            return "mdnrnn.trained is false: M keeps its own random weights"
        if seen is None or not seen["taken"] or seen["source"] != source.task:
            return "V began anew, and other latents mean nothing to M"
    model: Vision | Memory = ctx.new_vision() if ctx.place.stage == "vision" else ctx.new_memory()
    if model.single_pass:
        return "it is learned in closed form, from all data at once"
    try:
        found = _weights(ctx, source)
    except (NoCheckpoint, ConfigError) as e:
        return f"what {source.task} learned cannot be read: {e}"
    return _difference(weights_of(model.state()), found)


def _difference(own: State, found: State) -> str:
    """Says in what the weights of two models differ, the first one that does."""
    for name in sorted({*own, *found}):
        mine, other = (_kind(state.get(name)) for state in (own, found))
        if mine != other:
            return f"{name} is {mine} here and {other} there"
    return "" if own else "it has no weights that learn by gradients"


def _kind(array: np.ndarray | None) -> str:
    if array is None:
        return "not there"
    return f"{array.dtype} {' x '.join(map(str, array.shape)) or 'number'}"


def _weights(ctx: StageContext, source: Source) -> State:
    """Reads the weights of another task's V or M, as its agent held them in the end."""
    stage = ctx.place.stage
    there = replace(ctx.place, task=source.task, round=source.round, first_round=0)
    learned = replace(ctx, place=there).learned(stage, "controller")
    return weights_of(part_of(learned, stage))


def _told(place: Place, stage: str) -> dict[str, Any] | None:
    """Returns what the ledger says of a stage in this round; the first word counts."""
    here = (place.task, place.mode, place.round, stage)
    for event in place.ledger.events(TRANSFERRED):
        if tuple(event[key] for key in ("task", "mode", "round", "stage")) == here:
            return dict(event)
    return None
