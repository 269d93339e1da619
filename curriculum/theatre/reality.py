"""The real environment of an agent, one episode of it, which can be gone back in."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from curriculum.agent.agent import Agent
from curriculum.agent.perception import WorldModelPerception
from curriculum.envs.interface import Screen
from curriculum.films.camera import opened
from curriculum.insight.drawing import Picture, drawer
from curriculum.theatre.past import Past
from models.interfaces import Float, State

_SLOT = np.zeros(1, np.int64)


class Present(NamedTuple):
    """Where an episode stands.

    Attributes:
        latents: `[1, Z]`, z of what is seen.
        before: `[1, Z]`, z of what was seen a step earlier.
        memory: `[1, S]`, M's state before z.
        read: `[1, F]`, what C reads.
        state: what perception remembers.
    """

    latents: Float
    before: Float
    memory: Float
    read: Float
    state: State


class Reality:
    """One episode at a time in the agent's own environment.

    It goes back by playing the same seed and the same actions again, which gives the same episode.

    Args:
        agent: whose environment it is, and whose V and M look on.
        notice: is told what cannot be shown as it is.
        shown: whether the game's own screen plays along; what the agent sees is drawn otherwise.
    """

    def __init__(
        self,
        agent: Agent,
        notice: Callable[[str], None] = lambda text: None,
        *,
        shown: bool = True,
    ) -> None:
        self._agent = agent
        self._env = agent.make_env(1)
        self._opened = opened(agent.make_screen if shown else lambda: None, notice)
        self.screen: Screen | None = self._opened.__enter__()
        self._draw = drawer(agent.spec)
        # M follows even where C does not read it: dreams begin with its state.
        names = tuple(dict.fromkeys((*agent.features, "h")))
        self._perception = WorldModelPerception(
            agent.world, agent.spec.action, names, 1, agent.key_points
        )
        self.seed = 0
        self.over = False
        self.score = 0.0
        self.reward = 0.0
        self.begin(0)

    @property
    def steps(self) -> int:
        """Actions taken in this episode."""
        return len(self._actions)

    @property
    def taken(self) -> np.ndarray | None:
        """The last action that was really taken; None before the first."""
        return self._actions[-1] if self._actions else None

    def begin(self, seed: int) -> None:
        """Begins the episode of a seed."""
        self.seed, self.over, self.score, self.reward = seed, False, 0.0, 0.0
        self._actions: list[np.ndarray] = []
        self.past = Past[tuple[Present, float, np.ndarray, Picture]]()
        self.seen = self._env.reset([seed])[0].copy()
        self.picture = self._first_picture()
        self._perception.begin(_SLOT)
        self._look()

    def step(self, action: np.ndarray) -> None:
        """Takes an action; does nothing once the episode is over."""
        if self.over:
            return
        self.past.keep(self.steps, (self.present, self.score, self.seen, self.picture))
        taken = self._env.send(np.asarray(action)[None])[0].copy()
        self._perception.acted(taken[None], _SLOT)
        step = self._env.recv()
        self._actions.append(taken)
        self.seen = step.observations[0].copy()
        self.reward = float(step.rewards[0])
        self.score += self.reward
        self.over = bool(step.terminated[0] or step.truncated[0])
        self.picture = self._draw(self.seen)
        if self.screen is not None:
            self.picture = self.screen.env.step(taken[None]).observations[0].copy()
        self._look()

    def back(self, steps: int) -> None:
        """Goes back so many steps, or as many as are known."""
        found = self.past.back(self.steps, steps)
        if found is None:
            return
        there, (present, score, seen, picture) = found
        self._actions = self._actions[:there]
        for env in (self._env, *([self.screen.env] if self.screen else [])):
            env.reset([self.seed])
            for action in self._actions:
                env.step(action[None])
        self.over, self.reward, self.score = False, 0.0, score
        self.seen, self.picture, self.present = seen, picture, present
        self._perception.load_state(present.state)

    def close(self) -> None:
        """Releases the environment and its screen."""
        self._opened.__exit__(None, None, None)
        self._env.close()

    def _look(self) -> None:
        read = self._perception.features(self.seen[None], _SLOT)[:, : self._agent.num_features]
        state = self._perception.state()
        self.present = Present(state["latents"], state["before"], state["memory"], read, state)

    def _first_picture(self) -> Picture:
        if self.screen is None:
            return self._draw(self.seen)
        return self.screen.env.reset([self.seed])[0].copy()
