"""Stage memory: M learns what follows what, in latents."""

from __future__ import annotations

import numpy as np

from curriculum.datasets.episodes import Dataset
from curriculum.datasets.sequences import Latents, sample_sequences
from curriculum.errors import TaskUnsuitable, require
from curriculum.learning.windows import Shuffle, learn, planned_updates
from curriculum.records.finished import StageResult
from curriculum.stages.insights import memory_insights
from curriculum.stages.stage import StageContext, require_finite
from models.interfaces import Memory, Metrics

NAME = "memory"

HELD_OUT_SHARE = 0.1
"""Share of the episodes, the last ones, that M never learns from and is measured on."""

MAX_HELD_OUT_SEQUENCES = 256


def verify_inputs(ctx: StageContext) -> None:
    """Needs a latent for every row of the data."""
    ctx.place.completed("encode")


def run(ctx: StageContext) -> StageResult:
    """Learns from sequences of the training episodes and scores itself on the held-out ones."""
    data = ctx.data()
    latents = ctx.latents()
    memory = ctx.new_memory()
    if ctx.place.fresh and ctx.inherited:
        memory.load_state({**memory.state(), **ctx.inherited})
    elif not ctx.place.fresh and not memory.single_pass:
        memory.load_state(ctx.place.completed(NAME, ctx.place.round - 1).arrays)
    rnn = ctx.task.mdnrnn
    starts, held_out = split_starts(data, rnn.sequence_length)
    shuffle = Shuffle(len(starts), rnn.batch_size, lambda number: ctx.place.rng("shuffle", number))
    updates = planned_updates(shuffle, rnn.epochs, rnn.max_steps, memory.single_pass)
    if not rnn.trained:
        if memory.single_pass:
            raise TaskUnsuitable(
                f"{ctx.task.name}: mdnrnn.trained was false where M is an echo-state network, "
                "expected true: what is random there stays random, the rest is all that it learns"
            )
        updates = 0

    def update(number: int) -> Metrics:
        rng = ctx.place.rng("noise", number)
        chosen = starts[shuffle.batch(number)]
        # A learner that sees each sequence once has to see it where it is.
        jitter = not memory.single_pass
        batch = sample_sequences(data, latents, chosen, rnn.sequence_length, rng, jitter=jitter)
        return memory.update(batch, rng)

    learned = learn(ctx.place, memory, updates, update)
    ctx.place.store.save(memory.state(), learned.meta, complete=True)
    scored = describe(ctx, memory, data, latents, held_out)
    return StageResult(
        summary=f"{updates} updates, held-out NLL {scored['nll']:.4g}",
        metrics={
            **learned.metrics,
            **{f"held_out_{name}": value for name, value in scored.items()},
        },
        facts={**learned.facts, **memory_insights(ctx, memory, data, latents, held_out)},
    )


def verify_outputs(ctx: StageContext, result: StageResult) -> None:
    """All metrics are finite, on the held-out episodes too."""
    require_finite(result.metrics, NAME)
    require("held_out_nll" in result.metrics, "M was not scored on held-out episodes")


def split_starts(data: Dataset, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Cuts the episodes into sequences and keeps those of the last episodes apart.

    Returns:
        First rows of the training and of the held-out sequences; with a single episode both are
        the same, because there is nothing to hold out.
    """
    starts = data.sequence_starts(length)
    held_out_episodes = max(1, round(data.num_episodes * HELD_OUT_SHARE))
    if data.num_episodes == 1:
        return starts, starts
    is_held_out = data.episode_of(starts) >= data.num_episodes - held_out_episodes
    return starts[~is_held_out], starts[is_held_out]


def describe(
    ctx: StageContext, memory: Memory, data: Dataset, latents: Latents, starts: np.ndarray
) -> Metrics:
    """Scores M on held-out sequences, spread over them if there are many."""
    spread = np.linspace(0, len(starts) - 1, min(len(starts), MAX_HELD_OUT_SEQUENCES))
    chosen = starts[np.unique(spread.astype(np.int64))]
    length = ctx.task.mdnrnn.sequence_length
    return memory.evaluate(sample_sequences(data, latents, chosen, length))
