"""A batch of environments as everybody sees it, around a core that only plays.

Which episodes are in progress, resets in part, seeds that follow, actions that are refused, the
two halves of a step, time limits, parking and closing are the same for all and stand here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from curriculum.envs.contract import SeedBook, checked_actions, checked_rows
from curriculum.envs.interface import EnvSpec, Step

Rows = NDArray[np.intp]
Mask = NDArray[np.bool_]


@dataclass
class Slots:
    """Where the episodes of N environments are.

    Attributes:
        live: whose episode is in progress, `[N]`.
        ages: steps since each began, `[N]` int64.
    """

    live: Mask
    ages: NDArray[np.int64]


class Outcome(NamedTuple):
    """What came of a step, in arrays that the core writes to no more: observations `[N, ...]`,
    rewards `[N]`, flags `[N]`, and facts `[N, K]` of a core whose spec names any. Whatever stands
    in the rows of parked environments is put right by the batch, as are a truncation beside a
    termination and lives of a core that knows of none.
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminated: Mask
    truncated: Mask
    life_lost: Mask | None = None
    facts: np.ndarray | None = None


class Core(Protocol):
    """Plays N environments; what it is asked has been checked (see `Batch`)."""

    spec: EnvSpec
    num_envs: int

    def begin(self, rows: Rows, seeds: list[int], slots: Slots) -> np.ndarray:
        """Starts episodes.

        Args:
            rows: which environments, at least one.
            seeds: one for each.
            slots: their ages are 0 already.

        Returns:
            First observations, `[len(rows), ...]`.
        """
        ...

    def advance(self, actions: np.ndarray, slots: Slots) -> Outcome:
        """Ends a step, at least one of whose environments is live; changes nothing in `slots`.

        Args:
            actions: `[N]` int64 or `[N, A]` float32 inside the action space.
            slots: before the step.
        """
        ...

    def close(self) -> None:
        """Releases everything; is called once."""
        ...


@runtime_checkable
class WorksAhead(Core, Protocol):
    """A core that works while its caller does something else."""

    def start(self, actions: np.ndarray, slots: Slots) -> np.ndarray:
        """Starts a step, at least one of whose environments is live; returns the actions taken."""
        ...

    def go_on(
        self, rows: Rows, seeds: list[int], slots: Slots, following: Callable[[int], int | None]
    ) -> np.ndarray:
        """Starts episodes as `begin` does, where the caller gave no seeds.

        They may have begun before anybody asked.

        Args:
            rows, seeds, slots: as for `begin`.
            following: gives the seed that a row will go on with after this; None for one that
                was never given a seed.
        """
        ...


