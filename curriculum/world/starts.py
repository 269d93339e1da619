"""Where dreams begin: real latents, with the memory that led up to them."""

from __future__ import annotations

import numpy as np

from curriculum.datasets.episodes import Dataset
from curriculum.datasets.sequences import Latents
from curriculum.world.dream import DreamStarts
from curriculum.world.world_model import WorldModel

MAX_EPISODES = 64
STARTS = 2048


def dream_starts(
    data: Dataset,
    latents: Latents,
    world: WorldModel,
    rng: np.random.Generator,
    *,
    first: bool = False,
) -> DreamStarts:
    """Has M follow real episodes and picks places in them at random.

    Args:
        data: collected episodes.
        latents: V's posterior of their rows.
        world: of which M follows the episodes.
        rng: picks episodes and places.
        first: only what episodes begin with.

    Returns:
        Up to 2,048 starts out of up to 64 episodes (all episodes if `first`): z_t, z_{t-1} and M's
        state before it, for t anywhere from an episode's first step to its last.
    """
    count = min(STARTS if first else MAX_EPISODES, data.num_episodes)
    episodes = data.episodes[rng.permutation(data.num_episodes)[:count]]
    steps = episodes["rows"] - 1
    owners = np.repeat(np.arange(count), -(-STARTS // count))
    places = np.zeros(len(owners), np.int64) if first else rng.integers(steps[owners])
    state = world.begin(count)
    found_latents = np.zeros((len(places), world.latent_size), np.float32)
    found_before = np.zeros_like(found_latents)
    found_states = np.zeros((len(places), state.shape[1]), np.float32)
    before = np.zeros((count, world.latent_size), np.float32)
    for step in range(int(places.max()) + 1):
        live = np.flatnonzero(step < steps)
        rows = episodes["start"][live] + step
        seen = np.array(latents.mean[rows])
        position = np.full(count, -1)
        position[live] = np.arange(live.size)
        here = np.flatnonzero(places == step)
        if step == 0:
            before[live] = seen
        found_before[here] = before[owners[here]]
        found_latents[here] = seen[position[owners[here]]]
        found_states[here] = state[owners[here]]
        state[live] = world.remember(state[live], seen, data.actions(rows))
        before[live] = seen
    return DreamStarts(found_latents[:STARTS], found_states[:STARTS], found_before[:STARTS])
