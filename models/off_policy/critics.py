"""An ensemble of critics: what actions are worth in states, by ReLU networks with LayerNorm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class Critic(nn.Module):
    """Features and actions to a value; hidden layers are linear, then LayerNorm, then ReLU.

    Without the normalisation, values of actions that nobody took could grow without bound (Ball et
    al. 2023, "Efficient Online Reinforcement Learning with Offline Data", section 4.2).

    Args:
        widths: of the layers, from features and actions to the value.
        num_features: F, the first of the inputs.
    """

    def __init__(self, widths: Sequence[int], num_features: int) -> None:
        super().__init__()
        self._num_features = num_features
        self.first = nn.Linear(widths[0], widths[1])
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths[1:-1])
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths[1:]))

    def read(self, features: Tensor) -> Tensor:
        """Returns what the first layer makes of features `[B, F]` alone, `[B, H]`."""
        weights = self.first.weight[:, : self._num_features]
        return torch.addmm(self.first.bias, features, weights.t())

    def values(self, read: Tensor, actions: Tensor) -> Tensor:
        """Returns the values `[B]` of actions `[B, A]` where `read` is what was read there."""
        x = torch.addmm(read, actions, self.first.weight[:, self._num_features :].t())
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = layer(functional.relu(norm(x), inplace=True))
        return x.squeeze(1)


class Critics(nn.Module):
    """Several critics that read the same.

    They are computed one after another: one product of three dimensions is no faster on a CPU.

    Args:
        count: E.
        widths: of each one's layers, from features and actions to the value.
        num_features: F.
    """

    def __init__(self, count: int, widths: Sequence[int], num_features: int) -> None:
        super().__init__()
        self.each = nn.ModuleList(Critic(widths, num_features) for _ in range(count))

    def critics(self, numbers: Iterable[int] | None = None) -> list[Critic]:
        """Returns all of them, or those with these numbers."""
        each = [critic for critic in self.each if isinstance(critic, Critic)]
        return each if numbers is None else [each[number] for number in numbers]

    def read(self, features: Tensor) -> list[Tensor]:
        """Returns what each critic's first layer makes of features alone; see `Critic.read`."""
        return [critic.read(features) for critic in self.critics()]

    def values(self, read: Sequence[Tensor], actions: Tensor) -> Tensor:
        """Returns what each critic holds actions `[B, A]` to be worth, `[E, B]`."""
        pairs = zip(self.critics(), read, strict=True)
        return torch.stack([critic.values(each, actions) for critic, each in pairs])

    def least(self, features: Tensor, actions: Tensor, numbers: Iterable[int]) -> Tensor:
        """Returns the least value `[B]` that some of the critics give."""
        chosen = self.critics(numbers)
        return torch.stack([c.values(c.read(features), actions) for c in chosen]).amin(0)

    def reset(self) -> None:
        """Sets what `build` leaves: no gain and no offset of the normalisation, heads near 0."""
        for critic in self.critics():
            for norm in critic.norms:
                norm.weight.data.fill_(1.0)  # type: ignore[union-attr]
                norm.bias.data.zero_()  # type: ignore[union-attr]


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Gradients lead through the module to its inputs and not to its weights."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
