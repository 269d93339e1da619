"""How practice draws C's actions: with noise that may outlast a step, or some of them at random.

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
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from curriculum.envs.interface import ActionSpec
from models.interfaces import Controller, Float, State


class Exploration(Protocol):
    """Chooses actions while C learns; it is committed with the collector."""

    def act(self, controller: Controller, features: Float, rng: np.random.Generator) -> np.ndarray:
        """Returns the actions `[N]` or `[N, A]` of all environments, given what C reads, `[N, F]`.

        `rng` is the only source of chance.
        """
        ...

    def state(self) -> State: ...

    def load_state(self, state: Mapping[str, np.ndarray]) -> None: ...


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

    def act(self, controller: Controller, features: Float, rng: np.random.Generator) -> np.ndarray:
        """Returns the policy's actions under the next step's noise; see `Exploration`."""
        return controller.perturbed(features, self.next(controller, len(features), rng))

    def state(self) -> State:
        """Returns the noise of the last step, if it may be used again."""
        return {} if self._noise is None else {"last": self._noise}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave."""
        self._noise = np.array(state["last"], np.float32) if "last" in state else None


@dataclass(frozen=True)
class RandomShare:
    """How many actions are random: all at first, then linearly fewer, then the same share for ever.

    Attributes:
        all_until: steps of all environments together that are played at random.
        final: the share in the end.
        falling: steps over which it falls there.
        persistence: probability that a random action lasts for another step, at first.
        persistence_later: the same once the policy acts as well.
    """

    all_until: int
    final: float
    falling: int
    persistence: float
    persistence_later: float

    def at(self, steps: int) -> tuple[float, float]:
        """Returns the share of random actions after so many steps, and how they persist."""
        if steps < self.all_until:
            return 1.0, self.persistence
        since = steps - self.all_until
        fallen = min(1.0, since / self.falling) if self.falling else 1.0
        return 1.0 + (self.final - 1.0) * fallen, self.persistence_later


class RandomActions:
    """Uniformly random actions among those of a policy (`Exploration`): epsilon-greedy, and more.

    An environment whose action was random takes it again with probability p, and else a random one
    with a probability q that makes the share of random actions epsilon: q = epsilon (1 - p) /
    (1 - p epsilon), the stationary share of that chain being q / (1 - p + p q).

    Args:
        action: the action space.
        share: of random actions, by the steps played so far.
        policy: how the policy acts otherwise; None is greedily.
    """

    def __init__(self, action: ActionSpec, share: RandomShare, policy: Exploration | None) -> None:
        self._action, self._share, self._policy = action, share, policy
        self._steps = 0
        self._last: np.ndarray | None = None
        self._random = np.zeros(0, np.bool_)

    def act(self, controller: Controller, features: Float, rng: np.random.Generator) -> np.ndarray:
        """Returns the next actions; see `Exploration`."""
        count = len(features)
        epsilon, p = self._share.at(self._steps)
        self._steps += count
        # Everything is drawn at every step, so that what is drawn depends on the step alone.
        keeps, begins = rng.random(count) < p, rng.random(count)
        actions = self._uniform(count, rng)
        if self._last is not None:
            kept = self._random & keeps
            actions = np.where(_column(kept, actions), self._last, actions)
            fresh = epsilon * (1.0 - p) / (1.0 - p * epsilon)
            self._random = kept | (begins < fresh)
        else:
            self._random = begins < epsilon
        self._last = actions
        if self._random.all():
            return actions
        return np.where(
            _column(self._random, actions), actions, self._own(controller, features, rng)
        )

    def state(self) -> State:
        """Returns the steps so far, the last random actions and who took them."""
        policy = {} if self._policy is None else self._policy.state()
        kept = {} if self._last is None else {"action": self._last, "random": self._random}
        return {**policy, **kept, "steps": np.array(self._steps)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Goes on from what `state` gave."""
        if self._policy is not None:
            self._policy.load_state(state)
        self._steps = int(state["steps"])
        self._last = np.array(state["action"]) if "action" in state else None
        self._random = np.array(state["random"]) if "random" in state else np.zeros(0, np.bool_)

    def _own(self, controller: Controller, features: Float, rng: np.random.Generator) -> np.ndarray:
        if self._policy is None:
            return controller.act(features)
        return self._policy.act(controller, features, rng)

    def _uniform(self, count: int, rng: np.random.Generator) -> np.ndarray:
        action = self._action
        if action.kind == "discrete":
            return rng.integers(action.size, size=count)
        return rng.uniform(*action.bounds, (count, action.size)).astype(np.float32)


def _column(rows: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Returns flags `[N]` so that they choose among the rows of an array."""
    return rows.reshape(-1, *[1] * (like.ndim - 1))
