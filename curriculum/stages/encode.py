"""Stage encode: V's posterior of every collected row, computed once and kept."""

from __future__ import annotations

from functools import partial

import numpy as np

from curriculum.datasets.sequences import Latents, LatentWriter
from curriculum.errors import require
from curriculum.learning.healing import go_on_in_room, read_in_room
from curriculum.records.finished import StageResult
from curriculum.stages.stage import StageContext

NAME = "encode"
ROWS_AT_ONCE = 1024


def verify_inputs(ctx: StageContext) -> None:
    """Needs V and the episodes."""
    ctx.place.completed("vision")
    require(ctx.data().num_rows > 0, "there is nothing to encode")


def run(ctx: StageContext) -> StageResult:
    """Encodes the rows of all rounds in order; goes on where the last commit ended."""
    data, vision = ctx.data(), ctx.vision()
    writer = LatentWriter(ctx.place.directory / "data", vision.latent_size)
    commit = ctx.place.store.latest()
    writer.cut(commit.appended if commit else {})

    device = commit.meta.get("device", "") if commit else ""
    go_on_in_room(vision, 1, device)

    def save(complete: bool = False) -> None:
        writer.sync()
        meta = {"rows": writer.num_rows, **({"device": device} if device else {})}
        ctx.place.store.save({}, meta, complete=complete, appended=writer.lengths())

    for start in range(writer.num_rows, data.num_rows, ROWS_AT_ONCE):
        ctx.place.barrier.reached(save)
        rows = np.arange(start, min(start + ROWS_AT_ONCE, data.num_rows))
        frames = data.observations(rows)
        found, moved = read_in_room(vision, partial(vision.posterior, frames), ctx.place.record)
        device = moved or device
        writer.append(*found)
        ctx.place.say(writer.num_rows, data.num_rows, "rows")
    save(complete=True)
    return StageResult(f"{writer.num_rows} rows", {"rows": float(writer.num_rows)})


def verify_outputs(ctx: StageContext, result: StageResult) -> None:
    """There is one finite latent for every row."""
    latents = Latents.open(ctx.place.directory / "data")
    rows = ctx.data().num_rows
    require(len(latents.mean) == rows, f"{len(latents.mean)} rows were encoded, expected {rows}")
    finite = np.isfinite(latents.mean).all() and np.isfinite(latents.log_var).all()
    require(bool(finite), "some latents are not finite")
