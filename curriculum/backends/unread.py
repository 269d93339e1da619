"""What stands where M would be for an agent whose C does not read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import numpy as np

from models.interfaces import Float, Metrics, Prediction, SequenceBatch, State

NOT_READ = "not read"
"""Said in place of mdnrnn's probe state: nobody asked how it is."""


class UnreadMemory:
    """Keeps the arrays of a learned M, and knows nothing (`models.interfaces.Memory`).

    Args:
        latent_size: Z.
        action_size: A.
    """

    hidden_size = 0
    single_pass = True

    def __init__(self, latent_size: int, action_size: int) -> None:
        self.latent_size, self.action_size = latent_size, action_size
        self._arrays: State = {}

    def initial_state(self, n: int) -> Float:
        """Returns nothing to remember, `[n, 0]`."""
        return np.zeros((n, 0), np.float32)

    def state(self) -> State:
        """Returns the arrays that were loaded."""
        return dict(self._arrays)

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Keeps arrays without looking at them."""
        self._arrays = dict(state)

    def update(self, batch: SequenceBatch, rng: np.random.Generator) -> Metrics:
        _refuse()

    def finish(self) -> Metrics:
        _refuse()

    def evaluate(self, batch: SequenceBatch) -> Metrics:
        _refuse()

    def hidden(self, state: Float) -> Float:
        _refuse()

    def step(self, state: Float, latents: Float, actions: Float) -> Float:
        _refuse()

    def predict(
        self, state: Float, latents: Float, temperature: float, rng: np.random.Generator
    ) -> Prediction:
        _refuse()


def _refuse() -> NoReturn:
    raise AssertionError("M was asked, although the agent was opened without it")
