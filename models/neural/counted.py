"""What learners of C count beside their weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Counted(nn.Module):
    """How many updates there were, and whether a policy was given to start from."""

    updates: Tensor
    given: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("updates", torch.tensor(0, dtype=torch.int64))
        self.register_buffer("given", torch.tensor(False))

    @property
    def learned(self) -> bool:
        """Whether there was an update."""
        return bool(self.updates > 0)

    @property
    def begun(self) -> bool:
        """Whether the policy is more than its initial weights."""
        return self.learned or bool(self.given)
