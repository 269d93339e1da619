"""Transitions as tensors: checked, and features standardised by a scale that is set once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.controller_cpu import PolicyShape
from models.interfaces import Float, NonFiniteLoss, Transitions
from models.networks.mlp import Scale, array


class FeatureScale(nn.Module):
    """Mean and spread that features are standardised by; no weights.

    Args:
        num_features: F.
    """

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.register_buffer("feature_mean", torch.zeros(num_features))
        self.register_buffer("feature_std", torch.ones(num_features))

    def reset(self) -> None:
        """Leaves features as they are."""
        self.feature_mean.zero_()
        self.feature_std.fill_(1.0)

    def take(self, scale: Scale) -> None:
        """Standardises by another scale from now on."""
        self.feature_mean.copy_(torch.from_numpy(scale[0]))
        self.feature_std.copy_(torch.from_numpy(scale[1]))

    @property
    def scale(self) -> Scale:
        """The scale as arrays."""
        return array(self.feature_mean), array(self.feature_std)

    def standardised(self, features: Float) -> Tensor:
        """Returns a standardised copy of features `[B, F]` where the scale is.

        Raises:
            ValueError: features have another shape.
        """
        if features.ndim != 2 or features.shape[1] != len(self.feature_mean):
            raise ValueError(
                f"features have shape {features.shape}, expected [B, {len(self.feature_mean)}]"
            )
        # `torch.tensor` copies: the caller's array may be read-only or change later.
        copied = torch.tensor(features, dtype=torch.float32, device=self.feature_mean.device)
        return copied.sub_(self.feature_mean).div_(self.feature_std)


class Batch(NamedTuple):
    """`Transitions` on the device, B rows each: features standardised, actions in [-1, 1]."""

    features: Tensor
    actions: Tensor
    returns: Tensor
    discounts: Tensor
    following: Tensor

    def rows(self, which: slice) -> Batch:
        """Returns some of the rows, as views."""
        return Batch(*(tensor[which] for tensor in self))


def tensors_of(batch: Transitions, shape: PolicyShape, scale: FeatureScale) -> Batch:
    """Copies transitions to a device.

    Args:
        batch: B transitions.
        shape: of the controller that learns.
        scale: of the features; where it is, the tensors will be.

    Raises:
        ValueError: shapes do not fit the controller or each other, or there is no such action.
        NonFiniteLoss: a number is NaN or infinite.
    """
    _check(batch, shape)
    device = scale.feature_mean.device
    return Batch(
        features=scale.standardised(batch.features),
        actions=torch.tensor(network_actions(batch.actions, shape), device=device),
        returns=torch.tensor(batch.returns, device=device),
        discounts=torch.tensor(batch.discounts, device=device),
        following=scale.standardised(batch.following),
    )


def _check(batch: Transitions, shape: PolicyShape) -> None:
    count = len(batch.returns)
    features, width = (count, shape.num_features), () if shape.discrete else (shape.action_size,)
    expected = {
        "features": features,
        "actions": (count, *width),
        "returns": (count,),
        "discounts": (count,),
        "following": features,
    }
    for name, wanted in expected.items():
        given = getattr(batch, name)
        if given.shape != wanted or not count:
            raise ValueError(
                f"a learner from a replay was given {name} {given.shape}, expected {wanted} for "
                f"{count} transitions, at least one of them"
            )
        if not np.isfinite(given).all():
            bad = np.count_nonzero(~np.isfinite(given))
            raise NonFiniteLoss(
                f"{bad} of {given.size} {name} drawn from the replay were not finite, expected "
                "numbers; the step was refused. Look for extreme inputs"
            )


def network_actions(actions: np.ndarray, shape: PolicyShape) -> np.ndarray:
    """Returns actions `[B]` int64, or `[B, A]` float32 scaled from their bounds to [-1, 1]."""
    if not shape.discrete:
        scaled = (actions - shape.low) * (2.0 / (shape.high - shape.low)) - 1.0
        return scaled.clip(-1.0, 1.0).astype(np.float32)
    if actions.min() < 0 or actions.max() >= shape.action_size:
        raise ValueError(
            f"actions drawn from the replay were from {actions.min()} to {actions.max()}, "
            f"expected numbers below {shape.action_size}"
        )
    return np.asarray(actions, np.int64)
