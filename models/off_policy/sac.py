"""Continuous C from a replay: soft actor-critic (Haarnoja et al. 2018) with automatic entropy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from models.controller_cpu import CPUController, PolicyShape
from models.interfaces import Float, Metrics, State, Transitions
from models.networks.initialise import build
from models.networks.mlp import (
    array,
    folded,
    linear_layers,
    rescale,
    unfolded,
    usable_scale,
)
from models.neural.counted import Counted
from models.neural.descent import Descent, held
from models.neural.device import device_memory
from models.numeric.threads import one_torch_thread
from models.off_policy.actor import Actor
from models.off_policy.batches import Batch, FeatureScale, network_actions, tensors_of
from models.off_policy.critics import Critics, frozen
from models.off_policy.following import follow
from models.settings.sac import SACSettings

_USUAL = SACSettings()
_SUMS = ("critic_loss", "value", "entropy")


class _Networks(nn.Module):
    """Actor, critics, the critics that targets are made with, and the temperature."""

    def __init__(self, shape: PolicyShape, settings: SACSettings) -> None:
        super().__init__()
        widths, count = settings.critic_widths(shape.widths), settings.num_critics
        self.scale = FeatureScale(shape.num_features)
        self.actor = Actor(shape.widths, shape.units)
        self.critics = Critics(count, widths, shape.num_features)
        self.targets = Critics(count, widths, shape.num_features).requires_grad_(False)
        self.log_temperature = nn.Parameter(torch.zeros(()))


class SAC:
    """Learns a controller of continuous actions from a replay (`OffPolicyLearner`).

    One step goes down the gradients of the critics' squared errors from
    r + gamma^n (min Q'(s', a') - temperature log p(a')), of the actor's
    temperature log p(a) - min Q(s, a), and of the temperature's distance from its entropy
    (Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications", equations 5, 7, 18),
    all taken at the weights before it. With fewer `min_critics` than critics the targets are the
    least of a random few and the actor climbs the mean (Chen et al. 2021, "Randomized Ensembled
    Double Q-Learning").

    Args:
        shape: the controller's sizes, bounds and flat layout.
        settings: see there; `learning_rate` may be set later.
        device: where it computes.
        seed: of the initial weights.

    Raises:
        ValueError: the controller's actions are discrete, or counts of critics do not fit.
    """

    device: str = held()
    parts: int = held()
    learning_rate: float = held()

    def __init__(
        self,
        shape: PolicyShape,
        settings: SACSettings = _USUAL,
        *,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        if shape.discrete:
            raise ValueError(
                "SAC was given discrete actions, expected continuous ones; use QRDQN instead"
            )
        if settings.min_critics > settings.num_critics:
            raise ValueError(
                f"min_critics was {settings.min_critics}, expected at most num_critics, "
                f"{settings.num_critics}"
            )
        self._shape, self._settings = shape, settings
        self.num_features, self.num_parameters = shape.num_features, shape.num_parameters
        self._network, self._counted = _networks(shape, settings, seed), Counted()
        temperature_rate = settings.temperature_learning_rate / settings.learning_rate
        self._descent = Descent(
            "SAC",
            self._network,
            self._counted,
            learning_rate=settings.learning_rate,
            gradient_clip=settings.max_grad_norm,
            device=device,
            prefix="",
            eps=settings.adam_eps,
            groups={"actor": 1.0, "critics": 1.0, "log_temperature": temperature_rate},
        )

    def move_to(self, device: str) -> None:
        """Goes on on another device; see `models.interfaces.Descends`."""
        self._descent.move_to(device)

    def set_feature_scale(self, mean: Float, std: Float) -> None:
        """Takes the usual mean and spread of each feature, `[F]`.

        What was learned or given before stays the same function of the features; fresh networks
        keep their weights instead, which are made for standardised features.

        Raises:
            ValueError: wrong shapes, or no finite mean and spread.
        """
        old, new = self._network.scale.scale, usable_scale(mean, std, self.num_features)
        firsts = linear_layers(self._network.actor.layers)[:1] if self._counted.begun else []
        if self._counted.learned:
            both = (self._network.critics, self._network.targets)
            firsts += [critic.first for critics in both for critic in critics.critics()]
        for layer in firsts:
            rescale(layer, old, new)
        self._network.scale.take(new)

    def update(self, batch: Transitions, rng: np.random.Generator) -> Metrics:
        """Takes one step down the gradients of critics, actor and temperature.

        Args:
            batch: B transitions.
            rng: draws the actions' noise, and which critics make the targets.

        Returns:
            `loss` and `critic_loss`, `gradient_norm` before clipping (all networks together),
            `value` (mean of the critics, of the actions taken), `entropy` (nats, of actions in
            [-1, 1]) and `temperature`.

        Raises:
            NonFiniteLoss: a number or gradient was not finite; nothing changed.
            OutOfDeviceMemory: it did not fit: take it in more `parts`; nothing changed.
            MemoryError: it did not fit into the host's memory; nothing changed.
            ValueError: the batch does not fit this learner.
        """
        with device_memory():
            given = tensors_of(batch, self._shape, self._network.scale)
            count, noise = len(given.returns), self._noise(len(given.returns), rng)
            asked = self._asked(rng)
            climbs = int(self._counted.updates) % self._settings.actor_period == 0
            seen: dict[int, Tensor] = {}  # a part may be computed twice

            def share(rows: slice) -> Tensor:
                loss, sums = self._terms(given.rows(rows), noise[:, rows], asked, climbs)
                seen[rows.start] = sums
                return loss / count

            temperature = float(self._network.log_temperature.detach().exp())
            loss, norm = self._descent.step(count, share)
            self._follow()
        means = (torch.stack(list(seen.values())).sum(0) / count).tolist()
        told = {"loss": loss, "gradient_norm": norm, "temperature": temperature}
        return {**told, **dict(zip(_SUMS, means, strict=True))}

    def all_or_nothing(self) -> AbstractContextManager[None]:
        """Puts everything back if the block does not come to its end, whatever stopped it."""
        return self._descent.all_or_nothing()

    def outputs(self, features: Float) -> Float:
        """Returns means, then log standard deviations unclipped, `[N, 2A]` of `[N, F]`."""
        with device_memory(), torch.inference_mode():
            return self._network.actor.outputs(self._standardised(features)).cpu().numpy()

    def values(self, features: Float, actions: np.ndarray) -> Float:
        """Returns what each critic holds actions `[N, A]` (in their units) to be worth, `[E, N]`.

        Args:
            features: `[N, F]`.
            actions: in environment units.
        """
        with device_memory(), torch.inference_mode():
            scaled = self._descent.to_device(network_actions(actions, self._shape))
            read = self._network.critics.read(self._standardised(features))
            return self._network.critics.values(read, scaled).cpu().numpy()

    def get_parameters(self) -> Float:
        """Returns the actor as parameters of a controller that reads raw features, `[P]`."""
        layers = linear_layers(self._network.actor.layers)
        plain = [(array(layer.weight).T, array(layer.bias)) for layer in layers]
        return folded(plain, self._network.scale.scale)

    def set_parameters(self, parameters: np.ndarray) -> None:
        """Starts from a controller's parameters `[P]`; critics and Adam's moments are kept.

        Raises:
            ValueError: a wrong size or a non-finite value.
        """
        given = unfolded(parameters, self._shape, self._network.scale.scale)
        with torch.no_grad():
            layers = linear_layers(self._network.actor.layers)
            for layer, (weights, bias) in zip(layers, given, strict=True):
                layer.weight.copy_(weights)
                layer.bias.copy_(bias)
        self._counted.given.fill_(True)

    def state(self) -> State:
        """Returns weights, targets, temperature, scale, moments and counters."""
        return self._descent.state()

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues from a state; raises ValueError, unchanged, if it is of another shape."""
        self._descent.load_state(state)

    def _standardised(self, features: Float) -> Tensor:
        return self._network.scale.standardised(features)

    def _noise(self, count: int, rng: np.random.Generator) -> Tensor:
        """Returns noise `[2, B, A]`, of the actions that follow and of those in the batch."""
        size = (2, count, self._shape.action_size)
        return self._descent.to_device(rng.standard_normal(size, np.float32))

    def _asked(self, rng: np.random.Generator) -> list[int]:
        """Returns the numbers of the critics that make the targets."""
        count, asked = self._settings.num_critics, self._settings.min_critics
        if asked == count:
            return list(range(count))
        return rng.choice(count, asked, replace=False).tolist()

    def _terms(
        self, batch: Batch, noise: Tensor, asked: list[int], climbs: bool
    ) -> tuple[Tensor, Tensor]:
        """Returns the loss summed over rows, and sums of what `_SUMS` names, `[3]`.

        Args:
            batch: B rows.
            noise: `[2, B, A]`.
            asked: critics that make the targets.
            climbs: whether actor and temperature learn too.
        """
        targets, following = self._targets(batch, noise[0], asked)
        read = self._network.critics.read(batch.features)
        values = self._network.critics.values(read, batch.actions)
        critic_loss = 0.5 * (values - targets).square().sum()
        entropy, loss = -following.sum(), critic_loss
        if climbs:
            drawn = self._actor_loss(batch.features, read, noise[1])
            loss = loss + drawn
        sums = (critic_loss.detach(), values.detach().mean(0).sum(), entropy)
        return loss, torch.stack(sums)

    @torch.no_grad()
    def _targets(self, batch: Batch, noise: Tensor, asked: list[int]) -> tuple[Tensor, Tensor]:
        """Returns the values to be predicted, and log-densities of the actions that follow."""
        actions, log_probs = self._network.actor.draw(batch.following, noise)
        values = self._network.targets.least(batch.following, actions, asked)
        soft = values - self._network.log_temperature.exp() * log_probs
        return batch.returns + batch.discounts * soft, log_probs

    def _actor_loss(self, features: Tensor, read: list[Tensor], noise: Tensor) -> Tensor:
        """Returns the losses of actor and temperature, summed over rows."""
        settings, critics = self._settings, self._network.critics
        actions, log_probs = self._network.actor.draw(features, noise)
        with frozen(critics):
            values = critics.values([each.detach() for each in read], actions)
        all_asked = settings.min_critics == settings.num_critics
        worth = values.amin(0) if all_asked else values.mean(0)
        temperature = self._network.log_temperature
        actor_loss = (temperature.detach().exp() * log_probs - worth).sum()
        wanted = settings.target_entropy * self._shape.action_size
        return actor_loss - temperature * (log_probs.detach() + wanted).sum()

    def _follow(self) -> None:
        """Lets the targets follow the critics."""
        self._counted.updates += 1
        follow(self._network.targets, self._network.critics, self._settings.tau)


def _networks(shape: PolicyShape, settings: SACSettings, seed: int) -> _Networks:
    """Builds all networks from a seed, targets equal to critics."""
    networks = build(lambda: _Networks(shape, settings), seed)
    with torch.no_grad():
        networks.scale.reset()
        networks.actor.reset(torch.Generator().manual_seed(seed))
        networks.critics.reset()
        networks.targets.load_state_dict(networks.critics.state_dict())
        networks.log_temperature.fill_(math.log(settings.initial_temperature))
    return networks


if __name__ == "__main__":
    from models.selftest.policies import check_off_policy_learner

    linear = PolicyShape(3, "continuous", 2, (), None, None)
    quick = SACSettings(learning_rate=1e-2, temperature_learning_rate=1e-2, critic_sizes=(32, 32))
    with one_torch_thread():
        make, chance = partial(SAC, linear, quick), CPUController(3, "continuous", 2)
        raise SystemExit(check_off_policy_learner("sac", make, 400, chance))
