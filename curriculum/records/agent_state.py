"""What an agent has learned, and what its arrays are called wherever they are kept.

The commits of the vision and the memory stage hold the states of V and M. The controller's commits
hold what is deployed among what only learning needs: `parameters` of C, and `vision/...` and
`memory/...` where C's learning changed V or M as well. A shipped agent holds the three together
under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from models.interfaces import State

_PARAMETERS, _VISION, _MEMORY = "parameters", "vision/", "memory/"
_MOMENTS = "adam."
"""How names in a model's state begin that only further learning needs."""


@dataclass(frozen=True, eq=False)
class AgentState:
    """What an agent, or a stage that changed a part of one, has learned.

    Attributes:
        parameters: of C, `[P]`.
        vision, memory: states of V and M; empty where C's learning left them as they were.
    """

    parameters: np.ndarray = field(repr=False)
    vision: State = field(default_factory=dict, repr=False)
    memory: State = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> AgentState:
        """Takes an agent's arrays out of a controller's commit or a shipped agent.

        Args:
            arrays: by name; those that are no part of the agent are left where they are.

        Raises:
            KeyError: there are no parameters of C.
        """
        return cls(arrays[_PARAMETERS], _part(arrays, _VISION), _part(arrays, _MEMORY))

    @classmethod
    def learned(
        cls,
        vision: Mapping[str, np.ndarray],
        memory: Mapping[str, np.ndarray],
        controller: Mapping[str, np.ndarray],
    ) -> AgentState:
        """Puts an agent together from the final commits of three stages.

        Args:
            vision, memory, controller: their arrays; what the controller's hold of V and M counts
                instead of what was learned before.

        Raises:
            KeyError: there are no parameters of C.
        """
        last = cls.of(controller)
        return cls(last.parameters, {**vision, **last.vision}, {**memory, **last.memory})

    def arrays(self) -> State:
        """Returns all arrays by the names they are kept under."""
        named = {f"{_VISION}{name}": array for name, array in self.vision.items()}
        named |= {f"{_MEMORY}{name}": array for name, array in self.memory.items()}
        return {**named, _PARAMETERS: self.parameters}

    def without_moments(self) -> AgentState:
        """Returns the same agent without what only further learning needs: what is shipped."""
        kept = (_where(state, moments=False) for state in (self.vision, self.memory))
        return AgentState(self.parameters, *kept)


def foreign(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Returns the names of arrays that are no part of an agent."""
    return [n for n in arrays if n != _PARAMETERS and not n.startswith((_VISION, _MEMORY))]


def missing(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Returns which of V, M and C a whole agent lacks, by the names they are kept under."""
    return [
        name.rstrip("/")
        for name in (_VISION, _MEMORY, _PARAMETERS)
        if not any(n == name or (name.endswith("/") and n.startswith(name)) for n in arrays)
    ]


def with_moments_of(fresh: Mapping[str, np.ndarray], shipped: Mapping[str, np.ndarray]) -> State:
    """Returns a shipped state of V or M as its model loads it.

    Args:
        fresh: state of the same model that has learned nothing; its moments fill what is missing.
        shipped: without moments.
    """
    return {**shipped, **_where(fresh, moments=True)}


def _part(arrays: Mapping[str, np.ndarray], prefix: str) -> State:
    return {n[len(prefix) :]: array for n, array in arrays.items() if n.startswith(prefix)}


def _where(state: Mapping[str, np.ndarray], *, moments: bool) -> State:
    return {n: array for n, array in state.items() if n.startswith(_MOMENTS) == moments}
