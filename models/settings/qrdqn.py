"""What QR-DQN can be told, and how large its network is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from models.settings.key import key


@dataclass(frozen=True)
class QRDQNSettings:
    """Discrete C from a replay: quantile regression, Dabney et al. 2018."""

    learning_rate: float = key(3e-4, "Adam's step", low=0, high=1, open_low=True)
    adam_eps: float = key(
        1e-5, "what Adam adds to the root of its second moment", low=0, open_low=True
    )
    max_grad_norm: float = key(
        10.0, "global norm that gradients are clipped to", low=0, open_low=True
    )
    num_quantiles: int = key(32, "quantiles of each action's return", low=1, high=512)
    huber_kappa: float = key(
        1.0, "error up to which the quantiles' loss is quadratic", low=0, open_low=True
    )
    dueling: bool = key(True, "value and advantages have heads of their own")
    double: bool = key(
        True, "the learned network chooses the action that the target network values"
    )
    target_period: int = key(
        0, "updates after which the target becomes the network; 0 lets it follow by tau", low=0
    )
    tau: float = key(
        0.005, "share of the network in the target at each update", low=0, high=1, open_low=True
    )
    temperature: float = key(
        0.0, "of the soft policy that targets are made for; 0 is the greedy one", low=0
    )
    policy_temperature: float = key(
        0.03,
        "of the policy that is sampled from where temperature is 0: its logits are values over it",
        low=0,
        open_low=True,
    )
    munchausen: float = key(
        0.9,
        "share of an action's log-probability that is added to its reward where temperature > 0; "
        "Vieillard et al. 2020",
        low=0,
        high=1,
    )

    @property
    def logit_temperature(self) -> float:
        """What values are divided by to be the controller's logits: the soft policy's, if any."""
        return self.temperature or self.policy_temperature

    def num_parameters(self, policy_widths: Sequence[int]) -> int:
        """Returns how many weights network and target have, given the policy's layer widths."""
        *body, last, actions = policy_widths
        heads = (last + 1) * (actions + int(self.dueling)) * self.num_quantiles
        return 2 * (sum((a + 1) * b for a, b in pairwise((*body, last))) + heads)

    def update_numbers(self, policy_widths: Sequence[int], batch_size: int) -> int:
        """Returns about how many numbers an update holds beyond the weights."""
        quantiles = self.num_quantiles
        per_row = 6 * sum(policy_widths) + 8 * policy_widths[-1] * quantiles + 5 * quantiles**2
        return batch_size * per_row
