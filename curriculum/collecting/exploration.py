"""How practice draws C's actions: with noise that may outlast a step.

Noise drawn anew at each step cancels out: a paddle that is pushed up and down in turn stays where
it is, and what the ball would do a little higher is seldom seen. Noise that lasts pushes for a
while in one direction (as coloured Gaussian noise does: Eberhard et al. 2023, "Pink noise is all
you need"; for PPO, Hollenstein et al. 2024, "Colored noise in PPO"). Here an environment keeps its
Gumbel or normal noise with a probability p at each step, 1 / (1 - p) steps on average, across the
ends of episodes and rollouts. Each step's noise has the distribution that fresh noise has; but what
C reads is then a consequence of noise that may still last, so the probabilities that PPO reckons
with are approximate: that is the price. Short dreams, checks and evaluation draw anew.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.interfaces import Controller, Float, State


class LastingNoise:
    """Noise for environments, each of which keeps its own for a while; committed with practice.

    Args:
        persistence: probability that an environment's noise is that of the step before.
    """

    def __init__(self, persistence: float) -> None:
        self._persistence = persistence
        self._noise: Float | None = None

    def next(self, controller: Controller, count: int, rng: np.random.Generator) -> Float:
        """Returns the noise of the next step, `[count, A]`; see `Controller.perturbed`.

        Args:
            controller: knows what its noise is like.
            count: environments, the same at every call.
            rng: draws fresh noise for all, and then who takes it.
        """
        fresh = controller.draw_noise(count, rng)
        if not self._persistence:
            return fresh
        keep = rng.random(count) < self._persistence
        if self._noise is not None:
            fresh = np.where(keep[:, None], self._noise, fresh)
        self._noise = fresh
        return fresh

    def state(self) -> State:
        """Returns the noise of the last step, if it may be used again."""
        return {} if self._noise is None else {"last": self._noise}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave."""
        self._noise = np.array(state["last"], np.float32) if "last" in state else None
