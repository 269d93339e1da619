"""One dream of an agent, which begins where reality stands, and can be gone back in or changed."""

from __future__ import annotations

import numpy as np

from curriculum.agent.agent import Agent
from curriculum.agent.perception import DreamPerception
from curriculum.insight.drawing import Picture, drawer
from curriculum.theatre.past import Past
from curriculum.theatre.reality import Present
from curriculum.world.dream import MAX_TEMPERATURE, MIN_TEMPERATURE, DreamStarts, DreamVectorEnv
from models.interfaces import Float, State

LONGEST = 1_000_000
"""Steps after which a dream is cut: people wake up before."""
_SLOT = np.zeros(1, np.int64)


class Dream:
    """M as the environment, from a moment of reality on.

    Args:
        agent: whose dream it is.
        start: the moment.
        seed: of the dream's noise.
        temperature: 0.5 to 2; what is outside is the nearest of them.
    """

    def __init__(self, agent: Agent, start: Present, seed: int, temperature: float) -> None:
        self._agent, self._start, self._seed = agent, start, seed
        self._draw = drawer(agent.spec, scale=1)
        self.over, self.score, self.reward, self.steps = False, 0.0, 0.0, 0
        self.past = Past[tuple[State, State, float]]()
        self.taken: np.ndarray | None = None
        self.temperature = min(max(temperature, MIN_TEMPERATURE), MAX_TEMPERATURE)
        self._make()
        self._dream.reset([seed])
        # What was done in reality just now is not forgotten by whoever falls asleep.
        self._recall(start.state)

    @property
    def latents(self) -> Float:
        """The present z, `[1, Z]`."""
        return self._dream.latents()

    @property
    def read(self) -> Float:
        """What C reads, `[1, F]`."""
        return self._perception.features(self._dream.latents(), _SLOT)

    @property
    def memory(self) -> Float:
        """M's state before the present z, `[1, S]`."""
        return self._dream.state()["memory"]

    @property
    def picture(self) -> Picture:
        """What V makes of the present z."""
        return self._draw(self._agent.world.draw(self.latents)[0])

    def step(self, action: np.ndarray) -> None:
        """Dreams on with an action; does nothing once M says that it is over."""
        if self.over:
            return
        self.past.keep(self.steps, (self._dream.state(), self._perception.state(), self.score))
        action = np.asarray(action)
        self._dream.send(action[None])
        self._perception.acted(action[None], _SLOT)
        step = self._dream.recv()
        self.steps, self.taken = self.steps + 1, action
        self.reward = float(step.rewards[0])
        self.score += self.reward
        self.over = bool(step.terminated[0] or step.truncated[0])

    def back(self, steps: int) -> None:
        """Goes back so many steps, or as many as are known."""
        found = self.past.back(self.steps, steps)
        if found is None:
            return
        self.steps, (dreamed, remembered, self.score) = found
        self.over, self.reward = False, 0.0
        self._dream.load_state(dreamed)
        self._recall(remembered)

    def warm(self, temperature: float) -> None:
        """Goes on with another temperature."""
        dreamed, remembered = self._dream.state(), self._perception.state()
        self.temperature = min(max(temperature, MIN_TEMPERATURE), MAX_TEMPERATURE)
        self._make()
        self._dream.reset([self._seed])
        self._dream.load_state(dreamed)
        self._recall(remembered)

    def change(self, index: int, value: float) -> None:
        """Gives one number of z another value; what is dreamed from here on follows from it."""
        if self.over or not 0 <= index < self.latents.shape[1] or not np.isfinite(value):
            return
        dreamed = self._dream.state()
        dreamed["latents"][0, index] = value
        self._dream.load_state(dreamed)

    def _make(self) -> None:
        start, world = self._start, self._agent.world
        starts = DreamStarts(start.latents, start.memory, start.before)
        self._dream = DreamVectorEnv(
            world,
            starts,
            self._agent.spec.action,
            1,
            temperature=self.temperature,
            max_steps=LONGEST,
        )
        self._perception = DreamPerception(
            self._dream, self._agent.features, self._agent.key_points
        )

    def _recall(self, state: State) -> None:
        self._perception.load_state(state)
