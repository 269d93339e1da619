"""A plugin with a V, an M and a solver of its own, and one of each that is broken."""

from __future__ import annotations

from typing import Any

import numpy as np

from curriculum.backends.own import register_memory, register_solver, register_vision
from models.echo import EchoMemory
from models.pca import PCAVision
from models.search.evolution import EvolutionStrategy

MADE: list[str] = []


class Forgetful(PCAVision):
    """Loses its state."""

    def state(self) -> dict[str, np.ndarray]:
        return {name: np.zeros_like(array) for name, array in super().state().items()}


class Lazy(EvolutionStrategy):
    """Learns nothing."""

    def tell(self, fitness: np.ndarray) -> None:
        super().tell(np.zeros_like(fitness))


def noted(name: str, make: Any) -> Any:
    def made(*args: Any) -> Any:
        MADE.append(name)
        print(f"made by {name}")
        return make(*args)

    return made


register_vision(
    "mine", noted("my V", lambda task, spec, seed: PCAVision(spec.shape, task.vae.model.z_dim))
)
register_vision("forgetful", lambda task, spec, seed: Forgetful(spec.shape, 16))
register_memory(
    "mine", noted("my M", lambda task, z, a, seed: EchoMemory(z, a, hidden_size=16, seed=seed))
)
register_solver(
    "mine",
    noted(
        "my solver",
        lambda task, mean, scales, seed: EvolutionStrategy(mean, 0.5, 8, scales, seed=seed),
    ),
)
register_solver("lazy", lambda task, mean, scales, seed: Lazy(mean, 0.5, 8, scales, seed=seed))


def from_a_package(task: Any, spec: Any, seed: int) -> PCAVision:
    """What an entry point may name."""
    return PCAVision(spec.shape, 8)
