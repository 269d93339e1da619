"""Discrete C from a replay: double Q-learning of quantiles of the return (Dabney et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from models.controller_cpu import CPUController, PolicyShape
from models.interfaces import Float, Metrics, State, Transitions
from models.networks.initialise import build
from models.networks.mlp import folded, rescale, unfolded, usable_scale
from models.neural.counted import Counted
from models.neural.descent import Descent, held
from models.neural.device import device_memory
from models.numeric.threads import one_torch_thread
from models.off_policy.batches import Batch, FeatureScale, tensors_of
from models.off_policy.following import follow
from models.off_policy.quantiles import Quantiles, quantile_huber
from models.settings.qrdqn import QRDQNSettings

_USUAL = QRDQNSettings()
_LOWEST_LOG_POLICY = -1.0
"""What a log-probability that is added to a reward is clipped to (Vieillard et al. 2020, l0)."""


class _Networks(nn.Module):
    """The network that learns, and the one that its targets are made with."""

    def __init__(self, shape: PolicyShape, settings: QRDQNSettings) -> None:
        super().__init__()
        make = partial(
            Quantiles,
            shape.widths,
            shape.units,
            settings.num_quantiles,
            dueling=settings.dueling,
        )
        self.scale = FeatureScale(shape.num_features)
        self.online = make()
        self.target = make().requires_grad_(False)


class QRDQN:
    """Learns a controller of discrete actions from a replay (`OffPolicyLearner`).

    Targets are r + gamma^n Z'(s', a*), Z' the target network's quantiles and a* the action that
    the network itself values most (van Hasselt, Guez & Silver 2016) if `double`. With a
    `temperature` they are those of Vieillard et al. 2020, "Munchausen Reinforcement Learning",
    equation 2: the mean over the soft policy's actions, its entropy, and a share of the
    log-probability of the action that was taken.

    Args:
        shape: the controller's sizes and flat layout.
        settings: see there; `learning_rate` may be set later.
        device: where it computes.
        seed: of the initial weights.

    Raises:
        ValueError: the controller's actions are continuous.
    """

    device: str = held()
    parts: int = held()
    learning_rate: float = held()

    def __init__(
        self,
        shape: PolicyShape,
        settings: QRDQNSettings = _USUAL,
        *,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        if not shape.discrete:
            raise ValueError(
                "QRDQN was given continuous actions, expected discrete ones; use SAC instead"
            )
        self._shape, self._settings = shape, settings
        self.num_features, self.num_parameters = shape.num_features, shape.num_parameters
        self._network, self._counted = _networks(shape, settings, seed), Counted()
        self._descent = Descent(
            "QRDQN",
            self._network,
            self._counted,
            learning_rate=settings.learning_rate,
            gradient_clip=settings.max_grad_norm,
            device=device,
            prefix="",
            eps=settings.adam_eps,
        )

    def move_to(self, device: str) -> None:
        """Goes on on another device; see `models.interfaces.Descends`."""
        self._descent.move_to(device)

    def set_feature_scale(self, mean: Float, std: Float) -> None:
        """Takes the usual mean and spread of each feature, `[F]`.

        What was learned or given before stays the same function of the features; a fresh network
        keeps its weights instead, which are made for standardised features.

        Raises:
            ValueError: wrong shapes, or no finite mean and spread.
        """
        old, new = self._network.scale.scale, usable_scale(mean, std, self.num_features)
        if self._counted.begun:
            for network in (self._network.online, self._network.target):
                for layer in network.first_layers():
                    rescale(layer, old, new)
        self._network.scale.take(new)

    def update(self, batch: Transitions, rng: np.random.Generator) -> Metrics:
        """Takes one step down the gradient of the quantiles' loss.

        Args:
            batch: B transitions.
            rng: not drawn from.

        Returns:
            `loss`, `gradient_norm` before clipping, `value` (the mean return of the actions
            taken) and `target`, both means over the batch.

        Raises:
            NonFiniteLoss: a number or gradient was not finite; nothing changed.
            OutOfDeviceMemory: it did not fit: take it in more `parts`; nothing changed.
            MemoryError: it did not fit into the host's memory; nothing changed.
            ValueError: the batch does not fit this learner.
        """
        with device_memory():
            given = tensors_of(batch, self._shape, self._network.scale)
            count = len(given.returns)
            seen: dict[int, Tensor] = {}  # a part may be computed twice

            def share(rows: slice) -> Tensor:
                loss, seen[rows.start] = self._terms(given.rows(rows))
                return loss / count

            loss, norm = self._descent.step(count, share)
            self._follow()
        value, target = (torch.stack(list(seen.values())).sum(0) / count).tolist()
        return {"loss": loss, "gradient_norm": norm, "value": value, "target": target}

    def all_or_nothing(self) -> AbstractContextManager[None]:
        """Puts everything back if the block does not come to its end, whatever stopped it."""
        return self._descent.all_or_nothing()

    def quantiles(self, features: Float) -> Float:
        """Returns the quantiles of each action's return, `[N, A, quantiles]` of `[N, F]`."""
        with device_memory(), torch.inference_mode():
            x = self._network.scale.standardised(features)
            return self._network.online.all(self._network.online.hidden(x)).cpu().numpy()

    def values(self, features: Float) -> Float:
        """Returns each action's mean return, `[N, A]` of features `[N, F]`."""
        with device_memory(), torch.inference_mode():
            x = self._network.scale.standardised(features)
            return self._network.online.means(self._network.online.hidden(x)).cpu().numpy()

    def get_parameters(self) -> Float:
        """Returns a controller of raw features, `[P]`: logits are Q over `logit_temperature`."""
        return folded(
            self._network.online.layers(self._settings.logit_temperature),
            self._network.scale.scale,
        )

    def set_parameters(self, parameters: np.ndarray) -> None:
        """Starts from a controller's parameters `[P]`: Q becomes logits times `logit_temperature`.

        All quantiles of an action become one; Adam's moments are kept.

        Raises:
            ValueError: a wrong size or a non-finite value.
        """
        layers = unfolded(parameters, self._shape, self._network.scale.scale)
        for network in (self._network.online, self._network.target):
            network.take_layers(layers, self._settings.logit_temperature)
        self._counted.given.fill_(True)

    def state(self) -> State:
        """Returns weights of both networks, scale, moments and counters."""
        return self._descent.state()

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues from a state; raises ValueError, unchanged, if it is of another shape."""
        self._descent.load_state(state)

    def _terms(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns the loss summed over rows, and the sums of values and of targets, `[2]`."""
        online = self._network.online
        with torch.no_grad():
            targets = self._targets(batch)
        quantiles = online.of_actions(online.hidden(batch.features), batch.actions)
        loss = quantile_huber(quantiles, targets, self._settings.huber_kappa).sum()
        sums = torch.stack([quantiles.detach().mean(1).sum(), targets.mean(1).sum()])
        return loss, sums

    def _targets(self, batch: Batch) -> Tensor:
        """Returns samples of the returns that are to be predicted, `[B, N]`."""
        if self._settings.temperature > 0.0:
            returns, following = self._soft_targets(batch)
        else:
            returns, following = batch.returns, self._greedy_quantiles(batch.following)
        return returns.unsqueeze(1) + batch.discounts.unsqueeze(1) * following

    def _greedy_quantiles(self, following: Tensor) -> Tensor:
        """Returns the target's quantiles of the best action, `[B, N]`."""
        online, target = self._network.online, self._network.target
        hidden = target.hidden(following)
        means = (
            online.means(online.hidden(following))
            if self._settings.double
            else target.means(hidden)
        )
        return target.of_actions(hidden, means.argmax(1))

    def _soft_targets(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns rewards `[B]` and what follows `[B, N]` under the target's soft policy."""
        target, temperature = self._network.target, self._settings.temperature
        hidden = target.hidden(batch.following)
        log_policy = torch.log_softmax(target.means(hidden) / temperature, 1)
        policy = log_policy.exp()
        soft = torch.bmm(policy.unsqueeze(1), target.all(hidden)).squeeze(1)
        entropy = -(policy * log_policy).sum(1, keepdim=True)
        following = soft + temperature * entropy
        if not self._settings.munchausen:
            return batch.returns, following
        before = torch.log_softmax(target.means(target.hidden(batch.features)) / temperature, 1)
        taken = before.gather(1, batch.actions.unsqueeze(1)).squeeze(1) * temperature
        bonus = self._settings.munchausen * taken.clamp(_LOWEST_LOG_POLICY, 0.0)
        return batch.returns + bonus, following

    def _follow(self) -> None:
        """Lets the target network follow the one that learns."""
        self._counted.updates += 1
        period, networks = self._settings.target_period, self._network
        if not period:
            follow(networks.target, networks.online, self._settings.tau)
        elif int(self._counted.updates) % period == 0:
            follow(networks.target, networks.online, 1.0)


def _networks(shape: PolicyShape, settings: QRDQNSettings, seed: int) -> _Networks:
    """Builds both networks, equal, from a seed."""
    networks = build(lambda: _Networks(shape, settings), seed)
    with torch.no_grad():
        networks.scale.reset()
        networks.online.reset(torch.Generator().manual_seed(seed))
        networks.target.load_state_dict(networks.online.state_dict())
    return networks


if __name__ == "__main__":
    from models.selftest.policies import check_off_policy_learner

    linear = PolicyShape(3, "discrete", 2, (), None, None)
    quick = QRDQNSettings(learning_rate=3e-2, num_quantiles=4)
    with one_torch_thread():
        make, chance = partial(QRDQN, linear, quick), CPUController(3, "discrete", 2)
        raise SystemExit(check_off_policy_learner("qrdqn", make, 100, chance))
