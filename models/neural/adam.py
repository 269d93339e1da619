"""Adam that refuses a step with a non-finite loss or gradient, and whose state is exact."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from models.interfaces import NonFiniteLoss

_INITIAL_LOSS_SCALE = 2.0**15
_STEPS_BEFORE_GROWTH = 1000


class GuardedAdam:
    """Adam (Kingma & Ba 2015) with clipping by global norm and a guard against NaN and infinity.

    With float16 the loss is scaled so that small gradients survive. Gradients that overflow only
    because of the scale are recomputed with half of it: no step is ever skipped, and a gradient
    that is non-finite at scale one is refused like any other.

    Args:
        module: whose parameters are trained, but for those that ask for no gradient.
        learning_rate: Adam's step size.
        gradient_clip: the global norm that gradients are clipped to, each group's by itself.
        dtype: the format that the forward pass computes in.
        eps: what Adam adds to the root of its second moment.
        groups: names of submodules and parameters, each with the factor of its own step size;
            none makes one group of all, at `learning_rate`.
    """

    def __init__(
        self,
        module: nn.Module,
        learning_rate: float,
        gradient_clip: float,
        dtype: torch.dtype,
        *,
        eps: float = 1e-8,
        groups: Mapping[str, float] | None = None,
    ) -> None:
        trained = {n: p for n, p in module.named_parameters() if p.requires_grad}
        factors = groups or {"": 1.0}
        self._groups = [
            [p for n, p in trained.items() if not prefix or n.split(".", 1)[0] == prefix]
            for prefix in factors
        ]
        self._named, self._factors = trained, list(factors.values())
        self._parameters = [p for group in self._groups for p in group]
        self._clip = gradient_clip
        each = zip(self._groups, self._factors, strict=True)
        options = [{"params": group, "lr": learning_rate * factor} for group, factor in each]
        self._adam = torch.optim.Adam(options, lr=learning_rate, eps=eps, fused=True)
        self._rate = learning_rate
        for parameter in self._parameters:
            # Made here, not by the first step, so that a fresh state has the same names and shapes.
            self._adam.state[parameter] = {
                "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        self._scaled = dtype == torch.float16
        self._scale = torch.tensor(_INITIAL_LOSS_SCALE if self._scaled else 1.0)
        self._good_steps = torch.tensor(0, dtype=torch.int64)

    @property
    def learning_rate(self) -> float:
        """Adam's step size."""
        return self._rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._rate = value
        for group, factor in zip(self._adam.param_groups, self._factors, strict=True):
            group["lr"] = value * factor

    def step(self, parts: Sequence[Callable[[], torch.Tensor]]) -> tuple[float, float]:
        """Takes one step down the gradient of a loss that is the sum of its parts.

        One part is held in memory at a time. A part is computed again if the loss scale has to be
        lowered, so calling it twice must give the same.

        Args:
            parts: each computes its share of the loss, a scalar.

        Returns:
            The loss, and the gradient's global norm before clipping.

        Raises:
            NonFiniteLoss: loss or gradient is not finite; weights, moments and counters are as
                before.
        """
        try:
            value, norm = self._backward(parts)
            self._adam.step()
        finally:
            self._clear()
        self._grow()
        return value, norm

    def _backward(self, parts: Sequence[Callable[[], torch.Tensor]]) -> tuple[float, float]:
        scale = float(self._scale)
        while True:
            self._clear()
            value = sum(self._add_gradient(part, scale) for part in parts)
            for parameter in self._parameters:
                if parameter.grad is not None and scale != 1.0:
                    parameter.grad.mul_(1.0 / scale)
            norms = [nn.utils.clip_grad_norm_(group, self._clip) for group in self._groups]
            norm = math.hypot(*map(float, norms))
            if math.isfinite(norm):
                break
            if scale <= 1.0:
                raise NonFiniteLoss(
                    f"The gradient's norm was {norm} at a loss of {value:.6g}, expected a "
                    "finite number; the step was refused. Look for extreme inputs or lower the "
                    "learning rate"
                )
            scale /= 2.0
        if scale != float(self._scale):
            self._scale.fill_(scale)
            self._good_steps.zero_()
        return value, norm

    def _add_gradient(self, part: Callable[[], torch.Tensor], scale: float) -> float:
        loss = part()
        value = loss.item()
        if not math.isfinite(value):
            raise NonFiniteLoss(
                f"The loss was {value}, expected a finite number; the step was refused. "
                "Look for extreme inputs or lower the learning rate"
            )
        torch.autograd.backward(loss * scale)
        return value

    def _clear(self) -> None:
        self._adam.zero_grad(set_to_none=True)

    def _grow(self) -> None:
        if not self._scaled:
            return
        self._good_steps += 1
        if int(self._good_steps) >= _STEPS_BEFORE_GROWTH:
            self._scale.mul_(2.0)
            self._good_steps.zero_()

    def tensors(self) -> dict[str, torch.Tensor]:
        """Names every tensor that the next step depends on, weights excepted; not copies."""
        named = {"loss_scale": self._scale, "good_steps": self._good_steps}
        for name, parameter in self._named.items():
            for moment, tensor in self._adam.state[parameter].items():
                named[f"{moment}.{name}"] = tensor
        return named
