"""What V, M and learners of C have in common: a network that learns by gradients on a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.interfaces import State
from models.neural.adam import GuardedAdam
from models.neural.device import part_slices
from models.neural.precision import Precision, computing, resolve_precision
from models.neural.state import load_arrays, to_arrays


class Held:
    """An attribute of a model that is one of the `Descent` which it holds as `_descent`."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        return self if model is None else getattr(model._descent, self._name)

    def __set__(self, model: Any, value: Any) -> None:
        setattr(model._descent, self._name, value)


def held() -> Any:
    """Returns a `Held`, which may stand in a class where the type of what it gives is declared."""
    return Held()


class Descent:
    """A network with its optimiser on a device, and all the next update depends on.

    Args:
        owner: the class that holds it, for error messages.
        network: whose parameters are learned; its names in the state begin with `prefix`.
        counted: what is counted beside it; its buffers belong to the state and move along.
        learning_rate: Adam's step size.
        gradient_clip: global norm that gradients are clipped to.
        device: where to compute.
        precision: format of products and convolutions, see `resolve_precision`.
        prefix: of the network's names.
        eps: what Adam adds to the root of its second moment.
        groups: parts of the network with step sizes of their own, see `GuardedAdam`.
    """

    def __init__(
        self,
        owner: str,
        network: nn.Module,
        counted: nn.Module,
        *,
        learning_rate: float,
        gradient_clip: float,
        device: str,
        precision: Precision = "float32",
        prefix: str = "weight.",
        eps: float = 1e-8,
        groups: Mapping[str, float] | None = None,
    ) -> None:
        self._owner, self._prefix = owner, prefix
        self._network, self._counted = network, counted
        self._gradient_clip = gradient_clip
        self._precision: Precision = precision
        self._eps, self._groups = eps, groups
        self.parts = 1
        self._place(torch.device(device), learning_rate)

    def _place(self, device: torch.device, learning_rate: float) -> None:
        self.torch_device = device
        self.dtype = resolve_precision(self._precision, device)
        self._network.to(device)
        self._counted.to(device)
        self._adam = GuardedAdam(
            self._network,
            learning_rate,
            self._gradient_clip,
            self.dtype,
            eps=self._eps,
            groups=self._groups,
        )

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(self.torch_device)

    def move_to(self, device: str) -> None:
        """Goes on on another device; see `models.interfaces.Descends`."""
        state = self.state()
        self._place(torch.device(device), self.learning_rate)
        self.load_state(state)

    @property
    def learning_rate(self) -> float:
        """Adam's step size."""
        return self._adam.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._adam.learning_rate = value

    def step(self, rows: int, share: Callable[[slice], Tensor]) -> tuple[float, float]:
        """Takes one step on a batch, `parts` parts of it one after another.

        Args:
            rows: of the batch.
            share: computes what some rows add to the batch's loss; may be asked twice for the same.

        Returns:
            The loss, and the gradient's global norm before clipping.

        Raises:
            NonFiniteLoss: loss or gradient is not finite; everything is as before.
        """
        return self._adam.step([partial(share, part) for part in part_slices(rows, self.parts)])

    def to_device(self, array: np.ndarray) -> Tensor:
        """Returns a float32 copy there: the caller's array may be read-only or change later."""
        return torch.tensor(array, dtype=torch.float32, device=self.torch_device)

    def computing(self, dtype: torch.dtype | None = None) -> AbstractContextManager[None]:
        """Autocasts to a format, that of learning unless one is given; see `computing`."""
        return computing(self.torch_device, self.dtype if dtype is None else dtype)

    def state(self) -> State:
        """Returns weights, moments and what is counted as arrays."""
        return to_arrays(self._tensors())

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues from a state; raises ValueError, unchanged, if it is of another shape."""
        load_arrays(self._tensors(), state, self._owner)

    def renew(self, part: str, fresh: nn.Module) -> None:
        """Gives a part of the network other weights, as if it had not learned so far.

        Args:
            part: name of the submodule.
            fresh: of the same shape.
        """
        tensors = self._tensors()
        with torch.no_grad():
            for name, value in fresh.state_dict().items():
                tensors[f"{self._prefix}{part}.{name}"].copy_(value)
            for name, tensor in tensors.items():
                if name.startswith("adam.") and f".{part}." in name:
                    tensor.zero_()

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Puts everything back if the block does not come to its end, whatever stopped it."""
        tensors = self._tensors()
        before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        done = False
        try:
            yield
            done = True
        finally:
            if not done:
                with torch.no_grad():
                    for name, tensor in tensors.items():
                        tensor.copy_(before[name])

    def _tensors(self) -> dict[str, Tensor]:
        weights = {f"{self._prefix}{k}": value for k, value in self._network.state_dict().items()}
        moments = {f"adam.{name}": value for name, value in self._adam.tensors().items()}
        return {**weights, **moments, **self._counted.state_dict()}
