"""PPO learns again from what earlier policies have played."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.numeric.returns import rollout_targets  # noqa: E402
from models.ppo import PPO  # noqa: E402
from tests.models.ppo.policy_learning import (  # noqa: E402
    DISCRETE,
    KINDS,
    F,
    assert_same_state,
    learner,
    reference,
    rollout_of,
    spread_out,
)

pytestmark = pytest.mark.torch


@KINDS
def test_log_probs_are_those_of_the_policy(kind: dict[str, Any]) -> None:
    rollout, ppo = rollout_of(np.random.default_rng(4), kind), spread_out(learner(kind), 0.1)
    found = ppo.log_probs(rollout)
    assert found.shape == rollout.rewards.shape and found.dtype == np.float32
    state = {name: torch.tensor(value) for name, value in ppo.state().items()}
    _, expected = reference(kind, state, rollout)
    # Densities are before the tanh, whose share depends on the action alone.
    apart = found - expected.numpy() if kind is DISCRETE else np.zeros(1)
    np.testing.assert_allclose(apart, 0.0, atol=1e-4)
    moved = spread_out(learner(kind), 0.3)
    now, then = (reference(kind, _tensors(each), rollout)[1].numpy() for each in (moved, ppo))
    close = np.isclose(moved.log_probs(rollout) - found, now - then, atol=1e-2)
    assert close.mean() > 0.95, "all but saturated actions, which have no place before the tanh"


def test_a_rollout_of_the_present_policy_is_learned_from_as_one_without_log_probs() -> None:
    rollout = rollout_of(np.random.default_rng(4), DISCRETE)
    one, other = (spread_out(learner(DISCRETE), 0.1) for _ in range(2))
    one.update([rollout], np.random.default_rng(0))
    other.update([replace(rollout, log_probs=other.log_probs(rollout))], np.random.default_rng(0))
    assert_same_state(one.state(), other.state())


def test_what_an_earlier_policy_played_counts_by_its_ratio() -> None:
    """The terms of the loss before a first step, written out for one new and one old rollout."""
    new, old = (rollout_of(np.random.default_rng(seed), DISCRETE) for seed in (4, 5))
    given = {"gamma": 0.9, "gae_lambda": 0.8, "epochs": 1, "minibatch_size": 1000}
    ppo = spread_out(learner(DISCRETE, **given), 0.1)
    then = ppo.log_probs(old) + np.random.default_rng(6).normal(0, 0.5, old.rewards.shape)
    old = replace(old, log_probs=then.astype(np.float32))
    gains, errors = [], []
    for rollout in (new, old):
        seen = (rollout.features.reshape(-1, F), rollout.last_features, rollout.cut_features)
        values, last, cut = (ppo.values(features) for features in seen)
        values = values.reshape(rollout.rewards.shape)
        log_ratio = 0.0 if rollout.log_probs is None else ppo.log_probs(rollout) - rollout.log_probs
        ratios = np.exp(log_ratio + np.zeros_like(values))
        advantages, returns = rollout_targets(
            rollout, values, last, cut, gamma=0.9, gae_lambda=0.8, ratios=ratios
        )
        gains.append((ratios, advantages))
        errors.append(values - returns)
    ratios, advantages = (np.concatenate([g[n].ravel() for g in gains]) for n in range(2))
    normalised = (advantages - advantages.mean()) / advantages.std()
    metrics = ppo.update([new, old], np.random.default_rng(0))
    assert ratios.std() > 0.1
    assert metrics["policy_loss"] == pytest.approx(-(ratios * normalised).mean(), abs=1e-4)
    squares = np.square(np.concatenate([each.ravel() for each in errors]))
    assert metrics["value_loss"] == pytest.approx(0.5 * squares.mean(), rel=1e-4)
    assert metrics["approx_kl"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["clip_fraction"] == 0.0, "clipping is around the ratios from before"
    assert metrics["steps"] == new.rewards.size + old.rewards.size


def _tensors(ppo: PPO) -> dict[str, Any]:
    return {name: torch.tensor(value) for name, value in ppo.state().items()}
