"""V + M: what is seen becomes latents, and what follows is imagined.

This is the only place that steps M. An episode begins with `begin`; at each step V gives z_t with
`observe`, h_t = `hidden(state)` is what M knew before it, and once an action is chosen the state
moves on, by `remember` if what follows will be seen, by `imagine` if it is to be dreamed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.interfaces import Float, Memory, Prediction, Vision
from models.shapes import Float32, Shaped


class Imagined(NamedTuple):
    """One imagined step: M's state after it `[N, S]`, and what M says happened."""

    state: Float
    prediction: Prediction


class WorldModel:
    """V and M of one task; it holds no past, so one serves any number of episodes.

    Args:
        vision: V; None where nothing but latents is ever seen.
        memory: M.
    """

    def __init__(self, vision: Vision | None, memory: Memory) -> None:
        self._vision = vision
        self.memory = memory

    @property
    def latent_size(self) -> int:
        """Z."""
        return self.memory.latent_size

    @property
    def action_size(self) -> int:
        """A, the length of an encoded action."""
        return self.memory.action_size

    @property
    def hidden_size(self) -> int:
        """R."""
        return self.memory.hidden_size

    @property
    def vision(self) -> Vision:
        """V.

        Raises:
            ValueError: this world model sees nothing but latents.
        """
        if self._vision is None:
            raise ValueError("this world model was built without V, and sees nothing but latents")
        return self._vision

    def observe(self, observations: np.ndarray) -> Float32[np.ndarray, "N Z"]:
        """Returns z `[N, Z]` of observations `[N, ...]`: the mean of V's posterior."""
        return self.vision.encode(observations)

    def draw(self, latents: Float32[np.ndarray, "N Z"]) -> Shaped[np.ndarray, "N ..."]:
        """Returns what latents `[N, Z]` look like: observations `[N, ...]`."""
        return self.vision.decode(latents)

    def begin(self, count: int) -> Float32[np.ndarray, "N S"]:
        """Returns M's state before an episode's first step, `[count, S]`."""
        return self.memory.initial_state(count)

    def hidden(self, state: Float32[np.ndarray, "N S"]) -> Float32[np.ndarray, "N R"]:
        """Returns h `[N, R]` of M's states `[N, S]`."""
        return self.memory.hidden(state)

    def remember(
        self,
        state: Float32[np.ndarray, "N S"],
        latents: Float32[np.ndarray, "N Z"],
        actions: Float32[np.ndarray, "N A"],
    ) -> Float32[np.ndarray, "N S"]:
        """Returns M's state `[N, S]` after what really happened.

        Args:
            state: `[N, S]`, before z_t.
            latents: `[N, Z]`, z_t.
            actions: `[N, A]`, a_t as M reads it (`ActionSpec.encode`).
        """
        return self.memory.step(state, latents, actions)

    def imagine(
        self,
        state: Float32[np.ndarray, "N S"],
        latents: Float32[np.ndarray, "N Z"],
        actions: Float32[np.ndarray, "N A"],
        temperature: float,
        rng: np.random.Generator,
    ) -> Imagined:
        """Returns M's next state, and z_{t+1}, reward and end as M imagines them.

        Args:
            state: M's, as for `remember`.
            latents: z_t, as for `remember`.
            actions: encoded, as for `remember`.
            temperature: tau > 0; see `models.interfaces.Memory.predict`.
            rng: the only source of noise.
        """
        state = self.remember(state, latents, actions)
        return Imagined(state, self.memory.predict(state, latents, temperature, rng))
