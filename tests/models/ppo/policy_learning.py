"""What tests of PPO learn from, and the loss of a first step written out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.controller_cpu import PolicyShape  # noqa: E402
from models.interfaces import Rollout  # noqa: E402
from models.numeric.returns import rollout_targets  # noqa: E402
from models.ppo import PPO  # noqa: E402
from models.settings.ppo import PPOSettings  # noqa: E402
from models.settings.units import USUAL, Units  # noqa: E402

F, A = 5, 3
DISCRETE = {"num_features": F, "action_kind": "discrete", "action_size": A}
CONTINUOUS = {
    **DISCRETE,
    "action_kind": "continuous",
    "action_low": (-1.0, 0.0, 2.0),
    "action_high": (1.0, 1.0, 6.0),
}
KINDS = pytest.mark.parametrize("kind", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
MEAN = np.array([0.0, 100.0, -3.0, 0.01, 7.0], np.float32)
STD = np.array([1.0, 20.0, 0.1, 0.005, 0.0], np.float32)


def features_of(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (MEAN + STD * rng.standard_normal((*shape, F))).astype(np.float32)


def rollout_of(rng: np.random.Generator, kind: dict[str, Any], t: int = 12, n: int = 8) -> Rollout:
    """Random steps with ends and cuts among them, of actions inside the bounds."""
    draw = rng.random((t, n))
    truncated = draw > 0.93
    if kind["action_kind"] == "discrete":
        actions: np.ndarray = rng.integers(0, A, (t, n))
    else:
        actions = rng.uniform(kind["action_low"], kind["action_high"], (t, n, A)).astype(np.float32)
    cut_at = np.argwhere(truncated)
    return Rollout(
        features=features_of(rng, t, n),
        actions=actions,
        rewards=rng.standard_normal((t, n)).astype(np.float32),
        terminated=draw < 0.1,
        truncated=truncated,
        last_features=features_of(rng, n),
        cut_at=cut_at,
        cut_features=features_of(rng, len(cut_at)),
    )


def ended(rollout: Rollout) -> Rollout:
    """The same as episodes of one step each."""
    ends = np.ones_like(rollout.terminated)
    return replace(rollout, terminated=ends, truncated=~ends)


def shape_of(
    kind: dict[str, Any], hidden: tuple[int, ...] = (16,), units: Units = USUAL
) -> PolicyShape:
    bounds = kind.get("action_low"), kind.get("action_high")
    return PolicyShape(F, kind["action_kind"], A, hidden, *bounds, units)


def learner(kind: dict[str, Any], seed: int = 0, **changes: Any) -> PPO:
    settings = PPOSettings(**{"minibatch_size": 32, **changes})
    ppo = PPO(shape_of(kind), settings, seed=seed)
    ppo.set_feature_scale(MEAN, STD)
    return ppo


def spread_out(ppo: PPO, spread: float) -> PPO:
    """Moves the policy's weights, as at the start its actions hardly differ."""
    rng, state = np.random.default_rng(5), ppo.state()
    for name in state:
        if name.startswith("policy."):
            state[name] += spread * rng.standard_normal(state[name].shape).astype(np.float32)
    ppo.load_state(state)
    return ppo


def assert_same_state(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def reference(kind: dict[str, Any], state: dict[str, Any], rollout: Rollout) -> tuple[Any, Any]:
    """The loss of a first step, from torch's distributions and the state's arrays."""

    def forward(name: str, features: np.ndarray) -> Any:
        x = torch.tensor((features - MEAN) / np.where(STD == 0.0, 1.0, STD))
        hidden = torch.tanh(x @ state[f"{name}.0.weight"].T + state[f"{name}.0.bias"])
        return hidden @ state[f"{name}.1.weight"].T + state[f"{name}.1.bias"]

    outputs, actions = forward("policy", rollout.features), torch.from_numpy(rollout.actions)
    if kind is DISCRETE:
        policy: Any = torch.distributions.Categorical(logits=outputs)
        log_probs, entropy = policy.log_prob(actions), policy.entropy()
    else:
        mean, log_std = outputs.chunk(2, dim=-1)
        normal = torch.distributions.Normal(mean, log_std.exp())
        low, high = (torch.tensor(kind[bound]) for bound in ("action_low", "action_high"))
        to_bounds = torch.distributions.AffineTransform((low + high) / 2, (high - low) / 2)
        squashing = [torch.distributions.TanhTransform(), to_bounds]
        squashed = torch.distributions.TransformedDistribution(normal, squashing)
        log_probs, entropy = squashed.log_prob(actions).sum(-1), normal.entropy().sum(-1)
    seen = (rollout.features, rollout.last_features, rollout.cut_features)
    values, *others = (forward("value", features)[..., 0] for features in seen)
    worth = [each.detach().numpy() for each in (values, *others)]
    targets = rollout_targets(rollout, *worth, gamma=0.9, gae_lambda=0.8)
    advantages, returns = (torch.from_numpy(target) for target in targets)
    normalised = (advantages - advantages.mean()) / advantages.std(correction=0)
    gains = (log_probs - log_probs.detach()).exp() * normalised
    value_loss = 0.5 * (values - returns).square().mean()
    return -gains.mean() + 0.5 * value_loss - 0.01 * entropy.mean(), log_probs.detach()
