"""M keeps learning while C practises, from what C just did: random play never shows a good rally.

The last rollouts are kept as latents. Their sequences may reach over several rollouts, never over
an end; a share of them is chosen to hold one, because what ends an episode is rare and matters.
What goes wrong in it is mended in M: C has no part in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curriculum.learning.healing import (
    MAX_IN_A_ROW,
    MAX_ROLLBACKS,
    RATE_FACTOR,
    Shortage,
    go_on_in_room,
    make_room,
)
from curriculum.stages.stage import StageContext
from models.interfaces import (
    Descends,
    Float,
    Memory,
    Metrics,
    NonFiniteLoss,
    OutOfDeviceMemory,
    SequenceBatch,
    State,
)

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


@dataclass(frozen=True)
class Health:
    """What healing has left of M; committed.

    Attributes:
        rate_factor: of its learning rate.
        rollbacks, in_a_row: turns that were taken back, in all and since the last good one.
        parts: that each batch is taken in.
        device: that M had to move to, or "".
        given_up: whether M stays as it is from now on.
    """

    rate_factor: float = 1.0
    rollbacks: int = 0
    in_a_row: int = 0
    parts: int = 1
    device: str = ""
    given_up: bool = False


class Refresher:
    """Has M learn from what is recalled, in turns that are taken back if they go wrong.

    A turn whose loss is not finite leaves M as it was before it, at half its rate since; too many
    of them leave it so for good. One that does not fit into memory is done again in smaller parts,
    then on the CPU.

    Args:
        ctx: of the controller stage.
        memory: M.
        recall: what it learns from.
    """

    def __init__(self, ctx: StageContext, memory: Memory, recall: Recall) -> None:
        self._ctx, self._memory, self._recall = ctx, memory, recall
        self._rate = memory.learning_rate if isinstance(memory, Descends) else 0.0
        self._good: State | None = None
        self.health = Health()

    def learn(self, number: int) -> Metrics:
        """Takes the turn that goes with C's `number`-th update; returns its metrics, if any.

        Raises:
            StageFailure: no part of a batch is small enough for the memory there is.
        """
        if self.health.given_up:
            return {}
        self._good = self._memory.state()
        while True:
            try:
                metrics = self._turn(number)
            except NonFiniteLoss as e:
                self.roll_back(number, str(e))
                return {}
            except (OutOfDeviceMemory, MemoryError) as e:
                shortage = Shortage.of(e)
            else:
                self.health = replace(self.health, in_a_row=0)
                return metrics
            # Outside the handler, because the exception keeps what was on the device alive.
            self._make_room(number, shortage)

    def roll_back(self, number: int, reason: str) -> bool:
        """Leaves M as it was before its last turn, at half its rate; returns whether there was one.

        Args:
            number: of C's update.
            reason: what went wrong.
        """
        if self._good is None:
            return False
        self._memory.load_state(self._good)
        self._good, before = None, self.health
        worn = before.in_a_row >= MAX_IN_A_ROW or before.rollbacks >= MAX_ROLLBACKS
        self.load(
            {
                **asdict(before),
                "rate_factor": before.rate_factor * RATE_FACTOR,
                "rollbacks": before.rollbacks + 1,
                "in_a_row": before.in_a_row + 1,
                "given_up": worn,
            }
        )
        self._ctx.record(
            "rolled_back",
            part="M",
            step=number,
            at=number,
            reason=reason,
            learning_rate=self._rate * self.health.rate_factor,
            in_a_row=self.health.in_a_row,
            rollbacks=self.health.rollbacks,
            **({"then": "M stays as it is, C goes on"} if worn else {}),
        )
        return True

    def meta(self) -> dict[str, Any]:
        """Returns what healing has left, as facts for a commit."""
        return asdict(self.health)

    def load(self, meta: Mapping[str, Any]) -> None:
        """Goes on from what `meta` gave; commits of earlier versions hold nothing."""
        self.health = Health(**meta)
        go_on_in_room(self._memory, self.health.parts, self.health.device)
        if isinstance(self._memory, Descends):
            self._memory.learning_rate = self._rate * self.health.rate_factor

    def _turn(self, number: int) -> Metrics:
        task = self._ctx.task
        size, length = task.mdnrnn.batch_size, task.mdnrnn.sequence_length
        rng = self._ctx.rng("refresh", number)
        return refresh(self._memory, self._recall, task.ppo.memory_updates, size, length, rng)

    def _make_room(self, number: int, shortage: Shortage) -> None:
        assert self._good is not None
        self._memory.load_state(self._good)
        event = make_room(self._memory, shortage, "learning M in practice", self.meta())
        assert isinstance(self._memory, Descends)
        parts = self._memory.parts
        device = "cpu" if event == "moved_to_cpu" else self.health.device
        self.health = replace(self.health, parts=parts, device=device)
        self._ctx.record(event, part="M", step=number, parts=parts, reason=shortage.reason)
