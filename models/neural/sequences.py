"""Sequences as tensors: checked against the model's sizes, their padding zeroed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.interfaces import SequenceBatch


class SequenceTensors(NamedTuple):
    """A `SequenceBatch` on the device, its padding zeroed."""

    latents: Tensor
    actions: Tensor
    rewards: Tensor
    terminated: Tensor
    mask: Tensor


def tensors_of(
    batch: SequenceBatch, latent_size: int, action_size: int, device: torch.device
) -> SequenceTensors:
    """Copies a batch to a device.

    Args:
        batch: B sequences of T steps.
        latent_size: Z that the model was built for.
        action_size: A that it was built for.
        device: where to.

    Raises:
        ValueError: the shapes do not fit the model or each other, or no step is real.
    """
    _check(batch, latent_size, action_size)
    mask = batch.mask > 0
    # Padding may hold anything, NaN included, which a product with zero would let through.
    real_next = np.concatenate([np.ones((len(mask), 1), bool), mask], axis=1)
    arrays = (
        np.where(real_next[..., None], batch.latents, 0.0),
        np.where(mask[..., None], batch.actions, 0.0),
        np.where(mask, batch.rewards, 0.0),
        np.where(mask, batch.terminated, 0.0),
        batch.mask,
    )
    # `torch.tensor` copies: the caller's arrays may be read-only or change later.
    tensors = (torch.tensor(array, dtype=torch.float32, device=device) for array in arrays)
    return SequenceTensors(*tensors)


def _check(batch: SequenceBatch, latent_size: int, action_size: int) -> None:
    rows, steps = batch.mask.shape
    expected = {
        "latents": (rows, steps + 1, latent_size),
        "actions": (rows, steps, action_size),
        "rewards": (rows, steps),
        "terminated": (rows, steps),
    }
    for name, shape in expected.items():
        given = getattr(batch, name).shape
        if given != shape:
            raise ValueError(
                f"MDNRNN was given {name} {given}, expected {shape}, "
                f"as the mask is {batch.mask.shape}"
            )
    if not np.any(batch.mask):
        raise ValueError(
            "MDNRNN was given a batch whose mask is all zero, expected real steps in it"
        )
