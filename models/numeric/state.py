"""Named arrays in and out of a model, exactly and all or nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.interfaces import State


def copied(arrays: Mapping[str, np.ndarray]) -> State:
    """Returns the arrays as copies of their own."""
    return {name: np.array(array) for name, array in arrays.items()}


def checked_state(
    state: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], owner: str
) -> State:
    """Copies a state that has the names, shapes and dtypes of the expected arrays.

    Args:
        state: what was saved.
        expected: the arrays of an equally built owner, whose values do not matter.
        owner: the class, for the error message.

    Raises:
        ValueError: something is missing, unknown or of another kind.
    """
    missing = sorted(expected.keys() - state.keys())
    unknown = sorted(state.keys() - expected.keys())
    if missing or unknown:
        raise ValueError(
            f"{owner} cannot load this state: missing {missing}, unknown {unknown}; build it with "
            "the arguments it was saved with"
        )
    for name, array in expected.items():
        given = np.asarray(state[name])
        if given.shape != array.shape or given.dtype != array.dtype:
            raise ValueError(
                f"{owner} cannot load {name!r}: given {given.shape} {given.dtype}, expected "
                f"{array.shape} {array.dtype}; build it with the arguments it was saved with"
            )
    return copied({name: state[name] for name in expected})
