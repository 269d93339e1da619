"""M keeps learning while C practises, from what C just did: random play never shows a good rally.

The last rollouts are kept as latents. Their sequences may reach over several rollouts, never over
an end; a share of them is chosen to hold one, because what ends an episode is rare and matters.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.interfaces import Float, Memory, Metrics, SequenceBatch, State

SHARE_WITH_END = 0.25
"""Of the sequences in a batch, as far as there are ends."""


class Recall:
    """The last rollouts of N environments, as M needs them.

    Args:
        capacity: steps of each environment that are kept.
        num_envs: N.
        latent_size: Z.
        action_size: A.
    """

    def __init__(self, capacity: int, num_envs: int, latent_size: int, action_size: int) -> None:
        self._capacity = capacity
        self._latents = np.zeros((0, num_envs, latent_size), np.float32)
        self._following = self._latents
        self._actions = np.zeros((0, num_envs, action_size), np.float32)
        self._rewards = np.zeros((0, num_envs), np.float32)
        self._terminated = np.zeros((0, num_envs), np.bool_)
        self._over = np.zeros((0, num_envs), np.bool_)

    @property
    def steps(self) -> int:
        """Steps of each environment that are kept now."""
        return len(self._rewards)

    def add(
        self,
        latents: Float,
        following: Float,
        actions: Float,
        rewards: Float,
        terminated: NDArray[np.bool_],
        over: NDArray[np.bool_],
    ) -> None:
        """Appends a rollout that follows the last one, and drops the oldest steps.

        Args:
            latents: `[T, N, Z]`, z_t.
            following: `[T, N, Z]`, z of what step t led to: where it ended an episode the last
                observation, not the first of the next one.
            actions: `[T, N, A]`, encoded, as really taken.
            rewards: `[T, N]`, true ones.
            terminated: `[T, N]`.
            over: `[T, N]`, terminated or truncated.
        """
        given = (latents, following, actions, rewards, terminated, over)
        for name, new in zip(self.state(), given, strict=True):
            old = getattr(self, f"_{name}")
            setattr(self, f"_{name}", np.concatenate([old, new])[-self._capacity :])

    def batch(self, size: int, length: int, rng: np.random.Generator) -> SequenceBatch:
        """Draws sequences.

        Args:
            size: B.
            length: T, cut to what is kept.
            rng: the only source of chance.
        """
        length = min(length, self.steps)
        last = self.steps - length
        rows = rng.integers(self._over.shape[1], size=size)
        starts = rng.integers(last + 1, size=size)
        ends = np.argwhere(self._over)
        if len(ends):
            count = int(size * SHARE_WITH_END)
            chosen = ends[rng.integers(len(ends), size=count)]
            before = rng.integers(length, size=count)
            starts[:count] = np.clip(chosen[:, 0] - before, 0, last)
            rows[:count] = chosen[:, 1]
        steps = starts[:, None] + np.arange(length)
        at = (steps, rows[:, None])
        over = self._over[at]
        mask = np.cumsum(over, axis=1) - over == 0
        latents = np.concatenate([self._latents[at][:, :1], self._following[at]], axis=1)
        return SequenceBatch(
            latents=latents,
            actions=self._actions[at] * mask[..., None],
            rewards=self._rewards[at] * mask,
            terminated=(self._terminated[at] & mask).astype(np.float32),
            mask=mask.astype(np.float32),
        )

    def state(self) -> State:
        """Returns all that is kept, not as copies: nothing is ever written to."""
        names = ("latents", "following", "actions", "rewards", "terminated", "over")
        return {name: getattr(self, f"_{name}") for name in names}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Keeps what `state` gave."""
        for name, kept in state.items():
            setattr(self, f"_{name}", np.array(kept))


def refresh(
    memory: Memory, recall: Recall, updates: int, size: int, length: int, rng: np.random.Generator
) -> Metrics:
    """Has M learn from what is recalled; returns the last update's metrics, `memory_` before each.

    Raises:
        NonFiniteLoss: an update was refused.
    """
    metrics: Metrics = {}
    for _ in range(updates):
        metrics = memory.update(recall.batch(size, length, rng), rng)
    kept = ("loss", "nll", "prediction_error", "reward_error", "done_loss")
    return {f"memory_{name}": metrics[name] for name in kept if name in metrics}
