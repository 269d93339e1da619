"""GYM_ONLY: real environments, and a world model that needs no torch."""

from __future__ import annotations

from collections.abc import Mapping

from curriculum.backends import parts
from curriculum.backends.backend import Backend, Replacement
from curriculum.mode import Mode


def build(states: Mapping[str, str], device: str) -> Backend:
    """Returns the backend of GYM_ONLY; `device` does not concern it."""
    del device
    replacement = parts.solver_replacement(states)
    replacements = [
        Replacement(
            component="world model",
            reason="",
            replacement="motion-weighted PCA, echo-state network, numpy controller",
            consequence="a weaker world model: pixel tasks will not come near their targets",
        )
    ]
    if replacement:
        replacements.append(replacement)
    return Backend(
        mode=Mode.GYM_ONLY,
        environment="real",
        make_env=parts.real_env,
        make_screen=parts.real_screen,
        make_vision=parts.numpy_vision,
        make_memory=parts.numpy_memory,
        make_controller=parts.numpy_controller,
        make_solver=parts.numpy_solver if replacement else parts.cma_solver,
        replacements=tuple(replacements),
    )
