"""The one environment interface: a batch of environments that the caller resets.

The semantics are Gymnasium's `AutoresetMode.DISABLED`: nothing resets by itself, so each episode
has the seed that its place in the run gives it. An environment whose episode has ended is parked:
`step` returns its last observation, reward 0 and all flags False until `reset` names it.

A step has two halves, so that environments and networks can work at the same time: `send` starts
it and `recv` waits for it. `recv` without `send`, and `reset` between them, are RuntimeErrors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ActionSpec:
    """Discrete(size), or a Box of `size` dimensions with finite bounds.

    Attributes:
        meanings: the vectors that discrete actions stand for, if they do, one for each.
    """

    kind: Literal["discrete", "continuous"]
    size: int
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    meanings: tuple[tuple[float, ...], ...] = ()

    def encode(self, actions: np.ndarray) -> NDArray[np.float32]:
        """Turns environment actions into M's input: one-hot, or scaled to [-1, 1]; `[N, size]`."""
        if self.kind == "discrete":
            return np.eye(self.size, dtype=np.float32)[np.asarray(actions, dtype=np.int64)]
        low, high = self.bounds
        return (2.0 * (np.asarray(actions, np.float32) - low) / (high - low) - 1.0).astype(
            np.float32
        )

    def vectors(self, actions: np.ndarray) -> NDArray[np.float32]:
        """Turns actions into what they do: what they stand for, else as M reads them; `[N, V]`."""
        if not self.meanings:
            return self.encode(actions)
        return self._table[np.asarray(actions, np.int64)]

    @property
    def vector_size(self) -> int:
        """V, the length of what `vectors` makes of an action."""
        return len(self.meanings[0]) if self.meanings else self.size

    def decode(self, encoded: np.ndarray) -> np.ndarray:
        """Inverts `encode`: `[N]` int64, or `[N, size]` float32 in environment units."""
        if self.kind == "discrete":
            return np.argmax(encoded, axis=-1).astype(np.int64)
        low, high = self.bounds
        return (low + (np.asarray(encoded, np.float32) + 1.0) * 0.5 * (high - low)).astype(
            np.float32
        )

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """Draws one uniform action: int64 scalar array, or `[size]` float32."""
        if self.kind == "discrete":
            return np.asarray(rng.integers(self.size), dtype=np.int64)
        low, high = self.bounds
        return rng.uniform(low, high).astype(np.float32)

    @cached_property
    def _table(self) -> NDArray[np.float32]:
        return np.asarray(self.meanings, np.float32)

    @cached_property
    def bounds(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The bounds `[size]` as float32, rounded inwards: 0.1 as float32 lies above 0.1."""
        exact = np.asarray(self.low, np.float64), np.asarray(self.high, np.float64)
        low, high = (bound.astype(np.float32) for bound in exact)
        return (
            np.where(low < exact[0], np.nextafter(low, np.float32(np.inf)), low),
            np.where(high > exact[1], np.nextafter(high, np.float32(-np.inf)), high),
        )


@dataclass(frozen=True)
class EnvSpec:
    """What a batch of environments looks like from outside.

    Attributes:
        env_id: what is really running, e.g. `PongNoFrameskip-v4` or `simulation/pong`.
        observation: `pixels` (uint8 `[H, W, C]`) or `state` (float32 `[D]`).
        shape: of one observation.
        action: the action space.
        frames_per_step: environment frames one `step` advances.
        max_episode_steps: steps after which an episode is truncated; None where it is the
            environment's own affair.
        replaces_actions: whether `send` may take other actions than it is given, beyond keeping
            them inside their bounds.
        facts: names of what is told of each step beside its reward; see `Step.facts`.
        frames: how many frames lie in the channels of an observation, the oldest first (pixels).
    """

    env_id: str
    observation: Literal["pixels", "state"]
    shape: tuple[int, ...]
    action: ActionSpec
    frames_per_step: int = 1
    max_episode_steps: int | None = None
    replaces_actions: bool = False
    facts: tuple[str, ...] = ()
    frames: int = 1


class Step(NamedTuple):
    """One step of a batch: observations `[N, ...]`, rewards `[N]` float32 (true and unclipped),
    terminated and truncated `[N]` bool (never both), and where a life was lost while the game goes
    on `[N]` bool.

    `facts` is `[N, K]` float32, how things stand after the step by the names in `EnvSpec.facts`, 0
    where an environment is parked; None where there are none. No score is made of them.
    """

    observations: np.ndarray
    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    life_lost: NDArray[np.bool_]
    facts: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Screen:
    """An environment that shows itself, to be played along with one that an agent sees.

    Equal seeds and equal actions give equal episodes in both, so what happens there is seen here.

    Attributes:
        env: a batch of one, whose observation `[H, W, 3]` is the game's own picture.
        frames_per_second: of the environment's time.
    """

    env: VectorEnv
    frames_per_second: float

    @property
    def step_seconds(self) -> float:
        """Seconds of the environment's time that a step takes."""
        return self.env.spec.frames_per_step / self.frames_per_second


@runtime_checkable
class VectorEnv(Protocol):
    """`num_envs` environments stepped together; see the module's text for the reset semantics."""

    spec: EnvSpec
    num_envs: int

    def reset(
        self, seeds: Sequence[int] | None, indices: Sequence[int] | None = None
    ) -> np.ndarray:
        """Starts new episodes.

        Args:
            seeds: one non-negative seed per environment to reset; equal seeds and equal actions
                give equal episodes, whatever was played before. None goes on from the seed that
                an environment was last given: the same first seed and the same actions since
                give the same sequence of episodes.
            indices: which environments, all of them if None.

        Returns:
            Observations of *all* environments, `[N, ...]`.
        """
        ...

    def send(self, actions: np.ndarray) -> np.ndarray:
        """Starts a step of all environments.

        Args:
            actions: `[N]` int64 or `[N, A]` float32 in environment units.

        Returns:
            The actions really taken, which differ where an environment needs another one, as a
            game that waits for FIRE does, or where one was outside its bounds.
        """
        ...

    def recv(self) -> Step:
        """Waits for the step that `send` started."""
        ...

    def step(self, actions: np.ndarray) -> Step:
        """Steps all environments: `send`, then `recv`."""
        ...

    def close(self) -> None:
        """Releases everything; may be called twice."""
        ...
