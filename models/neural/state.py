"""Named tensors to and from numpy arrays, exactly and all or nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from models.interfaces import State


def to_arrays(tensors: Mapping[str, torch.Tensor]) -> State:
    """Copies tensors to numpy arrays of equal shape and dtype."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def load_arrays(
    tensors: Mapping[str, torch.Tensor], state: Mapping[str, np.ndarray], owner: str
) -> None:
    """Copies arrays into the tensors of the same names; nothing changes if anything is wrong.

    Args:
        tensors: what to overwrite.
        state: what `to_arrays` gave for an equally built owner.
        owner: the class, for the error message.

    Raises:
        ValueError: names, shapes or dtypes differ.
    """
    missing = sorted(tensors.keys() - state.keys())
    unknown = sorted(state.keys() - tensors.keys())
    if missing or unknown:
        raise ValueError(
            f"{owner} cannot load this state: missing {missing[:3]}, unknown {unknown[:3]} "
            f"({len(missing)} and {len(unknown)} in all); build it with the arguments it was "
            "saved with"
        )
    loaded = {name: torch.from_numpy(np.array(state[name])) for name in tensors}
    for name, tensor in tensors.items():
        given = loaded[name]
        if given.shape != tensor.shape or given.dtype != tensor.dtype:
            raise ValueError(
                f"{owner} cannot load {name!r}: given {tuple(given.shape)} {given.dtype}, "
                f"expected {tuple(tensor.shape)} {tensor.dtype}; build it with the arguments it "
                "was saved with"
            )
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(loaded[name])
