"""C by gradients: proximal policy optimisation (Schulman et al. 2017) on features or an encoder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.controller_cpu import PolicyShape
from models.interfaces import Float, Metrics, Rollout, State
from models.networks.actor_critic import actor_critic
from models.neural.counted import Counted
from models.neural.descent import Descent, held
from models.neural.device import device_memory, part_slices
from models.numeric.returns import rollout_targets, steps_taken
from models.numeric.threads import one_torch_thread
from models.settings.ppo import PPOSettings

_USUAL = PPOSettings()
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
        shape: the controller's sizes, bounds and flat layout.
        settings: see there; `learning_rate` may be set later.
        encoder: maps rollouts' `features` `[B, ...]` of any dtype to `[B, F]`; it is taken over and
            learned jointly. It must not be random, nor depend on other rows.
        device: where it computes.
        seed: of the initial weights (the encoder has its own).

    Raises:
        ValueError: counts do not fit.
    """

    device: str = held()
    parts: int = held()
    learning_rate: float = held()

    def __init__(
        self,
        shape: PolicyShape,
        settings: PPOSettings = _USUAL,
        *,
        encoder: nn.Module | None = None,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        if min(settings.epochs, settings.minibatch_size) < 1:
            raise ValueError(
                f"epochs were {settings.epochs}, minibatch_size {settings.minibatch_size}; "
                "expected both at least 1"
            )
        self._shape, self._settings = shape, settings
        self.num_features, self.num_parameters = shape.num_features, shape.num_parameters
        self._network = actor_critic(shape, settings.value_widths(shape.widths), encoder, seed)
        self._counted = Counted()
        self._descent = Descent(
            "PPO",
            self._network,
            self._counted,
            learning_rate=settings.learning_rate,
            gradient_clip=settings.max_grad_norm,
            device=device,
            prefix="",
        )

    def move_to(self, device: str) -> None:
        """Goes on on another device; see `models.interfaces.Descends`."""
        self._descent.move_to(device)

    def set_feature_scale(self, mean: Float, std: Float) -> None:
        """Takes the usual mean and spread of each feature (the encoder's, if any), `[F]`.

        What was learned or given before stays the same function of the features; a fresh network
        keeps its weights instead, which are made for standardised features.

        Raises:
            ValueError: wrong shapes, or no finite mean and spread.
        """
        kept = {"policy": self._counted.begun, "value": self._counted.learned}
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
        settings = self._settings
        with device_memory(), self._descent.all_or_nothing():
            with np.errstate(over="ignore", invalid="ignore"):  # the optimiser refuses it
                steps, explained_variance = self._pool(rollouts)
            epochs: list[Tensor] = []
            for _ in range(settings.epochs):
                epochs.append(self._epoch(steps, rng))
                if settings.target_kl and float(epochs[-1].mean(0)[-2]) > settings.target_kl:
                    break
            self._counted.updates += 1
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
            blocks = self._blocks(torch.tensor(features, device=self._descent.torch_device))
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
        self._counted.given.fill_(True)

    def state(self) -> State:
        """Returns weights (an encoder's under `encoder.`), scale, moments and counters."""
        return self._descent.state()

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues from a state; raises ValueError, unchanged, if it is of another shape."""
        self._descent.load_state(state)

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
            gamma=self._settings.gamma,
            gae_lambda=self._settings.gae_lambda,
            ratios=weights,
        )
        targets = [
            torch.from_numpy(each[taken]).to(self._descent.torch_device)
            for each in (advantages, returns)
        ]
        return _Steps(prepared, actions, log_probs, ratios, *targets), values[taken]

    def _ratios(self, rollout: Rollout, now: Tensor, taken: np.ndarray) -> Tensor:
        """Returns how much more likely the actions taken are now than they were, `[B]`."""
        if rollout.log_probs is None:
            return torch.ones_like(now)
        then = torch.from_numpy(np.asarray(rollout.log_probs, np.float32)[taken]).to(
            self._descent.torch_device
        )
        return (now - then).clamp(-_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO).exp()

    def _blocks(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Cuts rows into blocks that fit wherever a minibatch's part does."""
        return rows.split(
            max(1, max(self._settings.minibatch_size, _FEWEST_ROWS_TO_READ) // self.parts)
        )

    def _read(self, prepared: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the policy's outputs `[B, outputs]` and values `[B]`, without gradients."""
        blocks = self._blocks(prepared) if len(prepared) else ()
        empty = torch.zeros((0, self._shape.widths[-1]), device=self._descent.torch_device)
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
        order = torch.from_numpy(rng.permutation(count)).to(self._descent.torch_device)
        shuffled = steps.rows(order)  # once, then minibatches are views
        minibatches = part_slices(count, math.ceil(count / self._settings.minibatch_size))
        return torch.stack([self._minibatch(shuffled.rows(rows)) for rows in minibatches])

    def _minibatch(self, steps: _Steps) -> Tensor:
        count = len(steps.returns)
        spread, mean = torch.std_mean(steps.advantages, correction=0)
        steps = steps._replace(advantages=(steps.advantages - mean) / (spread + 1e-8))
        seen: dict[int, Tensor] = {}  # a part may be computed twice

        def share(rows: slice) -> Tensor:
            terms = self._terms(steps.rows(rows))
            seen[rows.start] = terms.detach() / count
            weights = terms.new_tensor(
                [1.0, self._settings.vf_coef, -self._settings.ent_coef, 0.0, 0.0]
            )
            return terms @ weights / count

        loss, norm = self._descent.step(count, share)
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
        clipped = ratio.clamp(
            steps.ratios - self._settings.clip_range, steps.ratios + self._settings.clip_range
        )
        gains = torch.minimum(ratio * steps.advantages, clipped * steps.advantages)
        errors = self._network.values(x) - steps.returns
        with torch.no_grad():
            divergence = (torch.expm1(log_ratio) - log_ratio).sum()
            outside = ((ratio - steps.ratios).abs() > self._settings.clip_range).float().sum()
        losses = (-gains.sum(), 0.5 * errors.square().sum(), entropy.sum())
        return torch.stack([*losses, divergence, outside])


if __name__ == "__main__":
    from models.selftest.policies import check_policy_learner

    small = PPOSettings(learning_rate=3e-2, minibatch_size=128)
    linear = PolicyShape(3, "discrete", 2, (), None, None)
    with one_torch_thread():
        raise SystemExit(check_policy_learner("ppo", lambda: PPO(linear, small), 30))