class Batch:
    """N environments (`curriculum.envs.interface.VectorEnv`), whatever plays them.

    Args:
        core: plays them; nobody else may.
        max_episode_steps: steps after which an episode is truncated; 0 leaves that to the core.

    Attributes:
        core: as given.
        slots: where the episodes are; only to be read.
    """

    def __init__(self, core: Core, max_episode_steps: int = 0) -> None:
        self.spec = core.spec
        self.num_envs = core.num_envs
        self.core = core
        self.slots = Slots(np.zeros(self.num_envs, np.bool_), np.zeros(self.num_envs, np.int64))
        self._ahead = core if isinstance(core, WorksAhead) else None
        self._limit = max_episode_steps
        dtype = np.uint8 if self.spec.observation == "pixels" else np.float32
        self._observations = np.zeros((self.num_envs, *self.spec.shape), dtype)
        self._seeds = SeedBook(self.num_envs)
        self._sent: np.ndarray | None = None
        self._closed = False

    def reset(
        self, seeds: Sequence[int] | None, indices: Sequence[int] | None = None
    ) -> np.ndarray:
        """Starts new episodes; see `VectorEnv.reset`.

        Raises:
            ValueError: seeds and indices do not fit, or an environment goes on without ever having
                been given a seed.
            RuntimeError: a step is under way, or the batch is closed.
        """
        self._refuse_within_step("reset")
        rows = checked_rows(self.num_envs, seeds, indices)
        if rows.size:
            taken = self._seeds.take(rows, seeds)
            self.slots.ages[rows] = 0
            if seeds is None and self._ahead is not None:
                begun = self._ahead.go_on(rows, taken, self.slots, self._seeds.following)
            else:
                begun = self.core.begin(rows, taken, self.slots)
            self._observations = self._observations.copy()
            self._observations[rows] = begun
            self.slots.live[rows] = True
        return self._observations

    def send(self, actions: np.ndarray) -> np.ndarray:
        """Starts a step; see `VectorEnv.send`.

        Raises:
            ValueError: a wrong shape, an action that does not exist or is not finite.
            RuntimeError: a step is under way, or the batch is closed.
        """
        self._refuse_within_step("send")
        chosen = checked_actions(self.spec, self.num_envs, actions)
        if self._ahead is not None and np.count_nonzero(self.slots.live):
            chosen = self._ahead.start(chosen, self.slots)
        self._sent = chosen
        return chosen

    def recv(self) -> Step:
        """Ends the step; see `VectorEnv.recv`.

        Raises:
            RuntimeError: no step was started, or the batch is closed.
        """
        self._refuse_closed()
        if self._sent is None:
            raise RuntimeError(f"{self.spec.env_id}: recv without send: start a step first")
        actions, self._sent = self._sent, None
        # A count is several times as quick as `all` and `any`.
        playing = np.count_nonzero(self.slots.live)
        if not playing:
            rewards, flags = np.zeros(self.num_envs, np.float32), np.zeros((3, self.num_envs), "?")
            return Step(self._observations, rewards, *flags, facts=self._no_facts)
        outcome = self.core.advance(actions, self.slots)
        return self._counted(outcome if playing == self.num_envs else self._parked(outcome))

    def step(self, actions: np.ndarray) -> Step:
        """Steps all environments; see `VectorEnv.step`."""
        self.send(actions)
        return self.recv()

    def close(self) -> None:
        """Releases everything; may be called twice."""
        if not self._closed:
            self._closed = True
            self.core.close()

    def go_on_from(self, observations: np.ndarray, slots: Slots) -> None:
        """Takes over episodes in whose middle the core has been put."""
        self._observations, self.slots = observations, slots

    def _counted(self, outcome: Outcome) -> Step:
        """Returns an outcome as a step, after which some episodes may be over."""
        observations, rewards, terminated, truncated, life_lost, facts = outcome
        slots = self.slots
        slots.ages += slots.live
        if self._limit:
            truncated = truncated | (slots.live & (slots.ages >= self._limit))
        if np.count_nonzero(over := terminated | truncated):
            truncated = truncated & ~terminated
            slots.live = slots.live & ~over
        if life_lost is None:
            life_lost = np.zeros(self.num_envs, np.bool_)
        self._observations = observations
        rewards = rewards.astype(np.float32, copy=False)
        return Step(observations, rewards, terminated, truncated, life_lost, facts)

    def _parked(self, outcome: Outcome) -> Outcome:
        """Returns an outcome that shows parked environments as they were."""
        live = self.slots.live
        rows = live.reshape(-1, *[1] * len(self.spec.shape))
        lost, facts = outcome.life_lost, outcome.facts
        return Outcome(
            np.where(rows, outcome.observations, self._observations),
            np.where(live, outcome.rewards, 0.0),
            outcome.terminated & live,
            outcome.truncated & live,
            None if lost is None else lost & live,
            None if facts is None else np.where(live[:, None], facts, np.float32(0)),
        )

    @property
    def _no_facts(self) -> np.ndarray | None:
        names = self.spec.facts
        return np.zeros((self.num_envs, len(names)), np.float32) if names else None

    def _refuse_closed(self) -> None:
        if self._closed:
            raise RuntimeError(f"{self.spec.env_id} is closed: build a new one")

    def _refuse_within_step(self, what: str) -> None:
        self._refuse_closed()
        if self._sent is not None:
            raise RuntimeError(f"{self.spec.env_id}: {what} before recv: receive the step first")
