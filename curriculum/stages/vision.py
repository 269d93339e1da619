"""Stage vision: V learns to see what was collected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from curriculum.datasets.episodes import Dataset
from curriculum.errors import require
from curriculum.learning.windows import Shuffle, WindowCounters, learn, meta_of, planned_updates
from curriculum.records.finished import StageResult
from curriculum.stages.insights import vision_insights
from curriculum.stages.stage import StageContext, require_finite
from models.interfaces import Metrics, Vision
from models.numeric.measures import ACCURATE

NAME = "vision"

CERTAIN = 0.5 / 255.0
"""How near to 0 or 1 a rebuilt value counts as, at most: half a step of a byte."""

HELD_OUT_ROWS = 512
"""Rows that the published metrics are measured on, spread over all data."""


def verify_inputs(ctx: StageContext) -> None:
    """Needs the episodes of all rounds up to this one."""
    for number in ctx.place.rounds:
        ctx.place.completed("collect", number)


def run(ctx: StageContext) -> StageResult:
    """Learns from the frames of all rounds, going on from the last round's V.

    A closed-form V keeps its first basis in later rounds: a new one would permute its latents,
    and the controller's parameters would mean nothing.
    """
    data = ctx.data()
    vision = _vision_to_train(ctx)
    if vision.single_pass and not ctx.place.fresh:
        ctx.place.store.save(vision.state(), meta_of(WindowCounters()), complete=True)
        return StageResult("kept from the first round", describe(ctx, vision, data))
    vae = ctx.task.vae
    shuffle = Shuffle(
        data.num_rows, vae.batch_size, lambda number: ctx.place.rng("shuffle", number)
    )
    updates = planned_updates(shuffle, vae.epochs, vae.max_steps, vision.single_pass)

    def update(number: int) -> Metrics:
        rows = shuffle.batch(number)
        return vision.update(
            data.observations(rows),
            data.observations(data.previous_rows(rows)),
            ctx.place.rng("noise", number),
        )

    learned = learn(ctx.place, vision, updates, update)
    ctx.place.store.save(vision.state(), learned.meta, complete=True)
    metrics = {**learned.metrics, **describe(ctx, vision, data)}
    loss = f", loss {metrics['loss']:.4g}" if "loss" in metrics else ""
    facts = {**learned.facts, **vision_insights(ctx, vision, data)}
    return StageResult(f"{updates} updates{loss}{_probed(facts)}", metrics, facts=facts)


def _probed(facts: Mapping[str, Any]) -> str:
    """Says in a few words what the probe found."""
    found = facts.get("probe", {})
    words = ", ".join(f"{name} {scores['r2']:.2f}" for name, scores in found.items())
    contrast = facts.get("contrast", {}).get("brightest")
    ball = f"; the ball stands out by {contrast:.0f} of 255" if contrast is not None else ""
    return f"; R^2 of {words}{ball}" if words else ""


def verify_outputs(ctx: StageContext, result: StageResult) -> None:
    """Latents are finite and not all the same: a V that ignores its input is no V."""
    require_finite(result.metrics, NAME)
    spread = result.metrics["latent_spread"]
    require(
        spread > 1e-6,
        "V gives the same latents for every frame (posterior collapse): lower vae.beta, lengthen "
        "vae.beta_warmup_steps or raise vae.reconstruction_scale",
        latent_spread=spread,
    )


def describe(ctx: StageContext, vision: Vision, data: Dataset) -> Metrics:
    """Measures V on rows spread over all data: how much its latents and reconstructions carry."""
    rows = np.unique(np.linspace(0, data.num_rows - 1, HELD_OUT_ROWS).astype(np.int64))
    seen = data.observations(rows)
    latents = vision.encode(seen)
    deviations = latents.std(axis=0)
    metrics = {
        "latent_mean": float(latents.mean()),
        "latent_std": float(deviations.mean()),
        "latent_spread": float(deviations.max()),
    }
    if ctx.spec.observation == "pixels":
        shown = vision.decode(latents).astype(np.float32) / 255.0
        truth = seen.astype(np.float32) / 255.0
        error = np.abs(shown - truth)
        metrics["reconstruction_mse"] = float(np.square(error).mean())
        metrics["reconstruction_bce"] = _cross_entropy(shown, truth)
        metrics["pixel_accuracy"] = float((error <= ACCURATE).mean())
    return metrics


def _cross_entropy(shown: np.ndarray, truth: np.ndarray) -> float:
    """Returns the mean binary cross-entropy of values in [0, 1], in nats, as others report it."""
    sure = np.clip(shown, CERTAIN, 1.0 - CERTAIN)
    return float(-(truth * np.log(sure) + (1.0 - truth) * np.log1p(-sure)).mean())


def _vision_to_train(ctx: StageContext) -> Vision:
    """Returns V as the last round left it, which may have gone on learning with C; in the first
    round as it was made, or with the weights that it inherits."""
    vision, last = ctx.new_vision(), ctx.place.round - 1
    if not ctx.place.fresh:
        # What is learned in closed form does not go on learning with C.
        joint = {} if vision.single_pass else ctx.place.completed("controller", last).part("joint")
        vision.load_state(joint or ctx.place.completed(NAME, last).arrays)
    elif ctx.inherited:
        vision.load_state({**vision.state(), **ctx.inherited})
    return vision
