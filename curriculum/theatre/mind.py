"""What goes on in an agent at a moment: what V keeps, what M expects, what C would do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curriculum.agent.agent import Agent
from curriculum.envs.interface import ActionSpec
from curriculum.insight.drawing import Picture, drawer
from models.controller_cpu import CPUController, SamplingController
from models.interfaces import Float

LIKELY = 1e-3
"""The temperature at which M says what it thinks likeliest."""


@dataclass(frozen=True)
class Wish:
    """What C would do.

    Attributes:
        shares: of each discrete action in the policy, `[actions]`; of continuous actions their
            means in [-1, 1], `[A]`.
        action: the likeliest one, as an environment takes it.
        likely: whether `shares` are probabilities.
    """

    shares: Float
    action: np.ndarray
    likely: bool


class Mind:
    """Looks into an agent without changing it.

    Args:
        agent: whose V, M and C are asked.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent, self._draw = agent, drawer(agent.spec, scale=1)
        assert isinstance(agent.controller, SamplingController), "all of ours are"
        shape = agent.controller.shape
        self._controller = CPUController(
            shape.num_features,
            "discrete" if shape.discrete else "continuous",
            agent.spec.action.size,
            shape.widths[1:-1],
            None if shape.discrete else shape.low,
            None if shape.discrete else shape.high,
            units=shape.units,
        )
        self._controller.set_parameters(agent.controller.get_parameters())

    def seen(self, observation: np.ndarray) -> Picture:
        """Returns what V is shown."""
        return self._draw(observation)

    def drawn(self, latents: Float) -> list[Picture]:
        """Returns what V makes of each z `[N, Z]`."""
        return [self._draw(observation) for observation in self._agent.world.draw(latents)]

    def missed(self, seen: Picture, drawn: Picture) -> Picture | None:
        """Returns where V errs, brighter where it is wrong by more; None where states are seen."""
        if self._agent.spec.observation != "pixels":
            return None
        apart = np.abs(drawn.astype(np.int16) - seen.astype(np.int16)).max(axis=-1, keepdims=True)
        return np.repeat(np.minimum(2 * apart, 255).astype(np.uint8), 3, axis=-1)

    def likeliest(self, memory: Float, latents: Float, action: np.ndarray) -> Float:
        """Returns z `[1, Z]` of what M thinks comes next.

        Args:
            memory: M's state `[1, S]` before z.
            latents: z `[1, Z]`.
            action: what is done.
        """
        return self.guesses(memory, latents, action, LIKELY, 1, np.random.default_rng(0))

    def guesses(
        self,
        memory: Float,
        latents: Float,
        action: np.ndarray,
        temperature: float,
        count: int,
        rng: np.random.Generator,
    ) -> Float:
        """Returns z `[count, Z]` of what may come next, drawn from M; see `likeliest`."""
        states, seen = (np.repeat(part, count, axis=0) for part in (memory, latents))
        encoded = np.repeat(self._agent.spec.action.encode(np.asarray(action)[None]), count, axis=0)
        return self._agent.world.imagine(states, seen, encoded, temperature, rng).prediction.latents

    def wish(self, read: Float) -> Wish:
        """Returns what C would do, reading `[1, F]`."""
        outputs = self._controller.outputs(read)[0]
        action, spec = self._controller.act(read)[0], self._agent.spec.action
        if spec.kind == "discrete":
            shares = np.exp(outputs - outputs.max())
            return Wish(shares / shares.sum(), np.asarray(action), likely=True)
        return Wish(_scaled(action, spec), np.asarray(action), likely=False)


def _scaled(action: np.ndarray, spec: ActionSpec) -> Float:
    return spec.encode(action[None])[0]
