"""What is published with every trained V, M and driver: what they know, in numbers and pictures.

None of it is learned from. Where things really are comes from an emulator of its own, whose steps
are therefore no steps of the agent.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from curriculum.agent.playing import even_unit_size
from curriculum.datasets.episodes import Dataset
from curriculum.datasets.sequences import Latents, sample_sequences
from curriculum.envs.aliases import atari_game
from curriculum.envs.framing import Framing
from curriculum.errors import ConfigError
from curriculum.insight.drawing import drawer, write_png
from curriculum.insight.driving import look_at_driving, told_episodes
from curriculum.insight.ground_truth import COORDINATES, Truth, play_with_truth
from curriculum.insight.key_point_probe import probe_key_points
from curriculum.insight.laps import tells_of_laps
from curriculum.insight.memory_horizon import open_loop
from curriculum.insight.pictures import DREAM_STEPS, memory_picture, vision_picture
from curriculum.insight.visibility import ball_contrast
from curriculum.insight.vision_probe import probe
from curriculum.stages.stage import StageContext
from curriculum.world.world_model import WorldModel
from models.interfaces import Memory, Vision

FEWEST_PROBE_ROWS, PROBE_ROWS = 400, 4000
"""A V that has seen little is looked at more briefly."""

WARM_UP, HORIZON = 10, 50
MAX_SEQUENCES = 64
COLUMNS = 8
STARTS = 3


def vision_insights(ctx: StageContext, vision: Vision, data: Dataset) -> dict[str, Any]:
    """Looks at V as `_look_at_vision` does; what cannot be looked at is told, and fails nothing."""
    return _tried(ctx, lambda: _look_at_vision(ctx, vision, data))


def memory_insights(
    ctx: StageContext, memory: Memory, data: Dataset, latents: Latents, held_out: np.ndarray
) -> dict[str, Any]:
    """Looks at M as `_look_at_memory` does; what cannot be looked at is told, and fails nothing."""
    return _tried(ctx, lambda: _look_at_memory(ctx, memory, data, latents, held_out))


def driving_insights(ctx: StageContext, save: Callable[[], None]) -> dict[str, Any]:
    """Looks at laps as `_look_at_laps` does; what cannot be looked at is told, and fails nothing.

    Args:
        ctx: of the evaluate stage; its executor knows the agent.
        save: commits what was played for the verdict, before and where this is broken off.
    """
    if not (ctx.task.evaluate.insight_episodes and tells_of_laps(ctx.spec)):
        return {}
    save()
    return _tried(ctx, lambda: _look_at_laps(ctx, save))


def _tried(ctx: StageContext, look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return look()
    except (ValueError, ArithmeticError, LookupError, ImportError, ConfigError) as e:
        ctx.place.record("insight_failed", reason=f"{type(e).__name__}: {e}")
        return {}


def _look_at_vision(ctx: StageContext, vision: Vision, data: Dataset) -> dict[str, Any]:
    """Draws `vision.png` and probes V for the things whose places the emulator tells.

    Returns:
        `probe`: name to R^2 and error in pixels, held-out episodes; missing where no truth is to
        be had. `key_points`, where V has some: how many frames they are within 2 pixels in
        (`insight.key_point_probe`). `contrast`: how much of the ball is in the frames that V is
        shown, see `ball_contrast`. Nothing for state observations.
    """
    if ctx.spec.observation != "pixels":
        return {}
    rows = _rows_that_move(data)
    picture = vision_picture(
        vision,
        data.observations(rows),
        data.observations(data.previous_rows(rows)),
        motion_weight=ctx.task.vae.model.motion_weight,
        background_weight=ctx.task.vae.model.background_weight,
        draw=drawer(ctx.spec),
    )
    write_png(ctx.place.directory / "vision.png", picture)
    truth = _truth(ctx, int(np.clip(data.num_rows, FEWEST_PROBE_ROWS, PROBE_ROWS)))
    if truth is None:
        return {}
    latents = vision.encode(truth.stacked(ctx.spec.frames))
    known = (truth.positions, truth.visible, truth.episodes)
    found = {"probe": probe(latents, *known)}
    count = ctx.task.vae.model.key_points if ctx.backend.key_points else 0
    if count:
        found["key_points"] = probe_key_points(latents[:, : 2 * count], *known)
    contrast = ball_contrast(truth)
    return {**found, "contrast": contrast} if contrast else found


def _look_at_memory(
    ctx: StageContext, memory: Memory, data: Dataset, latents: Latents, held_out: np.ndarray
) -> dict[str, Any]:
    """Measures how far M sees, and draws `memory.png` where there are frames to draw.

    Args:
        ctx: of the memory stage.
        memory: M.
        data, latents: the episodes and V's latents of them.
        held_out: first rows of sequences that M has not learned from, some.

    Returns:
        `open_loop`: errors by horizon, in units of the latents' variance, beside those of "nothing
        moves" and "constant velocity"; missing where no episode is long enough.
    """
    first = np.unique(data.first_rows(held_out))
    long_enough = first[data.final_rows(first) - first >= WARM_UP + HORIZON]
    if not long_enough.size:
        return {}
    length = int(min((data.final_rows(long_enough) - long_enough).max(), 8 * HORIZON))
    batch = sample_sequences(data, latents, long_enough[:MAX_SEQUENCES], length)
    horizon = open_loop(
        WorldModel(None, memory),
        batch.latents,
        batch.actions,
        batch.mask,
        ctx.place.rng("open loop"),
        warm_up=WARM_UP,
        horizon=HORIZON,
    )
    if ctx.spec.observation == "pixels":
        _draw_memory(ctx, memory, data, int(long_enough[0]))
    curves = {name: [round(float(e), 5) for e in curve] for name, curve in horizon.errors.items()}
    return {"open_loop": {**horizon.facts(), "starts": horizon.starts, "curves": curves}}


def _look_at_laps(ctx: StageContext, save: Callable[[], None]) -> dict[str, Any]:
    """Drives the first of the evaluation's episodes once more, greedily, and draws `laps.png`.

    Returns:
        `driving`: see `curriculum.insight.laps.summary_of`.
    """
    count = min(ctx.task.evaluate.insight_episodes, ctx.task.evaluate.episodes)
    seeds, size = ctx.place.env_seeds("episodes", count=count), ctx.task.env.num_envs

    def stop_if_asked() -> None:
        ctx.place.barrier.may_stop(save)

    told = told_episodes(ctx.executor, {}, seeds, even_unit_size(count, size), stop_if_asked)
    make_env = partial(ctx.backend.make_env, ctx.task, notice=lambda text: None)
    found, picture = look_at_driving(told, ctx.spec, make_env)
    if picture is not None:
        write_png(ctx.place.directory / "laps.png", picture)
    return {"driving": found}


def _draw_memory(ctx: StageContext, memory: Memory, data: Dataset, first: int) -> None:
    rows = np.arange(first, int(data.final_rows(np.array([first]))[0]) + 1)
    steps = len(rows) - 1
    starts = np.linspace(WARM_UP, steps - DREAM_STEPS, STARTS).astype(int).tolist()
    picture = memory_picture(
        WorldModel(ctx.vision(), memory),
        data.observations(rows),
        data.actions(rows[:-1]),
        starts,
        ctx.place.rng("picture"),
        draw=drawer(ctx.spec),
    )
    write_png(ctx.place.directory / "memory.png", picture)


def _rows_that_move(data: Dataset) -> np.ndarray:
    """Returns rows spread over all data, none the first of its episode if that can be helped."""
    rows = np.linspace(0, data.num_rows - 1, COLUMNS + 2).astype(np.int64)[1:-1]
    return np.maximum(rows, data.first_rows(rows) + 1)


def _truth(ctx: StageContext, rows: int) -> Truth | None:
    game = atari_game(ctx.spec.env_id) if ctx.backend.environment == "real" else None
    if game is None or game.rom not in COORDINATES or ctx.spec.shape[-1] != ctx.spec.frames:
        return None
    if ctx.spec.frames_per_step < 2:
        return None
    return play_with_truth(
        ctx.spec.env_id,
        rows,
        ctx.place.env_seed("probe", 0),
        frame_skip=ctx.spec.frames_per_step,
        keep=ctx.task.collect.repeat_action_probability,
        noop_max=ctx.task.env.noop_max,
        framing=Framing(ctx.task.env.crop, ctx.task.env.pooling),
        maxpool=ctx.task.env.maxpool,
    )
