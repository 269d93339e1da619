"""A batch of environments whose present can be recovered: from seeds and actions, by replaying.

To keep that short each environment gets a new seed at the first end of an episode after
`reseed_steps` steps; the episodes between go on without one, which is free.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from curriculum.envs.interface import Step, VectorEnv
from curriculum.envs.trace import Trace, Tracer, retrace
from curriculum.errors import StageFailure
from models.interfaces import State


class Unrepeatable(StageFailure):
    """Environments do not come back to where they were: they do not honour their seeds."""


class Tape:
    """Records what brings environments back to where they are.

    Args:
        env: the batch; nobody else may step it.
        seed_of: gives the seed of an environment's `n`-th seeding, from `(row, n)`.
        reseed_steps: steps since its last seed after which an environment's next episode gets one.
    """

    def __init__(
        self, env: VectorEnv, seed_of: Callable[[int, int], int], reseed_steps: int
    ) -> None:
        self._env = env
        self._seed_of = seed_of
        self._reseed_steps = reseed_steps
        self._seedings = np.zeros(env.num_envs, np.int64)
        self._tracer = Tracer(env.spec.action, np.ones(env.num_envs, np.bool_))
        self._observations = np.zeros(0)
        self._over = np.zeros(env.num_envs, np.bool_)

    def start(self) -> np.ndarray:
        """Gives every environment its next seed, whatever it does; returns `[N, ...]`."""
        return self._seed(np.arange(self._env.num_envs))

    def step(self, actions: np.ndarray, meanwhile: Callable[[np.ndarray], None]) -> Step:
        """Steps all environments.

        Args:
            actions: `[N]` int64 or `[N, A]` float32.
            meanwhile: is called with the actions really taken while the environments work.
        """
        taken = self._env.send(actions)
        self._tracer.append(actions)
        meanwhile(taken)
        step = self._env.recv()
        self._observations, self._over = step.observations, step.terminated | step.truncated
        return step

    def begin(self, rows: np.ndarray) -> np.ndarray:
        """Starts the next episodes of rows whose last one has just ended; returns `[N, ...]`.

        One that is broken off here is followed by a new seed: no environment tells of its end when
        its actions are played again.
        """
        old = (self._tracer.ages()[rows] >= self._reseed_steps) | ~self._over[rows]
        if not old.all():
            self._observations = self._env.reset(None, rows[~old].tolist())
        return self._seed(rows[old]) if old.any() else self._observations

    def state(self) -> State:
        """Returns seeds and actions as arrays, and a digest of what is seen now."""
        actions = self._tracer.trace().actions
        discrete = self._env.spec.action.kind == "discrete"
        return {
            "seedings": self._seedings.copy(),
            "begun": -self._tracer.ages(),
            "actions": actions.astype(np.uint16) if discrete else actions,
            "digest": self._digest(),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> np.ndarray:
        """Brings the environments back to where `state` was taken; returns observations.

        Raises:
            Unrepeatable: what they show then is not what they showed; `start` begins new episodes.
        """
        self._seedings = np.array(state["seedings"], np.int64)
        seeds = [self._seed_of(row, int(n) - 1) for row, n in enumerate(self._seedings)]
        actions = np.asarray(state["actions"])
        begin = np.asarray(state["begun"], np.int64) + len(actions)
        trace = Trace(tuple(range(len(seeds))), tuple(seeds), tuple(begin.tolist()), actions)
        self._tracer.take_over(trace)
        seen, _ = retrace(self._env, trace, go_on=True)
        assert seen is not None, "every environment was given a seed"
        self._observations = seen
        if not np.array_equal(self._digest(), state["digest"]):
            raise Unrepeatable(
                "the environments did not come back to where they were: with the same seeds and "
                "actions they show something else",
                {"env_id": self._env.spec.env_id, "steps": len(actions)},
            )
        return self._observations

    def _seed(self, rows: np.ndarray) -> np.ndarray:
        seeds = [self._seed_of(int(row), int(self._seedings[row])) for row in rows]
        self._seedings[rows] += 1
        self._tracer.begin(rows.tolist(), seeds)
        self._observations = self._env.reset(seeds, rows.tolist())
        return self._observations

    def _digest(self) -> np.ndarray:
        pixels = np.ascontiguousarray(self._observations)
        return np.frombuffer(hashlib.sha256(pixels.tobytes()).digest(), np.uint8).copy()


class Saved(VectorEnv, Protocol):
    """Environments that can be saved in the middle of an episode, as dreams can."""

    def state(self) -> State: ...

    def load_state(self, state: Mapping[str, np.ndarray]) -> np.ndarray: ...


class Snapshot:
    """As `Tape`, for environments that can be saved as they are; each episode gets a seed.

    Args:
        env, seed_of: as for `Tape`.
    """

    def __init__(self, env: Saved, seed_of: Callable[[int, int], int]) -> None:
        self._env = env
        self._seed_of = seed_of
        self._seedings = np.zeros(env.num_envs, np.int64)

    def start(self) -> np.ndarray:
        """Gives every environment its first seed; returns observations `[N, ...]`."""
        return self.begin(np.arange(self._env.num_envs))

    def step(self, actions: np.ndarray, meanwhile: Callable[[np.ndarray], None]) -> Step:
        """Steps all environments; see `Tape.step`."""
        meanwhile(self._env.send(actions))
        return self._env.recv()

    def begin(self, rows: np.ndarray) -> np.ndarray:
        """Starts the next episodes of rows; returns observations `[N, ...]`."""
        seeds = [self._seed_of(int(row), int(self._seedings[row])) for row in rows]
        self._seedings[rows] += 1
        return self._env.reset(seeds, rows.tolist())

    def state(self) -> State:
        """Returns the environments' state and how many seeds each was given."""
        inner = {f"env.{name}": array for name, array in self._env.state().items()}
        return {"seedings": self._seedings.copy(), **inner}

    def restore(self, state: Mapping[str, np.ndarray]) -> np.ndarray:
        """Brings the environments back to where `state` was taken; returns observations."""
        self._seedings = np.array(state["seedings"], np.int64)
        inner = {name.removeprefix("env."): a for name, a in state.items() if name != "seedings"}
        return self._env.load_state(inner)
