"""The contract of what learns C, and perhaps V with it, from what a collector gathers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from curriculum.collecting.collector import Transition
from models.interfaces import Metrics, NonFiniteLoss, State


class BadInput(NonFiniteLoss):
    """What a learner was shown is not finite: it is not to blame, and was left as it was."""


class AgentLearner(Protocol):
    """Changes an agent by what was collected; on-policy from rollouts, or from a replay.

    A loop has it begin, observe `steps_per_update` transitions and then update, again and again.
    While the environments work it may learn from what it observed before. Between two updates it
    can be saved; what was observed since the last one is not part of its state.
    """

    steps_per_update: int
    """Of each environment."""

    @property
    def gathering(self) -> bool:
        """Whether it has never learned so far, because too little was observed."""
        ...

    @property
    def model(self) -> object:
        """What a `Healer` mends: it has a rate, parts and a device if it learns by gradients."""
        ...

    def begin(self, number: int, rate: float, rng: np.random.Generator) -> None:
        """Is told what `update` will be given, before the first transition for it."""
        ...

    def meanwhile(self) -> None:
        """Learns, or not, while the environments work on their next step; it raises no error."""
        ...

    def observe(self, transition: Transition) -> None:
        """Takes the next step of all environments."""
        ...

    def update(self, number: int, rate: float, rng: np.random.Generator) -> Metrics:
        """Learns, for the `number`-th time, from what was observed.

        It may be called again after an error of memory, with equal arguments.

        Raises:
            NonFiniteLoss: the update was refused and nothing changed; it is left out, and what was
                observed for it alone is forgotten.
            BadInput: likewise, for what it was shown.
            OutOfDeviceMemory: it did not fit.
            MemoryError: it did not fit into the host's.
        """
        ...

    def learned(self) -> State:
        """Returns what it has changed of the agent; see `Agent.state`."""
        ...

    def state(self) -> State:
        """Returns what `load_state` goes on from, the parts' names first: `learner/...`."""
        ...

    def load_state(self, part: Callable[[str], State]) -> None:
        """Goes on from what `state` gave; `part` returns that of a name."""
        ...

    def appended(self) -> Mapping[str, int]:
        """Returns the lengths of append-only files that belong to `state`, in bytes."""
        ...

    def sync(self) -> None:
        """Waits until these files are on the disk; called before a commit names their lengths."""
        ...

    def cut(self, appended: Mapping[str, int]) -> None:
        """Cuts append-only files back to committed lengths."""
        ...
