"""M as environments: the agent cannot tell a dream from the real thing by its interface."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from curriculum.envs.contract import Halves, SeedBook, checked_actions, checked_rows
from curriculum.envs.interface import ActionSpec, EnvSpec, Step
from curriculum.errors import StageFailure
from curriculum.world.world_model import WorldModel
from models.interfaces import Float, State

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
        size = world.latent_size
        self.spec = EnvSpec(env_id, "state", (size,), action, max_episode_steps=max_steps)
        self.num_envs = num_envs
        self._world = world
        self._starts = starts
        self._temperature = temperature
        self._max_steps = max_steps
        self._latents = np.zeros((num_envs, size), np.float32)
        self._before = self._latents
        self._state = np.array(world.begin(num_envs), np.float32)
        self._live = np.zeros(num_envs, np.bool_)
        self._seeds = [0] * num_envs
        self._book = SeedBook(num_envs)
        self._halves = Halves(env_id)
        self._ages = np.zeros(num_envs, np.int64)
        self._noise = np.random.default_rng(0)

    def hidden(self) -> Float:
        """Returns M's features h of what each dream has seen before its present z, `[N, R]`."""
        return self._world.hidden(self._state)

    def latents(self) -> Float:
        """Returns the present z of each dream, `[N, Z]`."""
        return self._latents

    def before(self) -> Float:
        """Returns the z that each dream saw before its present one, `[N, Z]`."""
        return self._before

    def reset(
        self, seeds: Sequence[int] | None, indices: Sequence[int] | None = None
    ) -> np.ndarray:
        """Starts new dreams; see `VectorEnv.reset`.

        Raises:
            ValueError: seeds and indices do not fit.
        """
        self._halves.refuse_within_step("reset")
        rows = checked_rows(self.num_envs, seeds, indices)
        if not rows.size:
            return self._latents
        seeds = self._book.take(rows, seeds)
        count = len(self._starts.latents)
        places = [int(np.random.default_rng([_PLACES, seed]).integers(count)) for seed in seeds]
        starts = self._starts
        before = starts.latents if starts.before is None else starts.before
        self._latents, self._state = self._latents.copy(), self._state.copy()
        self._before = self._before.copy()
        self._before[rows] = before[places]
        self._latents[rows] = starts.latents[places]
        self._state[rows] = starts.states[places]
        for row, seed in zip(rows.tolist(), seeds, strict=True):
            self._seeds[row] = seed
        self._ages[rows] = 0
        self._live[rows] = True
        self._noise = np.random.default_rng([_NOISE, *self._seeds, *self._ages.tolist()])
        return self._latents

    def send(self, actions: np.ndarray) -> np.ndarray:
        """Notes the actions; see `VectorEnv.send`.

        Raises:
            ValueError: a wrong shape, or an action that does not exist.
        """
        return self._halves.send(checked_actions(self.spec, self.num_envs, actions))

    def recv(self) -> Step:
        """Steps all dreams; see `VectorEnv.recv`.

        Raises:
            StageFailure: M imagined something that is not finite.
        """
        chosen = self._halves.recv()
        live = self._live
        encoded = self.spec.action.encode(chosen)
        state, imagined = self._world.imagine(
            self._state, self._latents, encoded, self._temperature, self._noise
        )
        draws = self._noise.random(self.num_envs)
        for part in (imagined.latents, imagined.rewards, imagined.terminated):
            self._refuse_non_finite(part[live])
        terminated = live & (draws < imagined.terminated)
        self._ages = self._ages + live
        truncated = live & ~terminated & (self._ages >= self._max_steps)
        self._before = self._latents
        self._latents = np.where(live[:, None], imagined.latents, self._latents)
        self._state = np.where(live[:, None], state, self._state)
        self._live = live & ~(terminated | truncated)
        rewards = np.where(live, imagined.rewards, 0.0).astype(np.float32)
        no_lives = np.zeros(self.num_envs, np.bool_)
        return Step(self._latents, rewards, terminated, truncated, no_lives)

    def step(self, actions: np.ndarray) -> Step:
        """Steps all dreams; see `VectorEnv.step`."""
        self.send(actions)
        return self.recv()

    def state(self) -> State:
        """Returns where all dreams are between two steps, as copies.

        Seeds that were never given are not part of it: go on with seeds.
        """
        noise = json.dumps(self._noise.bit_generator.state).encode()
        return {
            "latents": self._latents.copy(),
            "before": self._before.copy(),
            "memory": self._state.copy(),
            "live": self._live.copy(),
            "ages": self._ages.copy(),
            "seeds": np.array(self._seeds, np.uint64),
            "noise": np.frombuffer(noise, np.uint8).copy(),
        }

    def load_state(self, state: Mapping[str, np.ndarray]) -> Float:
        """Goes on from what `state` gave; returns observations `[N, Z]`."""
        self._latents = np.array(state["latents"], np.float32)
        self._before = np.array(state["before"], np.float32)
        self._state = np.array(state["memory"], np.float32)
        self._live = np.array(state["live"], np.bool_)
        self._ages = np.array(state["ages"], np.int64)
        self._seeds = [int(seed) for seed in state["seeds"]]
        self._noise = np.random.default_rng(0)
        self._noise.bit_generator.state = json.loads(state["noise"].tobytes())
        return self._latents

    def close(self) -> None:
        """Has nothing to release; the world model is its owner's."""

    def _refuse_non_finite(self, part: np.ndarray) -> None:
        if np.isfinite(part).all():
            return
        raise StageFailure(
            "M dreamed numbers that are not finite: its training diverged",
            {"env_id": self.spec.env_id, "temperature": self._temperature},
        )


def _check_sizes(world: WorldModel, starts: DreamStarts, action: ActionSpec) -> None:
    given = (starts.latents.shape[1], starts.states.shape[1], action.size)
    expected = (world.latent_size, world.begin(1).shape[1], world.action_size)
    if given != expected:
        raise ValueError(
            f"a dream was given latents, states and actions of sizes {given}; its memory has "
            f"{expected}: take the starts and the actions of the task that M was trained on"
        )
