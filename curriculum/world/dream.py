"""M as environments: the agent cannot tell a dream from the real thing by its interface."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from curriculum.envs.batch import Batch, Outcome, Rows, Slots
from curriculum.envs.interface import ActionSpec, EnvSpec, Step
from curriculum.errors import StageFailure
from curriculum.world.world_model import WorldModel
from models.interfaces import Float, State
from models.shapes import Float32

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.5, 2.0

_PLACES, _NOISE = 1, 2
"""First words of seeds, which keep the two kinds of stream apart."""


@dataclass(frozen=True)
class DreamStarts:
    """Where dreams may begin, taken from real episodes.

    Attributes:
        latents: `[M, Z]` float32, z_t.
        states: `[M, S]` float32, M's state that led up to z_t and has not seen it.
        before: `[M, Z]` float32, z_{t-1}; None where each z_t is the first of its episode.

    Raises:
        ValueError: there is none, they differ in number or are not finite.
    """

    latents: Float
    states: Float
    before: Float | None = None

    def __post_init__(self) -> None:
        shapes = (self.latents.shape, self.states.shape)
        if any(len(shape) != 2 for shape in shapes) or not 0 < shapes[0][0] == shapes[1][0]:
            raise ValueError(
                f"dreams were given latents {shapes[0]} and states {shapes[1]}; expected [M, Z] "
                "and [M, S] with the same M > 0"
            )
        before = self.latents if self.before is None else self.before
        if before.shape != self.latents.shape:
            raise ValueError(
                f"dreams were given latents {shapes[0]} and those before them {before.shape}; "
                "expected equal shapes"
            )
        if not all(np.isfinite(part).all() for part in (self.latents, self.states, before)):
            raise ValueError("dreams were given starts that are not finite: encode the data again")


class DreamVectorEnv:
    """N dreams (`curriculum.envs.interface.VectorEnv`), whose observation is z, `[N, Z]`.

    Where a dream starts depends on its own seed alone. The noise of all is drawn together, from
    a stream named by every dream's seed and age at the last reset: a batch of dreams is one unit,
    and equal lists of seeds, reset as a whole, give equal dreams.

    Args:
        world: of which M is stepped; it is only read.
        starts: where dreams may begin.
        action: the action space of the environment that M has learned.
        num_envs: N.
        temperature: tau in [0.5, 2]; higher is less certain and harder to exploit (Ha &
            Schmidhuber 2018, section 4.4).
        max_steps: steps after which a dream is truncated.
        env_id: the name it goes by.

    Raises:
        ValueError: the temperature or a size does not fit.
    """

    def __init__(
        self,
        world: WorldModel,
        starts: DreamStarts,
        action: ActionSpec,
        num_envs: int,
        *,
        temperature: float = 1.0,
        max_steps: int = 300,
        env_id: str = "dream",
    ) -> None:
        _check_sizes(world, starts, action)
        if not MIN_TEMPERATURE <= temperature <= MAX_TEMPERATURE:
            raise ValueError(
                f"temperature was {temperature}, expected {MIN_TEMPERATURE} to {MAX_TEMPERATURE} "
                "(1 is as M learned it)"
            )
        if num_envs < 1 or max_steps < 1:
            raise ValueError(
                f"num_envs was {num_envs} and max_steps {max_steps}, expected at least 1 of each"
            )
        spec = EnvSpec(env_id, "state", (world.latent_size,), action, max_episode_steps=max_steps)
        self.spec = spec
        self.num_envs = num_envs
        self._dreams = _Dreams(spec, num_envs, world, starts, temperature)
        self._batch = Batch(self._dreams, max_steps)

    def hidden(self) -> Float32[np.ndarray, "N R"]:
        """Returns M's features h of what each dream has seen before its present z, `[N, R]`."""
        return self._dreams.hidden()

    def latents(self) -> Float32[np.ndarray, "N Z"]:
        """Returns the present z of each dream, `[N, Z]`."""
        return self._dreams.latents

    def before(self) -> Float32[np.ndarray, "N Z"]:
        """Returns the z that each dream saw before its present one, `[N, Z]`."""
        return self._dreams.before

    def reset(
        self, seeds: Sequence[int] | None, indices: Sequence[int] | None = None
    ) -> np.ndarray:
        """Starts new dreams; see `Batch.reset`."""
        return self._batch.reset(seeds, indices)

    def send(self, actions: np.ndarray) -> np.ndarray:
        """Notes the actions; see `Batch.send`."""
        return self._batch.send(actions)

    def recv(self) -> Step:
        """Steps all dreams; see `Batch.recv`.

        Raises:
            StageFailure: M imagined something that is not finite.
        """
        return self._batch.recv()

    def step(self, actions: np.ndarray) -> Step:
        """Steps all dreams; see `VectorEnv.step`."""
        return self._batch.step(actions)

    def close(self) -> None:
        """Closes the batch; the world model is its owner's."""
        self._batch.close()

    def state(self) -> State:
        """Returns where all dreams are between two steps, as copies.

        Seeds that were never given are not part of it: go on with seeds.
        """
        slots = self._batch.slots
        return {**self._dreams.state(), "live": slots.live.copy(), "ages": slots.ages.copy()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> Float32[np.ndarray, "N Z"]:
        """Goes on from what `state` gave; returns observations `[N, Z]`."""
        self._dreams.load_state(state)
        slots = Slots(np.array(state["live"], np.bool_), np.array(state["ages"], np.int64))
        self._batch.go_on_from(self._dreams.latents, slots)
        return self._dreams.latents


class _Dreams:
    """N dreams as the core of a batch (`curriculum.envs.batch.Core`).

    Args:
        spec: what they look like from outside.
        num_envs, world, starts, temperature: see `DreamVectorEnv`.

    Attributes:
        latents: the present z of each, `[N, Z]`.
        before: the one before it, `[N, Z]`.
    """

    def __init__(
        self,
        spec: EnvSpec,
        num_envs: int,
        world: WorldModel,
        starts: DreamStarts,
        temperature: float,
    ) -> None:
        self.spec = spec
        self.num_envs = num_envs
        self.latents: Float = np.zeros((num_envs, world.latent_size), np.float32)
        self.before: Float = self.latents
        self._world = world
        self._starts = starts
        self._temperature = temperature
        self._state = np.array(world.begin(num_envs), np.float32)
        self._seeds = [0] * num_envs
        self._noise = np.random.default_rng(0)

    def hidden(self) -> Float:
        """Returns M's features h, `[N, R]`."""
        return self._world.hidden(self._state)

    def begin(self, rows: Rows, seeds: list[int], slots: Slots) -> np.ndarray:
        """Starts dreams, and the noise of all anew; see `Core.begin`."""
        starts = self._starts
        count = len(starts.latents)
        places = [int(np.random.default_rng([_PLACES, seed]).integers(count)) for seed in seeds]
        before = starts.latents if starts.before is None else starts.before
        self.latents, self.before, self._state = (
            _replaced(kept, rows, fresh[places])
            for kept, fresh in (
                (self.latents, starts.latents),
                (self.before, before),
                (self._state, starts.states),
            )
        )
        for row, seed in zip(rows.tolist(), seeds, strict=True):
            self._seeds[row] = seed
        self._noise = np.random.default_rng([_NOISE, *self._seeds, *slots.ages.tolist()])
        return self.latents[rows]

    def advance(self, actions: np.ndarray, slots: Slots) -> Outcome:
        """Dreams on; see `Core.advance`.

        Raises:
            StageFailure: M imagined something that is not finite.
        """
        live = slots.live
        encoded = self.spec.action.encode(actions)
        state, imagined = self._world.imagine(
            self._state, self.latents, encoded, self._temperature, self._noise
        )
        draws = self._noise.random(self.num_envs)
        for part in (imagined.latents, imagined.rewards, imagined.terminated):
            self._refuse_non_finite(part[live])
        self.before = self.latents
        self.latents = np.where(live[:, None], imagined.latents, self.latents)
        self._state = np.where(live[:, None], state, self._state)
        ended = draws < imagined.terminated
        return Outcome(self.latents, imagined.rewards, ended, np.zeros_like(ended))

    def state(self) -> State:
        """Returns all but what a batch keeps, as copies."""
        noise = json.dumps(self._noise.bit_generator.state).encode()
        return {
            "latents": self.latents.copy(),
            "before": self.before.copy(),
            "memory": self._state.copy(),
            "seeds": np.array(self._seeds, np.uint64),
            "noise": np.frombuffer(noise, np.uint8).copy(),
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave."""
        self.latents = np.array(state["latents"], np.float32)
        self.before = np.array(state["before"], np.float32)
        self._state = np.array(state["memory"], np.float32)
        self._seeds = [int(seed) for seed in state["seeds"]]
        self._noise = np.random.default_rng(0)
        self._noise.bit_generator.state = json.loads(state["noise"].tobytes())

    def close(self) -> None:
        """Has nothing to release."""

    def _refuse_non_finite(self, part: np.ndarray) -> None:
        if np.isfinite(part).all():
            return
        raise StageFailure(
            "M dreamed numbers that are not finite: its training diverged",
            {"env_id": self.spec.env_id, "temperature": self._temperature},
        )


def _replaced(kept: np.ndarray, rows: Rows, fresh: np.ndarray) -> np.ndarray:
    """Returns a copy with other rows; who was given the old array keeps it."""
    copy = kept.copy()
    copy[rows] = fresh
    return copy


def _check_sizes(world: WorldModel, starts: DreamStarts, action: ActionSpec) -> None:
    given = (starts.latents.shape[1], starts.states.shape[1], action.size)
    expected = (world.latent_size, world.begin(1).shape[1], world.action_size)
    if given != expected:
        raise ValueError(
            f"a dream was given latents, states and actions of sizes {given}; its memory has "
            f"{expected}: take the starts and the actions of the task that M was trained on"
        )
