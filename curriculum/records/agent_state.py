"""What an agent has learned: arrays that have the same names wherever they are kept.

`parameters` are C's, `vision/...` and `memory/...` the states of V and M. The commits of the vision
and the memory stage hold the states of V and M under their own names. The controller's commits
hold what is deployed among what only learning needs: `parameters`, and `vision/...` and
`memory/...` where C's learning changed V or M as well. A shipped agent holds all three, workers and
averages some of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.interfaces import State

PARAMETERS = "parameters"
MODELS = ("vision", "memory")
_WEIGHTS = "weight."
"""How names in a model's state begin that gradients change."""

_MOMENTS = "adam."
"""How names in a model's state begin that only further learning needs."""

Arrays = Mapping[str, np.ndarray]


def as_part(model: str, state: Arrays) -> State:
    """Returns the state of V or M (`vision`, `memory`) as a part of what an agent has learned."""
    return {f"{model}/{name}": array for name, array in state.items()}


def part_of(learned: Arrays, model: str) -> State:
    """Returns the state of V or M (`vision`, `memory`) as the model itself names it."""
    head = f"{model}/"
    return {n.removeprefix(head): array for n, array in learned.items() if n.startswith(head)}


def learned_part(arrays: Arrays) -> State:
    """Returns what of a controller's commit, or of a file, an agent has learned."""
    return {name: array for name, array in arrays.items() if _belongs(name)}


def learned_by(vision: Arrays, memory: Arrays, controller: Arrays) -> State:
    """Puts together what the final commits of three stages hold of an agent.

    Args:
        vision, memory, controller: their arrays; what the controller's hold of V and M counts
            instead of what was learned before.
    """
    before = {**as_part("vision", vision), **as_part("memory", memory)}
    return {**before, **learned_part(controller)}


def foreign(arrays: Arrays) -> list[str]:
    """Returns the names of arrays that are no part of an agent."""
    return [name for name in arrays if not _belongs(name)]


def missing(arrays: Arrays) -> list[str]:
    """Returns which of V, M and C a whole agent lacks, by the names they are kept under."""
    lacking = [model for model in MODELS if not part_of(arrays, model)]
    return lacking + [PARAMETERS] * (PARAMETERS not in arrays)


def without_moments(learned: Arrays) -> State:
    """Returns an agent without what only further learning needs: what is shipped."""
    heads = tuple(f"{model}/{_MOMENTS}" for model in MODELS)
    return {name: array for name, array in learned.items() if not name.startswith(heads)}


def with_moments_of(fresh: Arrays, shipped: Arrays) -> State:
    """Returns a shipped state of V or M as its model loads it.

    Args:
        fresh: state of the same model that has learned nothing; its moments fill what is missing.
        shipped: perhaps without moments.
    """
    return {**{n: a for n, a in fresh.items() if n.startswith(_MOMENTS)}, **shipped}


def weights_of(state: Arrays) -> State:
    """Returns what gradients changed in a state of V or M, without means, moments and counters."""
    return {name: array for name, array in state.items() if name.startswith(_WEIGHTS)}


def _belongs(name: str) -> bool:
    return name == PARAMETERS or name.startswith(tuple(f"{model}/" for model in MODELS))
