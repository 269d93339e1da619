"""C by gradients: proximal policy optimisation (Schulman et al. 2017) on features or an encoder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.controller_cpu import PolicyShape
from models.interfaces import Float, Metrics, Rollout, State
from models.neural.actor_critic import actor_critic
from models.neural.adam import GuardedAdam
from models.neural.device import device_memory, part_slices
from models.neural.state import load_arrays, to_arrays
from models.numeric.returns import rollout_targets, steps_taken

_FEWEST_ROWS_TO_READ = 1024
_LARGEST_LOG_RATIO = 20.0
_SMALLEST_VARIANCE = 1e-12


class _Steps(NamedTuple):
    """Steps that were taken, of all rollouts: B rows each.

    `log_probs` are those before the update, `ratios` their probabilities over those of the policy
    that took them.
    """

    inputs: Tensor
    actions: Tensor
    log_probs: Tensor
    ratios: Tensor
    advantages: Tensor
    returns: Tensor

    def rows(self, which: Tensor | slice) -> _Steps:
        return _Steps(*(tensor[which] for tensor in self))


class PPO:
    """Learns a controller's parameters from rollouts that it has played (`PolicyLearner`).

    The loss is `-mean(min(r A, clip(r, 1 - clip_range, 1 + clip_range) A))
    + vf_coef mean((v - R)^2) / 2 - ent_coef mean(entropy)` (Schulman et al. 2017, equations 7 and
    9), r the ratio of an action's new and old probability, A its generalised advantage in units of
    the minibatch's spread, R the return. Rewards are taken as they are: scale them before.

    Rollouts that an earlier policy has played serve again (Queeney, Paschalidis & Cassandras 2021,
    "Generalized Proximal Policy Optimization with Sample Reuse"): r is then over the probability
    under that policy and followed `clip_range` away from its value before the update instead of
    from 1; A and R are corrected by V-trace.

    Args:
        num_features, action_kind, action_size, hidden_sizes, action_low, action_high: see
            `PolicyShape`.
        value_sizes: widths of the value function's hidden layers; None takes the policy's, or one
            layer of 64 if that is linear.
        learning_rate: Adam's step size; may be set later.
        gamma: discount.
        gae_lambda: lambda of the generalised advantages.
        epochs: passes over the steps of an update.
        minibatch_size: at most so many steps go into one gradient.
        clip_range: how far a ratio is followed.
        ent_coef: weight of the entropy; of continuous actions before they are squashed.
        vf_coef: weight of the value's loss.
        max_grad_norm: the global norm that gradients are clipped to.
        target_kl: no further epoch begins once the policy has moved so far (`approx_kl`); 0 sets
            no limit.
        encoder: maps rollouts' `features` `[B, ...]` of any dtype to `[B, F]`; it is taken over and
            learned jointly. It must not be random, nor depend on other rows.
        device: where it computes.
        seed: of the initial weights (the encoder has its own).

    Raises:
        ValueError: sizes, bounds or counts do not fit.
    """

    def __init__(
        self,
        num_features: int,
        action_kind: str,
        action_size: int,
        hidden_sizes: Sequence[int] = (),
        action_low: Sequence[float] | np.ndarray | None = None,
        action_high: Sequence[float] | np.ndarray | None = None,
        *,
        value_sizes: Sequence[int] | None = None,
        learning_rate: float = 1e-3,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        epochs: int = 4,
        minibatch_size: int = 1024,
        clip_range: float = 0.1,
        ent_coef: float = 0.01,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5,
        target_kl: float = 0.0,
        encoder: nn.Module | None = None,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        if min(epochs, minibatch_size) < 1:
            raise ValueError(
                f"epochs were {epochs}, minibatch_size {minibatch_size}; expected both at least 1"
            )
        self._shape = PolicyShape(
            num_features, action_kind, action_size, hidden_sizes, action_low, action_high
        )
        self.num_features = num_features
        self.num_parameters = self._shape.num_parameters
        self.parts = 1
        self._gamma, self._gae_lambda = gamma, gae_lambda
        self._epochs, self._minibatch_size, self._target_kl = epochs, minibatch_size, target_kl
        self._clip_range, self._ent_coef, self._vf_coef = clip_range, ent_coef, vf_coef
        self._max_grad_norm = max_grad_norm
        if value_sizes is None:
            value_sizes = tuple(hidden_sizes) or (64,)
        self._network = actor_critic(self._shape, value_sizes, encoder, seed)
        self._updates = torch.tensor(0, dtype=torch.int64)
        self._given = torch.tensor(False)
        self._place(torch.device(device), learning_rate)

    def _place(self, device: torch.device, learning_rate: float) -> None:
        self._device = device
        self._network = self._network.to(device)
        self._adam = GuardedAdam(self._network, learning_rate, self._max_grad_norm, torch.float32)

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(self._device)

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

    def set_feature_scale(self, mean: Float, std: Float) -> None:
        """Takes the usual mean and spread of each feature (the encoder's, if any), `[F]`.

        What was learned or given before stays the same function of the features; a fresh network
        keeps its weights instead, which are made for standardised features.

        Raises:
            ValueError: wrong shapes, or no finite mean and spread.
        """
        learned = bool(self._updates > 0)
        kept = {"policy": learned or bool(self._given), "value": learned}
        self._network.set_feature_scale(mean, std, keep=[name for name in kept if kept[name]])

    def update(self, rollouts: Sequence[Rollout], rng: np.random.Generator) -> Metrics:
        """Learns from rollouts that the present parameters have played, or earlier ones.

        Args:
            rollouts: of any lengths; see `Rollout`. Those with `log_probs` are of earlier policies.
            rng: shuffles the steps, once an epoch; the only randomness.

        Returns:
            Means over all gradients: `loss`, `policy_loss`, `value_loss`, `entropy` (nats) and
            `gradient_norm` before clipping. Over the last epoch: `approx_kl` (mean of
            (r - 1) - log r, r over the probability before the update,
            http://joschu.net/blog/kl-approx.html; nats) and `clip_fraction`.
            `explained_variance` of the returns by the values before the update (0 if they do not
            vary), `epochs_done`, and `steps`, how many were learned from.

        Raises:
            NonFiniteLoss: some reward, feature or gradient was not finite; nothing changed.
            OutOfDeviceMemory: it did not fit: take it in more `parts`; nothing changed.
            MemoryError: it did not fit into the host's memory; nothing changed.
            ValueError: rollouts do not fit this learner or contradict themselves.
        """
        with device_memory(), self._all_or_nothing():
            with np.errstate(over="ignore", invalid="ignore"):  # the optimiser refuses it
                steps, explained_variance = self._pool(rollouts)
            epochs: list[Tensor] = []
            for _ in range(self._epochs):
                epochs.append(self._epoch(steps, rng))
                if self._target_kl and float(epochs[-1].mean(0)[-2]) > self._target_kl:
                    break
            self._updates += 1
            means = torch.cat(epochs).mean(0).tolist()[:-2] + epochs[-1].mean(0).tolist()[-2:]
        names = ("loss", "gradient_norm", "policy_loss", "value_loss", "entropy")
        metrics = dict(zip((*names, "approx_kl", "clip_fraction"), means, strict=True))
        counts = {"epochs_done": float(len(epochs)), "steps": float(len(steps.returns))}
        return {**metrics, "explained_variance": explained_variance, **counts}

    def log_probs(self, rollout: Rollout) -> Float:
        """Returns log-probabilities of a rollout's actions now, `[T, N]`; 0 where none was taken.

        Of continuous actions these are densities before the tanh, see `ActorCritic.weigh`.

        Raises:
            ValueError: the rollout does not fit this learner.
        """
        taken = steps_taken(rollout)
        found = np.zeros(taken.shape, np.float32)
        with device_memory():
            actions = self._network.scored_actions(rollout.actions[taken])
            outputs, _ = self._read(self._network.prepare(rollout.features[taken]))
            with torch.inference_mode():
                found[taken] = self._network.weigh(outputs, actions)[0].cpu().numpy()
        return found

    def values(self, features: np.ndarray) -> Float:
        """Returns the expected discounted returns `[N]` of features `[N, F]`, or encoder inputs."""
        with device_memory():
            return self._read(self._network.prepare(features))[1].cpu().numpy()

    def outputs(self, features: np.ndarray) -> Float:
        """Returns logits, or means then log standard deviations unclipped, `[N, outputs]`."""
        with device_memory():
            return self._read(self._network.prepare(features))[0].cpu().numpy()

    def encode(self, features: np.ndarray) -> Float:
        """Returns what the controller reads, `[N, F]`, of the encoder's inputs `[N, ...]`."""
        with device_memory(), torch.inference_mode():
            blocks = self._blocks(torch.tensor(features, device=self._device))
            return torch.cat([self._network.encoded(block) for block in blocks]).cpu().numpy()

    def get_parameters(self) -> Float:
        """Returns the policy as parameters of a controller that reads raw features, `[P]`."""
        return self._network.get_parameters()

    def set_parameters(self, parameters: np.ndarray) -> None:
        """Starts from a controller's parameters `[P]`; values and Adam's moments are kept.

        Raises:
            ValueError: a wrong size or a non-finite value.
        """
        self._network.set_parameters(parameters)
        self._given.fill_(True)

    def state(self) -> State:
        """Returns weights (an encoder's under `encoder.`), scale, moments and counters."""
        return to_arrays(self._tensors())

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues from a state; raises ValueError, unchanged, if it is of another shape."""
        load_arrays(self._tensors(), state, "PPO")

    def _tensors(self) -> dict[str, Tensor]:
        moments = {f"adam.{name}": value for name, value in self._adam.tensors().items()}
        counted = {"updates": self._updates, "given": self._given}
        return {**self._network.state_dict(), **moments, **counted}

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
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

    def _pool(self, rollouts: Sequence[Rollout]) -> tuple[_Steps, float]:
        """Returns the steps of all rollouts, and what the values explain of the returns."""
        pooled = [self._steps_of(rollout) for rollout in rollouts]
        if not sum(len(steps.returns) for steps, _ in pooled):
            raise ValueError("PPO was given no step to learn from, expected at least one")
        steps = _Steps(*map(torch.cat, zip(*(steps for steps, _ in pooled), strict=True)))
        values = np.concatenate([values for _, values in pooled], dtype=np.float64)
        returns = steps.returns.double().cpu().numpy()
        variance = returns.var()
        if not variance > _SMALLEST_VARIANCE:
            return steps, 0.0
        return steps, float(1.0 - (returns - values).var() / variance)

    def _steps_of(self, rollout: Rollout) -> tuple[_Steps, Float]:
        """Returns a rollout's steps and their values, all by the present weights."""
        taken = steps_taken(rollout)
        actions = self._network.scored_actions(rollout.actions[taken])
        prepared = self._network.prepare(rollout.features[taken])
        outputs, step_values = self._read(prepared)
        with torch.inference_mode():
            log_probs, _ = self._network.weigh(outputs, actions)
        ratios = self._ratios(rollout, log_probs, taken)
        values, weights = np.zeros(taken.shape, np.float32), np.ones(taken.shape, np.float32)
        values[taken], weights[taken] = step_values.cpu().numpy(), ratios.cpu().numpy()
        advantages, returns = rollout_targets(
            rollout,
            values,
            self.values(rollout.last_features),
            self.values(rollout.cut_features),
            gamma=self._gamma,
            gae_lambda=self._gae_lambda,
            ratios=weights,
        )
        targets = [torch.from_numpy(each[taken]).to(self._device) for each in (advantages, returns)]
        return _Steps(prepared, actions, log_probs, ratios, *targets), values[taken]

    def _ratios(self, rollout: Rollout, now: Tensor, taken: np.ndarray) -> Tensor:
        """Returns how much more likely the actions taken are now than they were, `[B]`."""
        if rollout.log_probs is None:
            return torch.ones_like(now)
        then = torch.from_numpy(np.asarray(rollout.log_probs, np.float32)[taken]).to(self._device)
        return (now - then).clamp(-_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO).exp()

    def _blocks(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Cuts rows into blocks that fit wherever a minibatch's part does."""
        return rows.split(max(1, max(self._minibatch_size, _FEWEST_ROWS_TO_READ) // self.parts))

    def _read(self, prepared: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the policy's outputs `[B, outputs]` and values `[B]`, without gradients."""
        blocks = self._blocks(prepared) if len(prepared) else ()
        empty = torch.zeros((0, self._shape.widths[-1]), device=self._device)
        outputs, values = [empty], [empty[:, 0]]
        with torch.inference_mode():
            for block in blocks:
                x = self._network.read(block)
                outputs.append(self._network.outputs(x))
                values.append(self._network.values(x))
            return torch.cat(outputs), torch.cat(values)

    def _epoch(self, steps: _Steps, rng: np.random.Generator) -> Tensor:
        """Takes a step for each minibatch; returns their metrics, `[minibatches, 7]`."""
        count = len(steps.returns)
        order = torch.from_numpy(rng.permutation(count)).to(self._device)
        shuffled = steps.rows(order)  # once, then minibatches are views
        minibatches = part_slices(count, math.ceil(count / self._minibatch_size))
        return torch.stack([self._minibatch(shuffled.rows(rows)) for rows in minibatches])

    def _minibatch(self, steps: _Steps) -> Tensor:
        count = len(steps.returns)
        spread, mean = torch.std_mean(steps.advantages, correction=0)
        steps = steps._replace(advantages=(steps.advantages - mean) / (spread + 1e-8))
        slices = part_slices(count, self.parts)
        seen: dict[int, Tensor] = {}  # a part may be computed twice

        def share(number: int) -> Tensor:
            terms = self._terms(steps.rows(slices[number]))
            seen[number] = terms.detach() / count
            weights = terms.new_tensor([1.0, self._vf_coef, -self._ent_coef, 0.0, 0.0])
            return terms @ weights / count

        loss, norm = self._adam.step([partial(share, number) for number in range(len(slices))])
        means = torch.stack(list(seen.values())).sum(0).cpu()
        return torch.cat([torch.tensor([loss, norm]), means])

    def _terms(self, steps: _Steps) -> Tensor:
        """Returns sums over steps: policy and value loss, entropy, approximate KL, clipped."""
        x = self._network.read(steps.inputs)
        log_probs, entropy = self._network.weigh(self._network.outputs(x), steps.actions)
        # Saturated actions are placed wrongly by `scored_actions`; under a narrow Gaussian their
        # ratio could overflow, and one infinity would refuse the whole update.
        log_ratio = (log_probs - steps.log_probs).clamp(-_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO)
        ratio = log_ratio.exp() * steps.ratios
        clipped = ratio.clamp(steps.ratios - self._clip_range, steps.ratios + self._clip_range)
        gains = torch.minimum(ratio * steps.advantages, clipped * steps.advantages)
        errors = self._network.values(x) - steps.returns
        with torch.no_grad():
            divergence = (torch.expm1(log_ratio) - log_ratio).sum()
            outside = ((ratio - steps.ratios).abs() > self._clip_range).float().sum()
        losses = (-gains.sum(), 0.5 * errors.square().sum(), entropy.sum())
        return torch.stack([*losses, divergence, outside])
